//! Commands are answered in Python's words, and do what they say.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::*;
use crate::celery::events::Software;
use crate::celery::message::HeaderValue;
use crate::celery::protocol::{Request, Signature};
use crate::celery::registry::Rate;
use crate::celery::state::{QueueCommand, TaskLimits, TaskTicket};
use crate::celery::transport::{Delivery, KeepError, Rejected, Scheduled};

#[derive(Default)]
struct Shelf {
    revoked: Mutex<Vec<String>>,
    scheduled: Mutex<Vec<Scheduled>>,
}

#[async_trait]
impl Keeper for Shelf {
    async fn quarantine(&self, _rejected: Rejected) -> Result<(), KeepError> {
        unreachable!("remote control sets nothing aside")
    }

    async fn park(&self, _delivery: &Delivery, _until: DateTime<Utc>) -> Result<(), KeepError> {
        unreachable!("remote control parks nothing")
    }

    async fn revoke(&self, ids: &[String], _until: DateTime<Utc>) -> Result<(), KeepError> {
        self.revoked.lock().unwrap().extend_from_slice(ids);
        Ok(())
    }

    async fn scheduled(&self, _limit: usize) -> Result<Vec<Scheduled>, KeepError> {
        Ok(self.scheduled.lock().unwrap().clone())
    }
}

struct World {
    state: Arc<WorkerState>,
    shelf: Arc<Shelf>,
    panel: Panel,
}

fn facts() -> Facts {
    let software = Software {
        ident: "x".to_owned(),
        version: "1".to_owned(),
    };
    let mut limited = TaskFacts::named("tasks.slow");
    limited.limits.rate = Rate::parse("10/m").unwrap();
    Facts {
        software,
        tasks: vec![limited, TaskFacts::named("tasks.add"), TaskFacts::named("celery.map")],
        broker: BrokerFacts::of(&"amqps://me:secret@broker:5671/here".to_owned().into(), 10).unwrap(),
        settings: Map::from_iter([
            ("broker_url".to_owned(), json!("amqp://me@broker//")),
            ("security_key".to_owned(), json!("never")),
        ]),
    }
}

fn world() -> World {
    let state = WorkerState::new("w1@host", 2);
    let shelf = Arc::new(Shelf::default());
    let facts = facts();
    let (events, _) = EventSender::new(Arc::clone(&state), facts.software.clone());
    let panel = Panel::new(Arc::clone(&state), facts, shelf.clone()).with_events(events);
    World { state, shelf, panel }
}

impl World {
    async fn ask(&self, method: &str, arguments: Value) -> Value {
        let Value::Object(arguments) = arguments else {
            panic!("arguments are an object")
        };
        match self.panel.answer(method, arguments).await {
            Answer::Reply(value) => value,
            Answer::Silence => json!("(silence)"),
        }
    }

    fn running(&self, id: &str, stamp: impl Into<HeaderValue>) -> TaskTicket {
        let mut message = Signature::new("tasks.add").id(id).into_message();
        let stamps = [("order".to_owned(), stamp.into())].into();
        message.headers.insert("stamps".to_owned(), HeaderValue::Table(stamps));
        let names = HeaderValue::List(vec!["order".into()]);
        message.headers.insert("stamped_headers".to_owned(), names);
        let request = Arc::new(Request::decode(&message).unwrap());
        let delivery = Delivery {
            queue: "q".to_owned(),
            message,
            redelivered: false,
        };
        let ticket = self.state.received(&request, &delivery);
        ticket.started();
        ticket
    }
}

#[tokio::test]
async fn what_a_command_does_not_take_is_refused_in_pythons_words() {
    let world = world();
    for (method, arguments, error) in [
        ("nosuch", json!({}), "KeyError('nosuch')"),
        (
            "enable_events",
            json!({"bogus": 1}),
            "TypeError(\"enable_events() got an unexpected keyword argument 'bogus'\")",
        ),
        (
            "revoke",
            json!({}),
            "TypeError(\"revoke() missing 1 required positional argument: 'task_id'\")",
        ),
        (
            "rate_limit",
            json!({}),
            "TypeError(\"rate_limit() missing 2 required positional arguments: 'task_name' and 'rate_limit'\")",
        ),
        ("autoscale", json!({"max": 3}), "ValueError('Autoscale not enabled')"),
        ("pool_restart", json!({}), "ValueError('Pool restarts not enabled')"),
        ("objgraph", json!({}), "ImportError('Requires the objgraph library')"),
        (
            "rate_limit",
            json!({"task_name": "tasks.add", "rate_limit": "1/x"}),
            "KeyError('x')",
        ),
        (
            "rate_limit",
            json!({"task_name": "tasks.add", "rate_limit": "abc"}),
            "Invalid rate limit string: ValueError(\"could not convert string to float: 'abc'\")",
        ),
        (
            "rate_limit",
            json!({"task_name": "nosuch", "rate_limit": "1/s"}),
            "unknown task",
        ),
        ("time_limit", json!({"task_name": "nosuch"}), "unknown task"),
        (
            "revoke",
            json!({"task_id": "a", "terminate": true, "signal": "NOSUCH"}),
            "AttributeError(\"module 'signal' has no attribute 'SIGNOSUCH'\")",
        ),
        (
            "revoke_by_stamped_headers",
            json!({"headers": ["order"]}),
            "IndexError('list index out of range')",
        ),
    ] {
        assert_eq!(world.ask(method, arguments).await, json!({"error": error}), "{method}");
    }
    assert_eq!(world.ask("ping", json!({"bogus": 1})).await, json!({"ok": "pong"}));
}

