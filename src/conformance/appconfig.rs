//! Versions and routing from an AppConfig agent: a small HTTP server that serves what the test wants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value as Json, json};
use url::Url;
use waybill_domain::GraphVersion;

use super::activations::{born, two_versions, version_of};
use super::fixture::Fixture;
use super::on_both;
use crate::appconfig::AppConfig;
use crate::config::{AppConfigUrl, Environment};
use crate::engine::MACHINE;
use crate::template::Template;

type Served = Arc<Mutex<BTreeMap<&'static str, String>>>;

/// What an agent serves on localhost, by profile; 404 for all else, as the agent does.
struct Agent {
    served: Served,
    client: AppConfig,
}

impl Agent {
    async fn start(machines: &[&str]) -> Self {
        let served = Served::default();
        let route = "/applications/waybill/environments/test/configurations/{profile}";
        let router = Router::new().route(route, get(answer)).with_state(served.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = Url::parse(&format!("http://{address}/applications/waybill/environments/test")).expect("a URL");
        let environment = |machine: &&str| Environment {
            machine: (*machine).to_owned(),
            url: url.clone(),
        };
        let environments = AppConfigUrl(machines.iter().map(environment).collect());
        let client = AppConfig::new(environments).expect("a client");
        Self { served, client }
    }

    fn serve(&self, graph: &Json, routing: &Json) {
        self.serve_profiles([("delivery-graph", graph), ("delivery-graph-routing", routing)]);
    }

    fn serve_profiles(&self, bodies: [(&'static str, &Json); 2]) {
        let bodies = bodies.map(|(profile, body)| (profile, body.to_string()));
        self.served.lock().expect("nobody panics with it").extend(bodies);
    }

    async fn told(&self, fixture: &Fixture) -> Vec<String> {
        let refused = self.client.take(&fixture.engine).await;
        refused.iter().map(ToString::to_string).collect()
    }
}

async fn answer(State(served): State<Served>, Path(profile): Path<String>) -> (StatusCode, String) {
    match served.lock().expect("nobody panics with it").get(profile.as_str()) {
        Some(body) => (StatusCode::OK, body.clone()),
        None => (StatusCode::NOT_FOUND, String::new()),
    }
}

fn document(version: u32) -> Json {
    let template = two_versions();
    let text = template
        .canonical_json(MACHINE, GraphVersion(version))
        .expect("the version");
    serde_json::from_str(text).expect("JSON")
}

fn routing(revision: u32, version: u32) -> Json {
    json!({
        "machine": MACHINE, "revision": revision, "live": [1, version],
        "active": [{ "version": version, "weight": 100 }],
    })
}

on_both! {
    async fn a_version_and_its_routing_are_taken_from_appconfig(fixture: Fixture) {
        let agent = Agent::start(&[MACHINE]).await;
        agent.serve(&document(2), &routing(2, 2));

        let told = agent.told(&fixture).await;

        assert_eq!(told, Vec::<String>::new());
        let id = born(&fixture.engine, "o1").await;
        assert_eq!(version_of(&fixture, id).await, 2);
        // Told again, and an older routing: nothing new.
        agent.serve(&document(1), &routing(1, 1));
        assert_eq!(agent.told(&fixture).await, Vec::<String>::new());
        let id = born(&fixture.another().await, "o2").await;
        assert_eq!(version_of(&fixture, id).await, 2);
        fixture.assert_sound().await;
    }

    async fn what_appconfig_changed_or_does_not_have_is_refused_and_the_last_good_stays(fixture: Fixture) {
        let agent = Agent::start(&[MACHINE]).await;
        agent.serve(&document(2), &routing(2, 2));
        agent.told(&fixture).await;
        let mut edited = document(2);
        edited["states"]["CREATED"]["deadline"]["after"] = json!("PT1H");
        let mut newer = document(2);
        newer["version"] = json!(3);
        newer["states"]["CREATED"]["on_enter"] = json!(["launch_rocket"]);

        agent.serve(&edited, &routing(3, 2));
        let changed = agent.told(&fixture).await;
        agent.serve(&newer, &routing(4, 3));
        let unknown = agent.told(&fixture).await;
        agent.serve(&json!("nonsense"), &json!({ "machine": MACHINE, "revision": 5, "live": [2], "active": [{ "version": 2, "weight": 99 }] }));
        let nonsense = agent.told(&fixture).await;
        agent.served.lock().unwrap().clear();
        let away = agent.told(&fixture).await;

        let found = crate::template::sha256_of(&edited);
        let kept = crate::template::sha256_of(&document(2));
        assert_eq!(changed, [format!("delivery-order version 2 was published with sha256 {kept}, AppConfig serves {found}")]);
        assert!(unknown[0].starts_with("delivery-graph is not what it should be: this program cannot read delivery-order version 3"), "{unknown:?}");
        assert_eq!(unknown[1], "routing 4 of delivery-order is not followed: version 3 is not published: `waybill graph publish`");
        assert_eq!(nonsense, [
            "delivery-graph is not what it should be: it has no version",
            "delivery-graph-routing is not what it should be: expected one or two versions whose weights sum up to 100",
        ]);
        assert_eq!(away, [
            "delivery-graph is not served: the agent answered 404 Not Found",
            "delivery-graph-routing is not served: the agent answered 404 Not Found",
        ]);
        let id = born(&fixture.engine, "o1").await;
        assert_eq!(version_of(&fixture, id).await, 2, "routing 3 is that of a version that was good");
        let revision = fixture.engine.store().activation(MACHINE).await.unwrap().unwrap().revision;
        assert_eq!(revision, 3);
        fixture.assert_sound().await;
    }

    async fn every_machine_has_an_environment_of_its_own(fixture: Fixture) {
        let agent = Agent::start(&[MACHINE, "food-order"]).await;
        agent.serve(&document(2), &routing(2, 2));
        let food = Template::every_machine().canonical_json("food-order", GraphVersion(1));
        let food: Json = serde_json::from_str(food.expect("it is shipped")).expect("JSON");
        let share = json!([{ "version": 1, "weight": 100 }]);
        let food_routing = json!({ "machine": "food-order", "revision": 1, "live": [1], "active": share });

        let alone = agent.told(&fixture).await;
        agent.serve_profiles([("food-graph", &document(2)), ("food-graph-routing", &routing(2, 2))]);
        let mixed_up = agent.told(&fixture).await;
        agent.serve_profiles([("food-graph", &food), ("food-graph-routing", &food_routing)]);
        let told = agent.told(&fixture).await;

        assert_eq!(alone, ["food-graph is not served: the agent answered 404 Not Found", "food-graph-routing is not served: the agent answered 404 Not Found"]);
        assert_eq!(mixed_up, [
            "food-graph is not what it should be: it is of delivery-order, expected food-order",
            "food-graph-routing is not what it should be: expected a revision of food-order from 1",
        ]);
        assert_eq!(told, Vec::<String>::new());
        let active = fixture.engine.store().activation("food-order").await.unwrap().unwrap();
        assert_eq!((active.revision, active.shares[0].version), (1, GraphVersion(1)));
        let id = born(&fixture.engine, "o1").await;
        assert_eq!(version_of(&fixture, id).await, 2);
        fixture.assert_sound().await;
    }
}
