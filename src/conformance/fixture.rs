//! An engine on a database of its own, with a clock that tests move.

use std::str::FromStr as _;
use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use secrecy::{SecretBox, SecretString};
use serde_json::{Value as Json, json};
use sqlx::Executor as _;
use uuid::Uuid;
use waybill_domain::{Actor, Fields, OrderId, Role};
use waybill_webhooks::{Adapter, Callback, Inbox, Stored};

use crate::engine::payment::{Addresses, Amount, Followed, Paid, Refunded};
use crate::engine::{Answer, Engine, Outside, Report};
use crate::store::{Audit, Crypt, DataKey, Db, Store};
use crate::template::Template;

pub(super) struct Fixture {
    pub(super) engine: Engine,
    pub(super) db: Db,
    crypt: Arc<Crypt>,
    local: bool,
    _folder: Option<tempfile::TempDir>,
}

impl Fixture {
    pub(super) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let db = Db::sqlite(&folder.path().join("waybill.db"))
            .await
            .expect("a database file");
        Self::on(db, Some(folder)).await
    }

    /// The server on which each test has a database.
    pub(super) fn server() -> String {
        std::env::var("WAYBILL_TEST_POSTGRES_URL")
            .expect("WAYBILL_TEST_POSTGRES_URL: run `make test`, which starts the services")
    }

    pub(super) async fn postgres() -> Self {
        let url = Self::server();
        let name = format!("waybill_{}", Uuid::new_v4().simple());
        let admin = sqlx::PgPool::connect(&url).await.expect("PostgreSQL answers");
        admin
            .execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .await
            .expect("a database of its own");
        admin.close().await;
        let options = sqlx::postgres::PgConnectOptions::from_str(&url)
            .expect("a URL")
            .database(&name);
        let url = sqlx::ConnectOptions::to_url_lossy(&options).to_string();
        let db = Db::postgres(&SecretString::from(url), None)
            .await
            .expect("PostgreSQL answers");
        Self::on(db, None).await
    }

    pub(super) fn first_key() -> Arc<Crypt> {
        let key = DataKey {
            id: "k1".to_owned(),
            key: SecretBox::new(Box::new([7; 32])),
        };
        Arc::new(Crypt::new(vec![key]))
    }

    async fn on(db: Db, folder: Option<tempfile::TempDir>) -> Self {
        db.migrate().await.expect("migrations apply");
        let crypt = Self::first_key();
        let engine = start(&db, &crypt, TimeDelta::zero(), false).await;
        Self {
            engine,
            db,
            crypt,
            local: false,
            _folder: folder,
        }
    }

    /// The same database, later.
    pub(super) async fn later(&self, offset: TimeDelta) -> Engine {
        start(&self.db, &self.crypt, offset, self.local).await
    }

    /// The same database, with another template.
    pub(super) async fn with_template(&self, template: Template) -> Engine {
        start_with(template, &self.db, &self.crypt, TimeDelta::zero(), self.local).await
    }

    /// The same database, with all new orders on that version.
    pub(super) async fn on_version(&self, graph: &waybill_domain::Graph) -> Engine {
        let template = Template::every_machine().routed_to(graph);
        self.with_template(template).await
    }

    /// The same database, with a new data key before the old one.
    pub(super) async fn with_key(&self, byte: u8) -> Engine {
        let key = |id: &str, byte| DataKey {
            id: id.to_owned(),
            key: SecretBox::new(Box::new([byte; 32])),
        };
        let crypt = Arc::new(Crypt::new(vec![key("k2", byte), key("k1", 7)]));
        start(&self.db, &crypt, TimeDelta::zero(), self.local).await
    }

    /// Another process on the same database.
    pub(super) async fn another(&self) -> Engine {
        self.later(TimeDelta::zero()).await
    }

    pub(super) async fn order(&self, ordering: &str) -> OrderId {
        match self.engine.paid(paid(ordering)).await.expect("the store answers") {
            Followed::Created(id) => id,
            other => panic!("expected a new order, found {other:?}"),
        }
    }

    pub(super) async fn order_in(&self, ordering: &str, state: &str) -> OrderId {
        let id = self.order(ordering).await;
        let way: &[(&str, Json)] = match state {
            "CREATED" => &[],
            "PICKED_UP" => &[(
                "PARTNER_PICKED_UP",
                json!({ "partner_order_number": format!("N-{ordering}") }),
            )],
            "DELIVERED" => &[
                (
                    "PARTNER_PICKED_UP",
                    json!({ "partner_order_number": format!("N-{ordering}") }),
                ),
                ("PARTNER_DELIVERED", Json::Null),
            ],
            "PENDING_BY_OPERATOR" => &[("PARTNER_FAILED", json!({ "failure_reason": "LOST" }))],
            other => panic!("no way to {other}"),
        };
        for (event, fields) in way {
            let answer = self.report(id, event, fields.clone()).await;
            assert!(matches!(answer, Answer::Applied { .. }), "{event}: {answer:?}");
        }
        id
    }

    /// A newer program has moved an order to a version that this one cannot read.
    pub(super) async fn make_unreadable(&self, id: OrderId) {
        let kept = self
            .engine
            .store()
            .keep_version("delivery-order", 2, "newer", json!({}));
        kept.await.expect("the store answers");
        let mut tx = self.db.tx().await.expect("the store answers");
        let moved = "UPDATE instances SET graph_version = 2 WHERE id = $1";
        tx.execute(moved, vec![id.0.into()]).await.expect("the store answers");
        tx.commit().await.expect("the store answers");
    }

    pub(super) async fn report(&self, id: OrderId, event: &str, fields: Json) -> Answer {
        self.engine
            .report(report(id, event, fields, &Uuid::new_v4().to_string()))
            .await
            .expect("the store answers")
    }

    pub(super) async fn state(&self, id: OrderId) -> String {
        let order = self
            .engine
            .store()
            .order(id)
            .await
            .expect("the store answers")
            .expect("the order exists");
        order.loaded.order.state.to_string()
    }

    /// A callback of the partner `standard`, stored and applied.
    pub(super) async fn callback(&self, event_id: &str, kind: &str, data: Json) -> Uuid {
        let (_, id) = self.store_callback(event_id, kind, data).await;
        self.engine.apply_callback(id).await.expect("the store answers");
        id
    }

    pub(super) async fn store_callback(&self, event_id: &str, kind: &str, data: Json) -> (Stored, Uuid) {
        let body = json!({ "type": kind, "timestamp": "2026-11-20T11:00:00Z", "data": data }).to_string();
        let stored = self.engine.store_body(event_id, &body).await;
        let row = self
            .db
            .row(
                "SELECT callback_id FROM callbacks WHERE event_id = $1",
                vec![event_id.into()],
            )
            .await;
        let row = row.expect("the store answers").expect("the callback is stored");
        (stored, row.uuid("callback_id").expect("an id"))
    }

    pub(super) async fn callback_state(&self, id: Uuid) -> String {
        let callback = self
            .engine
            .store()
            .callback(id)
            .await
            .expect("the store answers")
            .expect("it is stored");
        callback.state.as_str().to_owned()
    }

    pub(super) async fn count(&self, sql: &str) -> i64 {
        let row = self
            .db
            .row(sql, vec![])
            .await
            .expect("the store answers")
            .expect("a count");
        row.int("count").expect("a number")
    }

    pub(super) async fn audit(&self) -> Audit {
        let template = self.engine.template().clone();
        let store = self.engine.store();
        store.learn_all().await.expect("the store answers");
        let graphs = |machine: &str, version| {
            let version = waybill_domain::GraphVersion(version);
            template
                .graph(machine, version)
                .cloned()
                .or_else(|| store.graph(machine, version))
        };
        self.engine
            .store()
            .audit(graphs, |_| {})
            .await
            .expect("the store answers")
    }

    pub(super) async fn assert_sound(&self) {
        let audit = self.audit().await;
        assert_eq!(audit.findings, vec![], "after {} orders", audit.orders);
    }
}

