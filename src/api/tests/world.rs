//! The router on an engine of its own, and callers with tokens.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use chrono::{TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{SecretBox, SecretString};
use serde_json::{Value as Json, json};
use sha2::Sha256;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;
use waybill_domain::{OrderId, Role};
use waybill_tasks::orders::Orders as _;
use waybill_webhooks::doors::Proxies;
use waybill_webhooks::{Adapter, Doors, Key, PartnerKeys, Trust};

use super::super::auth::Auth;
use super::super::auth::tests::SECRET;
use super::super::probes::Readiness;
use super::super::visits::Visits;
use super::super::{App, router};
use crate::config::{TokenKey, Tokens};
use crate::engine::payment::{Addresses, Amount, Followed, Paid};
use crate::engine::{Engine, Outside};
use crate::outgoing::{Guard, Network};
use crate::store::{Crypt, DataKey, Db, Store, effect_id};
use crate::telemetry::install_metrics;
use crate::template::Template;

/// The customer whose orders they are.
pub(crate) const OWNER: &str = "cus-1";
/// Shown by the partner that signs nothing.
pub(crate) const TOKEN: &str = "AAAAAAAAAAAAAAAAAAAAAAAA";
/// Requests of one address to the pages in a minute.
pub(crate) const VISITS: std::num::NonZeroU32 = std::num::NonZeroU32::new(20).expect("it is not zero");
/// With which Uber signs.
pub(crate) const UBER_SECRET: &str = "a-signing-key-of-uber";

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) db: Db,
    pub(crate) router: Router,
    pub(crate) draining: CancellationToken,
    pub(crate) crypt: Arc<Crypt>,
    auth: Arc<Auth>,
    _folder: tempfile::TempDir,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answered {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a header of ours is text"))
    }

    /// The code of a problem, after its form was checked.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let body = self.json();
        let code = body["code"].as_str().expect("a problem has a code").to_owned();
        assert_eq!(body["type"], format!("/problems/{code}"));
        assert_eq!(body["status"], self.status.as_u16());
        assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()));
        code
    }
}

pub(crate) fn tokens() -> Tokens {
    let (issuer, audience) = ("waybill".to_owned(), "waybill".to_owned());
    Tokens {
        issuer,
        audience,
        key: TokenKey::Shared(SecretString::from(SECRET)),
    }
}

async fn start(db: &Db, crypt: &Arc<Crypt>, offset: TimeDelta) -> Engine {
    let store = Store::open(db.clone(), crypt.clone(), offset)
        .await
        .expect("the store opens");
    let outside = Outside {
        queue: "waybill".to_owned(),
        default_partner: "swift".to_owned(),
        adapters: [
            ("swift".to_owned(), Adapter::Standard),
            ("steady".to_owned(), Adapter::Standard),
            ("uber".to_owned(), Adapter::Uber),
        ]
        .into(),
        handover_codes: true,
        public_url: "http://localhost:8080".to_owned(),
        local: true,
    };
    let template = Arc::new(Template::shipped().clone());
    Engine::start(store, template, outside, Arc::new(|_, _| ()))
        .await
        .expect("the engine starts")
        .0
}