#[tokio::test]
async fn revoking_is_known_here_and_kept_and_ends_what_runs() {
    let world = world();
    let ticket = world.running("a", "o-1");

    let revoked = world.ask("revoke", json!({"task_id": ["a", "b"]})).await;
    assert_eq!(revoked, json!({"ok": "tasks {'a', 'b'} flagged as revoked"}));
    assert!(!ticket.termination().is_cancelled());
    assert_eq!(*world.shelf.revoked.lock().unwrap(), ["a", "b"]);
    assert_eq!(world.ask("revoked", json!({})).await, json!(["a", "b"]));

    let unknown = world.ask("terminate", json!({"signal": "KILL", "task_id": "c"})).await;
    assert_eq!(unknown, json!({"ok": "terminate: tasks unknown"}));
    let ended = world
        .ask("revoke", json!({"task_id": "a", "terminate": true, "signal": "KILL"}))
        .await;
    assert_eq!(ended, json!({"ok": "terminate: a"}));
    assert_eq!(ticket.signal().map(|signal| signal.number()), Some(9));
}

#[tokio::test]
async fn stamps_revoke_what_comes_and_end_what_runs() {
    let world = world();
    let ticket = world.running("a", "o-1");

    let flagged = world
        .ask(
            "revoke_by_stamped_headers",
            json!({"headers": {"order": ["o-1", "o-2"]}}),
        )
        .await;
    assert_eq!(
        flagged,
        json!({"ok": "headers {'order': ['o-1', 'o-2']} flagged as revoked, but not terminated"})
    );
    assert!(world.state.is_revoked(world.state.active()[0].request()));
    let other = json!({"headers": ["order=o-9"], "terminate": true});
    let none = world.ask("revoke_by_stamped_headers", other).await;
    assert_eq!(none, json!({"ok": "headers {'order': 'o-9'} were not terminated"}));
    assert!(!ticket.termination().is_cancelled());

    let ended = world
        .ask(
            "revoke_by_stamped_headers",
            json!({"headers": {"order": "o-1"}, "terminate": true}),
        )
        .await;
    assert_eq!(
        ended,
        json!({"ok": "headers defaultdict(<class 'set'>, {'order': {'o-1'}}) revoked"})
    );
    assert!(ticket.termination().is_cancelled());
}

#[tokio::test]
async fn stamps_of_every_kind_end_what_runs_as_python_compares_them() {
    let list = |values: &[i64]| HeaderValue::List(values.iter().copied().map(HeaderValue::Int).collect());
    for (stamp, wanted, answer) in [
        (HeaderValue::Int(7), json!(7), Some("{7}")),
        (HeaderValue::Int(7), json!([6, 7]), Some("{7}")),
        (HeaderValue::Int(7), json!("7"), None),
        (HeaderValue::Float(2.5), json!([2.5]), Some("{2.5}")),
        (HeaderValue::Bool(true), json!(true), Some("{True}")),
        (list(&[1, 2, 3]), json!([2, 3, 4]), Some("{2, 3}")),
        (list(&[1, 2, 3]), json!(3), Some("{3}")),
        (list(&[1, 2, 3]), json!([4, "1"]), None),
        (
            HeaderValue::List(vec!["a".into(), HeaderValue::Int(5)]),
            json!([5, "a"]),
            Some("{5, 'a'}"),
        ),
        (HeaderValue::Null, json!([4]), None),
    ] {
        let world = world();
        let ticket = world.running("a", stamp.clone());
        let arguments = json!({"headers": {"order": wanted}, "terminate": true});

        let told = world.ask("revoke_by_stamped_headers", arguments).await;

        let told = told["ok"].as_str().unwrap();
        match answer {
            Some(set) => assert_eq!(
                told,
                format!("headers defaultdict(<class 'set'>, {{'order': {set}}}) revoked")
            ),
            None => assert!(told.ends_with(" were not terminated"), "{told}"),
        }
        assert_eq!(
            ticket.termination().is_cancelled(),
            answer.is_some(),
            "{stamp:?} and {wanted}"
        );
    }
}