/// What tests tell a partner's inbox.
pub(super) trait StoreBody {
    async fn store_body(&self, event_id: &str, body: &str) -> Stored;
}

impl Fixture {
    /// A callback of any partner, stored and not yet applied.
    pub(super) async fn store_of(&self, partner: &str, event_id: &str, body: &Json) -> Uuid {
        let body = body.to_string();
        let callback = Callback {
            partner: partner.to_owned(),
            event_id: event_id.to_owned(),
            key_id: "s1".to_owned(),
            signed_at: None,
            headers: vec![],
            sha256: <sha2::Sha256 as sha2::Digest>::digest(body.as_bytes()).into(),
            body: body.into(),
        };
        Inbox::store(&self.engine, callback).await.expect("the store answers");
        self.callback_of(event_id).await.expect("the callback is stored")
    }

    /// The callback whose event id starts so.
    pub(super) async fn callback_of(&self, event_id: &str) -> Option<Uuid> {
        let sql = "SELECT callback_id FROM callbacks WHERE event_id LIKE $1";
        let row = self.db.row(sql, vec![format!("{event_id}%").into()]).await;
        row.expect("the store answers")
            .map(|row| row.uuid("callback_id").expect("an id"))
    }
}

impl StoreBody for Engine {
    async fn store_body(&self, event_id: &str, body: &str) -> Stored {
        let sha256 = <sha2::Sha256 as sha2::Digest>::digest(body.as_bytes()).into();
        let callback = Callback {
            partner: "standard".to_owned(),
            event_id: event_id.to_owned(),
            key_id: "s1".to_owned(),
            signed_at: Some(Utc::now()),
            headers: vec![("webhook-id".to_owned(), event_id.to_owned())],
            body: body.to_owned().into(),
            sha256,
        };
        Inbox::store(self, callback).await.expect("the store answers")
    }
}

