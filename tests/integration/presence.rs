//! What a process says of itself and of what it is told: `waybill status`, and an AppConfig agent that serves nonsense.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value as Json, json};
use waybill::template::Template;
use waybill_domain::GraphVersion;

use crate::stage::{Stage, eventually, repository};

const SOON: Duration = Duration::from_secs(60);

/// What an agent on localhost serves: the graph, and the routing.
struct Agent {
    environment: String,
    served: Arc<Mutex<[Json; 2]>>,
}

impl Agent {
    fn start(served: [Json; 2]) -> Self {
        let served = Arc::new(Mutex::new(served));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let bodies = Arc::clone(&served);
        // Ends with the test's process.
        thread::spawn(move || {
            for asked in listener.incoming() {
                let bodies = bodies.lock().expect("nobody panics with it").clone();
                // Who asks may have gone away meanwhile.
                let _ = asked.and_then(|stream| answer(stream, &bodies));
            }
        });
        Self {
            environment: format!("http://{address}/applications/waybill/environments/test"),
            served,
        }
    }

    fn serve(&self, served: [Json; 2]) {
        *self.served.lock().expect("nobody panics with it") = served;
    }
}

fn answer(mut stream: TcpStream, [graph, routing]: &[Json; 2]) -> std::io::Result<()> {
    let mut head = BufReader::new(stream.try_clone()?).lines();
    let asked = head.next().transpose()?.unwrap_or_default();
    while head.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let body = if asked.contains("-routing ") { routing } else { graph }.to_string();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What the metrics say of this one.
fn gauge(stage: &Stage, name: &str) -> Option<f64> {
    let told = stage.clients.get(&format!("{}/metrics", stage.url()), None);
    let text = told.body.as_str().expect("text").to_owned();
    let line = text
        .lines()
        .find(|line| line.split(['{', ' ']).next() == Some(name))?
        .to_owned();
    line.rsplit(' ').next()?.parse().ok()
}

/// What the doctor says of AppConfig.
fn verdict(stage: &Stage) -> (i32, Json) {
    let ran = stage.run(&["doctor", "--json"]);
    let told: Json = serde_json::from_str(&ran.out).expect("JSON");
    let checks = told["checks"].as_array().expect("checks");
    let found = checks.iter().find(|check| check["name"] == "appconfig");
    (ran.code, found.expect("it says something of AppConfig").clone())
}

#[test]
fn a_process_is_shown_while_it_runs_and_not_after_it_ended() {
    let mut stage = Stage::embedded();
    let all = stage.start(&["all"]);

    let running = stage.run(&["status", "--json"]).json();
    assert_eq!(stage.process(all).stop(), 0);
    let ended = stage.run(&["status", "--json"]).json();

    let processes = running["processes"].as_array().expect("processes");
    assert_eq!(processes.len(), 1, "{running}");
    assert_eq!(processes[0]["role"], "all");
    assert_eq!(ended["processes"], json!([]));
}

#[test]
fn what_appconfig_serves_wrongly_rings_until_it_is_mended() {
    let mut stage = Stage::embedded();
    let template = std::fs::read_to_string(repository("cloudformation/delivery-graph.yaml")).expect("the template");
    let template = Template::parse(&template, "delivery-graph.yaml").expect("it is good");
    let graph = template
        .canonical_json("delivery-order", GraphVersion(1))
        .expect("version 1");
    let graph: Json = serde_json::from_str(graph).expect("JSON");
    let routing = |version: u32| {
        json!({
            "machine": "delivery-order", "revision": 1, "live": [1], "active": [{"version": version, "weight": 100}],
        })
    };
    let mut edited = graph.clone();
    edited["states"]["CREATED"]["deadline"]["after"] = json!("PT1H");
    let agent = Agent::start([edited, json!("nonsense")]);
    stage.set("WAYBILL_APPCONFIG_URL", agent.environment.clone());

    let all = stage.start(&["all"]);
    eventually("it rings", SOON, || {
        (gauge(&stage, "appconfig_refused") == Some(2.0)).then_some(())
    });
    let (code, wrong) = verdict(&stage);
    agent.serve([graph, routing(1)]);
    let (_, right) = verdict(&stage);
    eventually("it is quiet", SOON, || {
        (gauge(&stage, "appconfig_refused") == Some(0.0)).then_some(())
    });

    assert_ne!(code, 0);
    assert_eq!(wrong["verdict"], "fail", "{wrong}");
    let said = wrong["detail"].as_str().expect("text");
    assert!(
        said.starts_with("delivery-order version 1 was published with sha256 "),
        "{said}"
    );
    assert!(said.ends_with("; what was good before stays"), "{said}");
    assert_eq!(right["verdict"], "ok", "{right}");
    let log = stage.process(all).log();
    assert_eq!(
        log.matches("AppConfig: delivery-order version 1 was published with")
            .count(),
        1,
        "said once"
    );
    assert!(log.contains("everything that it serves is taken again"), "{log}");
}