#[tokio::test]
async fn a_stamp_that_python_can_put_in_no_set_is_refused_in_its_words() {
    let nested = HeaderValue::List(vec![HeaderValue::List(vec![HeaderValue::Int(1)])]);
    for (stamp, wanted, error) in [
        (nested, json!([1]), r#"TypeError("unhashable type: 'list'")"#),
        (
            HeaderValue::Int(1),
            json!([[1]]),
            r#"TypeError("unhashable type: 'list'")"#,
        ),
        (
            HeaderValue::Int(1),
            json!({"a": 1}),
            r#"TypeError("unhashable type: 'dict'")"#,
        ),
        (
            HeaderValue::Int(1),
            json!(null),
            r#"TypeError("'NoneType' object is not iterable")"#,
        ),
    ] {
        let world = world();
        let ticket = world.running("a", stamp);
        let arguments = json!({"headers": {"order": wanted}, "terminate": true});

        let told = world.ask("revoke_by_stamped_headers", arguments).await;

        assert_eq!(told, json!({"error": error}));
        assert!(!ticket.termination().is_cancelled());
    }
}

#[tokio::test]
async fn limits_hold_from_now_on() {
    let world = world();
    let own = TaskLimits::default();

    let set = world
        .ask("rate_limit", json!({"task_name": "tasks.add", "rate_limit": "5/s"}))
        .await;
    assert_eq!(set, json!({"ok": "new rate limit set successfully"}));
    assert_eq!(
        world.state.limits("tasks.add", own).rate.unwrap().period(),
        Duration::from_millis(200)
    );
    let off = world
        .ask("rate_limit", json!({"task_name": "tasks.add", "rate_limit": 0}))
        .await;
    assert_eq!(off, json!({"ok": "rate limit disabled successfully"}));
    assert_eq!(world.state.limits("tasks.add", own).rate, None);

    let set = world
        .ask("time_limit", json!({"task_name": "tasks.add", "soft": 1.5, "hard": 60}))
        .await;
    assert_eq!(set, json!({"ok": "time limits set successfully"}));
    let limits = world.state.limits("tasks.add", own);
    assert_eq!(
        (limits.soft, limits.hard),
        (Some(Duration::from_millis(1500)), Some(Duration::from_secs(60)))
    );

    assert_eq!(
        world.ask("registered", json!({})).await,
        json!(["tasks.add", "tasks.slow [rate_limit=10/m]"])
    );
    let asked = json!({"taskinfoitems": ["time_limit"], "builtins": true});
    let all = world.ask("registered", asked).await;
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 9 + 2, "{all:?}");
    assert_eq!(all[9..], [json!("tasks.add [time_limit=60]"), json!("tasks.slow")]);
}

#[tokio::test]
async fn the_pool_is_resized() {
    let world = world();

    assert_eq!(
        world.ask("pool_grow", json!({"n": 3})).await,
        json!({"ok": "pool will grow"})
    );
    assert_eq!(
        world.ask("pool_shrink", json!({})).await,
        json!({"ok": "pool will shrink"})
    );
    assert_eq!(world.state.pool().size(), 4);
    assert_eq!(
        world.ask("pool_shrink", json!({"n": 9})).await,
        json!({"error": "ValueError(\"Can't shrink pool. All processes busy!\")"})
    );

    world.state.pool().autoscale_between(1, 2);
    assert_eq!(
        world.ask("autoscale", json!({"max": 8, "min": 3})).await,
        json!({"ok": "autoscale now max=8 min=3"})
    );
    assert_eq!(world.state.pool().size(), 3);
    assert_eq!(
        world.ask("pool_grow", json!({})).await,
        json!({"error": "pool_grow is not supported with autoscale. Adjust autoscale range instead."})
    );
}