pub(super) async fn start(db: &Db, crypt: &Arc<Crypt>, offset: TimeDelta, local: bool) -> Engine {
    start_with(Template::shipped().clone(), db, crypt, offset, local).await
}

async fn start_with(template: Template, db: &Db, crypt: &Arc<Crypt>, offset: TimeDelta, local: bool) -> Engine {
    let store = Store::open(db.clone(), crypt.clone(), offset)
        .await
        .expect("the store opens");
    let outside = Outside {
        queue: "waybill".to_owned(),
        default_partner: "standard".to_owned(),
        adapters: [
            ("standard".to_owned(), Adapter::Standard),
            ("uber".to_owned(), Adapter::Uber),
        ]
        .into(),
        handover_codes: false,
        public_url: "http://localhost:8080".to_owned(),
        local,
    };
    let (engine, _) = Engine::start(store, Arc::new(template), outside, Arc::new(|_, _| ()))
        .await
        .expect("the engine starts");
    engine
}

pub(super) fn paid(ordering: &str) -> Paid {
    let address = |name: &str| json!({ "name": name, "line1": "Torstr. 1", "postal_code": "10119", "city": "Berlin", "country": "DE" });
    Paid {
        key: format!("evt-{ordering}"),
        occurred_at: Utc::now(),
        payment_id: format!("pay-{ordering}"),
        ordering_id: ordering.to_owned(),
        customer_id: "cus-1".to_owned(),
        locale: "de".to_owned(),
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

pub(super) fn refunded(ordering: &str, minor_units: i64) -> Refunded {
    Refunded {
        key: format!("ref-{ordering}-{minor_units}"),
        occurred_at: Utc::now(),
        payment_id: format!("pay-{ordering}"),
        ordering_id: ordering.to_owned(),
        amount: Amount {
            minor_units,
            currency: "EUR".to_owned(),
        },
        data: json!({ "payment_id": format!("pay-{ordering}"), "minor_units": minor_units }),
    }
}

pub(super) fn report(id: OrderId, event: &str, fields: Json, key: &str) -> Report {
    let (fields, extra) = crate::engine::orders::split_fields(&fields).unwrap_or((Fields::new(), Json::Null));
    let role = match event {
        "REDELIVERY_ARRANGED" | "RECEIPT_ESTABLISHED" | "CANCELLED" | "OPERATOR_ESCALATED" => Role::Operator,
        _ => Role::Service,
    };
    Report {
        machine: crate::engine::MACHINE.into(),
        order_id: id,
        event: event.into(),
        fields,
        extra,
        actor: Actor {
            role,
            id: "somebody".to_owned(),
        },
        key: key.to_owned(),
        if_revision: None,
        occurred_at: None,
    }
}