/// The partners that may call, each by its own scheme.
fn trusts() -> Vec<(String, Trust)> {
    let standard = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let token = format!("whtok_{TOKEN}");
    let partners = [
        ("swift", Adapter::Standard, standard),
        ("steady", Adapter::Standard, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYZ"),
        ("walled", Adapter::Standard, standard),
        ("uber", Adapter::Uber, UBER_SECRET),
        ("shippo", Adapter::Shippo, token.as_str()),
        ("doordash", Adapter::DoorDash, "waybill:a-long-password"),
        ("onfleet", Adapter::Onfleet, "00ff10aa00ff10aa00ff10aa00ff10aa"),
    ];
    let trust = |(name, adapter, secret): (&str, Adapter, &str)| {
        let key = Key::read(adapter, "k1", &secret.to_owned().into()).expect("a secret");
        let mut trust = Trust::standard(vec![key]);
        trust.adapter = adapter;
        if name == "walled" {
            trust.addresses = vec!["192.0.2.0/24".parse().expect("a network")];
        }
        (name.to_owned(), trust)
    };
    partners.into_iter().map(trust).collect()
}

fn route(engine: &Engine, auth: &Arc<Auth>, draining: &CancellationToken) -> Router {
    let keys = Arc::new(PartnerKeys::new(trusts()).expect("no partner is wrong"));
    let webhooks = waybill_webhooks::router(keys, Arc::new(engine.clone()), Arc::new(Utc::now), Doors::default());
    let app = App {
        engine: engine.clone(),
        auth: auth.clone(),
        readiness: Readiness::new(engine.store().clone(), || true, draining.clone()),
        metrics: install_metrics().expect("metrics are installed once"),
        guard: Guard::new(vec![Network::parse("127.0.0.0/8").expect("a network")]),
        told: Arc::default(),
        visits: Visits::new(Proxies::default(), VISITS),
    };
    router(app, webhooks)
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let db = Db::sqlite(&folder.path().join("waybill.db"))
            .await
            .expect("a database file");
        Self::on(db, folder).await
    }

    /// On a PostgreSQL database of its own.
    pub(crate) async fn on_postgres() -> Self {
        let server = std::env::var("WAYBILL_TEST_POSTGRES_URL")
            .expect("WAYBILL_TEST_POSTGRES_URL: run `make test`, which starts the services");
        let name = format!("waybill_{}", Uuid::new_v4().simple());
        let open = async |url: &str| {
            Db::postgres(&SecretString::from(url), None)
                .await
                .expect("PostgreSQL answers")
        };
        let admin = open(&server).await;
        admin
            .row(&format!("CREATE DATABASE {name}"), vec![])
            .await
            .expect("a database of its own");
        admin.close().await;
        let mut url = url::Url::parse(&server).expect("a URL");
        url.set_path(&name);
        Self::on(
            open(url.as_str()).await,
            tempfile::tempdir().expect("a temporary folder"),
        )
        .await
    }

    async fn on(db: Db, folder: tempfile::TempDir) -> Self {
        db.migrate().await.expect("migrations apply");
        let key = DataKey {
            id: "k1".to_owned(),
            key: SecretBox::new(Box::new([7; 32])),
        };
        let crypt = Arc::new(Crypt::new(vec![key]));
        let engine = start(&db, &crypt, TimeDelta::zero()).await;
        let auth = Arc::new(Auth::from_settings(&tokens()).expect("a shared secret can be used"));
        let draining = CancellationToken::new();
        let router = route(&engine, &auth, &draining);
        Self {
            engine,
            db,
            router,
            draining,
            crypt,
            auth,
            _folder: folder,
        }
    }

    /// The same database, later.
    pub(crate) async fn later(&self, offset: TimeDelta) -> Router {
        route(&start(&self.db, &self.crypt, offset).await, &self.auth, &self.draining)
    }

    /// Lets a deadline fire, later.
    pub(crate) async fn fire_later(&self, due: crate::store::DueDeadline, offset: TimeDelta) {
        let fired = start(&self.db, &self.crypt, offset)
            .await
            .fire(due)
            .await
            .expect("the store answers");
        assert!(fired, "the deadline was due");
    }

    /// Applies a callback, later.
    pub(crate) async fn apply_later(&self, callback: Uuid, offset: TimeDelta) {
        let engine = start(&self.db, &self.crypt, offset).await;
        engine.apply_callback(callback).await.expect("the store answers");
    }

    pub(crate) fn token(&self, role: Role, subject: &str) -> String {
        self.auth
            .issue(role, subject, TimeDelta::hours(1))
            .expect("a shared secret signs")
    }

    pub(crate) async fn order(&self, ordering: &str) -> OrderId {
        self.order_speaking(ordering, "de").await
    }

    pub(crate) async fn order_speaking(&self, ordering: &str, locale: &str) -> OrderId {
        match self
            .engine
            .paid(paid(ordering, locale))
            .await
            .expect("the store answers")
        {
            Followed::Created(id) => id,
            other => panic!("expected a new order, found {other:?}"),
        }
    }

    /// An order that waits for an operator, after it was lost.
    pub(crate) async fn pending_order(&self, ordering: &str) -> OrderId {
        let id = self.order(ordering).await;
        self.move_on(id, "PARTNER_FAILED", json!({ "failure_reason": "LOST" }))
            .await;
        id
    }

    /// The operator case of such an order.
    pub(crate) async fn case(&self, ordering: &str) -> Uuid {
        let id = self.pending_order(ordering).await;
        let effect = effect_id(id, 3, "open_operator_case");
        self.engine.open_case(effect).await.expect("the store answers");
        let cases = self.engine.store().case_page(crate::store::CasePage {
            open: Some(true),
            after: None,
            limit: 100,
        });
        let cases = cases.await.expect("the store answers");
        cases
            .iter()
            .find(|case| case.order_id == Some(id))
            .expect("the case is open")
            .case_id
    }

    /// An order under way, and the way of the page that shows the customer the code for the courier.
    pub(crate) async fn code_page(&self, ordering: &str) -> (OrderId, String) {
        let id = self.order(ordering).await;
        let number = json!({ "partner_order_number": format!("N-{ordering}") });
        self.move_on(id, "PARTNER_PICKED_UP", number).await;
        let effect = effect_id(id, 2, "notify_customer");
        let link = self.engine.handover_link(effect).await.expect("the store answers");
        let url = link.expect("codes are on").url;
        let way = url.strip_prefix("http://localhost:8080");
        (id, way.expect("links begin with the public URL").to_owned())
    }

    /// The way of a customer's link, for an order that was delivered.
    pub(crate) async fn link(&self, ordering: &str, locale: &str) -> (OrderId, String) {
        let id = self.order_speaking(ordering, locale).await;
        self.move_on(
            id,
            "PARTNER_PICKED_UP",
            json!({ "partner_order_number": format!("N-{ordering}") }),
        )
        .await;
        self.move_on(id, "PARTNER_DELIVERED", Json::Null).await;
        let effect = effect_id(id, 3, "request_customer_confirmation");
        let link = self.engine.confirmation_link(effect).await.expect("the store answers");
        let way = link
            .url
            .strip_prefix("http://localhost:8080")
            .expect("links begin with the public URL");
        (id, way.to_owned())
    }

    pub(crate) async fn move_on(&self, id: OrderId, event: &str, fields: Json) {
        let answered = self.report(Role::Service, "erp", id, event, fields).await;
        assert_eq!(answered.status, StatusCode::OK, "{event}: {}", answered.text);
    }

    /// Reports an event with a key of its own.
    pub(crate) async fn report(&self, role: Role, who: &str, id: OrderId, event: &str, fields: Json) -> Answered {
        let request = self.reporting(role, who, id, &json!({ "event": event, "fields": fields }));
        self.send(
            request.0.header("idempotency-key", Uuid::new_v4().to_string()),
            request.1,
        )
        .await
    }

    /// A request that reports, without its key.
    pub(crate) fn reporting(
        &self,
        role: Role,
        who: &str,
        id: OrderId,
        body: &Json,
    ) -> (axum::http::request::Builder, Body) {
        let builder = Request::post(format!("/v1/delivery-orders/{id}/events"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token(role, who)))
            .header(header::CONTENT_TYPE, "application/json");
        (builder, Body::from(body.to_string()))
    }

    pub(crate) async fn get(&self, role: Role, who: &str, path: &str) -> Answered {
        let builder = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {}", self.token(role, who)));
        self.send(builder, Body::empty()).await
    }

    pub(crate) async fn operator_gets(&self, path: &str) -> Answered {
        self.get(Role::Operator, "ada", path).await
    }

    pub(crate) async fn operator_posts(&self, who: &str, path: &str, body: Option<Json>) -> Answered {
        let builder = Request::post(path)
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", self.token(Role::Operator, who)),
            )
            .header(header::CONTENT_TYPE, "application/json");
        self.send(
            builder,
            body.map_or_else(Body::empty, |body| Body::from(body.to_string())),
        )
        .await
    }

    pub(crate) async fn send(&self, builder: axum::http::request::Builder, body: Body) -> Answered {
        send(&self.router, builder, body).await
    }

    pub(crate) async fn state(&self, id: OrderId) -> String {
        let order = self
            .engine
            .store()
            .order(id)
            .await
            .expect("the store answers")
            .expect("the order exists");
        order.loaded.order.state.to_string()
    }
}