#[tokio::test]
async fn consumers_are_asked_for() {
    let world = world();
    let mut asked = world.state.queues().asked().unwrap();

    assert_eq!(
        world
            .ask(
                "add_consumer",
                json!({"queue": "foo", "exchange": "x", "routing_key": null})
            )
            .await,
        json!({"ok": "add consumer foo"})
    );
    assert_eq!(
        world.ask("cancel_consumer", json!({"queue": "foo"})).await,
        json!({"ok": "no longer consuming from foo"})
    );

    let added = QueueCommand::Add {
        name: "foo".to_owned(),
        exchange: Some("x".to_owned()),
        exchange_type: "direct".to_owned(),
        routing_key: None,
    };
    assert_eq!(asked.try_recv(), Ok(added));
    assert_eq!(asked.try_recv(), Ok(QueueCommand::Cancel("foo".to_owned())));
}

#[tokio::test]
async fn a_queue_that_holds_no_tasks_is_neither_added_nor_taken_away() {
    let world = world();
    let mut asked = world.state.queues().asked().unwrap();
    world.state.queues().reserve("payments", "payment events");

    for command in ["add_consumer", "cancel_consumer"] {
        let answer = world.ask(command, json!({"queue": "payments"})).await;

        assert_eq!(answer, json!({"error": "payments holds payment events, not tasks"}));
    }
    assert!(asked.try_recv().is_err());
}

#[tokio::test]
async fn events_are_switched_and_neighbours_are_greeted() {
    let world = world();

    for (method, told) in [
        ("disable_events", "task events already disabled"),
        ("enable_events", "task events enabled"),
        ("enable_events", "task events already enabled"),
        ("disable_events", "task events disabled"),
    ] {
        assert_eq!(world.ask(method, json!({})).await, json!({"ok": told}));
    }
    assert_eq!(world.ask("heartbeat", json!({})).await, Value::Null);
    world.state.enable_events(true);
    let always = Panel::new(Arc::clone(&world.state), facts(), world.shelf.clone());
    let always = World {
        panel: always.with_events(world.panel.events.clone().unwrap()),
        state: Arc::clone(&world.state),
        shelf: world.shelf.clone(),
    };
    for (method, told) in [("disable_events", "disabled"), ("enable_events", "enabled")] {
        let told = format!("task events already {told}");
        assert_eq!(
            always.ask(method, json!({})).await,
            json!({"ok": told}),
            "asked for at the start"
        );
    }
    assert!(world.state.events_enabled());

    let hello = world
        .ask("hello", json!({"from_node": "w2@host", "revoked": ["x"]}))
        .await;
    assert_eq!((&hello["revoked"], hello["clock"].is_u64()), (&json!(["x"]), true));
    assert_eq!(world.ask("hello", json!({"from_node": "w1@host"})).await, Value::Null);
    assert_eq!(world.ask("clock", json!({})).await["clock"], hello["clock"]);
}

#[tokio::test]
async fn what_is_in_hand_or_put_off_can_be_looked_at() {
    let world = world();
    let _ticket = world.running("a", "o-1");
    let message = Signature::new("tasks.add").id("later").into_message();
    let until = "2026-11-21T10:00:00.5Z".parse().unwrap();
    let delivery = Delivery {
        queue: "q".to_owned(),
        message,
        redelivered: false,
    };
    world
        .shelf
        .scheduled
        .lock()
        .unwrap()
        .push(Scheduled { until, delivery });

    let active = world.ask("dump_active", json!({"safe": true})).await;
    assert_eq!((&active[0]["id"], &active[0]["args"]), (&json!("a"), &json!("()")));
    assert_eq!(world.ask("reserved", json!({})).await, json!([]));
    let found = world.ask("query_task", json!({"ids": ["a", "b", "later"]})).await;
    assert_eq!(
        (found.as_object().unwrap().len(), &found["a"][0], &found["later"][0]),
        (2, &json!("active"), &json!("scheduled"))
    );
    let scheduled = world.ask("scheduled", json!({})).await;
    assert_eq!(scheduled[0]["eta"], "2026-11-21T10:00:00.500000+00:00");
    assert_eq!(
        (&scheduled[0]["priority"], &scheduled[0]["request"]["id"]),
        (&json!(6), &json!("later"))
    );
}

#[tokio::test]
async fn no_secret_is_told() {
    let world = world();

    let stats = world.ask("stats", json!({})).await;
    let settings = world.ask("conf", json!({})).await;

    assert_eq!(
        (&stats["broker"]["userid"], &stats["broker"]["ssl"]),
        (&json!("me"), &json!(true))
    );
    assert!(!stats.to_string().contains("secret"), "{stats}");
    assert_eq!(
        settings,
        json!({"broker_url": "amqp://me@broker//", "security_key": "********"})
    );
}

#[tokio::test]
async fn shutting_down_is_not_answered() {
    let world = world();

    assert_eq!(world.ask("shutdown", json!({})).await, json!("(silence)"));

    assert!(world.state.stop().is_cancelled());
}