pub(crate) async fn send(router: &Router, builder: axum::http::request::Builder, body: Body) -> Answered {
    let request = builder.body(body).expect("a request");
    let response = router
        .clone()
        .oneshot(request)
        .await
        .expect("the router answers everything");
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 16 * 1024 * 1024).await.expect("the body arrives");
    let text = String::from_utf8(bytes.to_vec()).expect("answers are text");
    Answered {
        status: parts.status,
        headers: parts.headers,
        text,
    }
}

/// A callback as Uber signs it.
pub(crate) fn uber(body: &str) -> (axum::http::request::Builder, Body) {
    let mut mac = Hmac::<Sha256>::new_from_slice(UBER_SECRET.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let request = Request::post("/webhooks/uber").header("x-uber-signature", signature);
    (request, Body::from(body.to_owned()))
}

/// Makes a test of each function for each database.
macro_rules! on_both {
    ($(async fn $name:ident($world:ident: World) $body:block)+) => {
        $(
            mod $name {
                use super::*;

                async fn story($world: World) $body

                #[tokio::test]
                async fn on_sqlite() {
                    story(World::new().await).await;
                }

                #[tokio::test]
                async fn on_postgres() {
                    story(World::on_postgres().await).await;
                }
            }
        )+
    };
}
pub(crate) use on_both;

pub(crate) fn address(name: &str) -> Json {
    json!({ "name": name, "line1": "Torstr. 1", "postal_code": "10119", "city": "Berlin", "country": "DE" })
}

fn paid(ordering: &str, locale: &str) -> Paid {
    Paid {
        key: format!("evt-{ordering}"),
        occurred_at: Utc::now(),
        payment_id: format!("pay-{ordering}"),
        ordering_id: ordering.to_owned(),
        customer_id: OWNER.to_owned(),
        locale: locale.to_owned(),
        amount: Amount {
            minor_units: 4599,
            currency: "EUR".to_owned(),
        },
        addresses: Some(Addresses {
            pickup: address("Bookstore Mitte"),
            dropoff: address("A. Reader"),
        }),
        physical_items: vec![json!({ "sku": "b-1", "title": "A book", "quantity": 1, "format": "physical" })],
        data: json!({ "payment_id": format!("pay-{ordering}"), "ordering_id": ordering }),
    }
}
