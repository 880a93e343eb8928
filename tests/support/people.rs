//! Those around Waybill: the payment service, order management, customers, an operator, and who looks whether all is well.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::{Stage, eventually, ran};

/// The file in which order management keeps what it was told.
pub(crate) const OMS: &str = "oms.jsonl";
/// The file in which the notices are kept.
pub(crate) const NOTICES: &str = "notices.jsonl";

impl Stage {
    /// Starts order management and the notices' worker, whose customers answer so, and waits until both listen.
    pub(crate) fn employ(&mut self, answer: &str) {
        self.start_python("examples/python/oms.py", &["--record", OMS]);
        self.start_python("examples/python/notices.py", &["--record", NOTICES, "--answer", answer]);
        for queue in ["oms", "notifications"] {
            eventually(&format!("a consumer of {queue}"), Duration::from_secs(60), || {
                self.clients.queue(queue).filter(|(_, consumers)| *consumers > 0)
            });
        }
    }

    /// Waits until our queues are there and consumed.
    pub(crate) fn await_consumers(&self) {
        for queue in ["waybill", "waybill.payments"] {
            eventually(&format!("a consumer of {queue}"), Duration::from_secs(60), || {
                self.clients.queue(queue).filter(|(_, consumers)| *consumers > 0)
            });
        }
    }

    /// Pays for orderings with `examples/python/pay.py`; answers what it says it sent.
    pub(crate) fn pay(&self, count: usize, arguments: &[&str]) -> Json {
        self.start_paying(count, arguments).join().expect("it pays")
    }

    /// The same beside what the story does meanwhile.
    pub(crate) fn start_paying(&self, count: usize, arguments: &[&str]) -> JoinHandle<Json> {
        let count = count.to_string();
        let all: Vec<&str> = ["--count", &count, "--json"].iter().chain(arguments).copied().collect();
        let mut command = self.python("examples/python/pay.py", &all);
        thread::spawn(move || ran(command.output().expect("Python runs")).json())
    }

    /// A token for the API.
    pub(crate) fn token(&self, role: &str) -> String {
        let made = self
            .run(&["token", "--role", role, "--sub", "story", "--ttl", "1h"])
            .good();
        made.trim_end().to_owned()
    }

    /// The operator looks once at the open cases of orders that wait, and arranges a new delivery for each; answers for how many.
    pub(crate) fn arrange_redeliveries(&self, token: &str) -> usize {
        let cases = self.clients.get(
            &format!("{}/v1/operator-cases?state=open&limit=200", self.url()),
            Some(token),
        );
        assert_eq!(cases.status, 200, "{:?}", cases.body);
        let mut arranged = 0;
        for case in cases.body["items"]
            .as_array()
            .expect("cases")
            .iter()
            .filter(|case| case["kind"] == "pending")
        {
            let (case_id, order) = (text(&case["case_id"]), text(&case["order"]["delivery_order_id"]));
            let claim = format!("{}/v1/operator-cases/{case_id}/claim", self.url());
            assert_eq!(self.clients.post(&claim, token, &case_id, &json!({})).status, 200);
            let event = json!({"event": "REDELIVERY_ARRANGED", "fields": {"note": "the customer was called"}});
            let told = self.clients.post(
                &format!("{}/v1/delivery-orders/{order}/events", self.url()),
                token,
                &case_id,
                &event,
            );
            assert_eq!(told.status, 200, "{:?}", told.body);
            arranged += 1;
        }
        arranged
    }

    /// Waits until each of so many orderings has ended and everybody was told, while an operator arranges new deliveries for
    /// what failed; answers how many.
    pub(crate) fn see_through(&self, orderings: usize, within: Duration) -> usize {
        self.see_through_beside(orderings, within, |_| ())
    }

    /// The same, while somebody does something else with each look; who does is given the operator's token.
    pub(crate) fn see_through_beside(&self, orderings: usize, within: Duration, mut beside: impl FnMut(&str)) -> usize {
        let token = self.token("operator");
        let (mut arranged, deadline) = (0, Instant::now() + within);
        loop {
            arranged += self.arrange_redeliveries(&token);
            beside(&token);
            let ended = self.count("SELECT count(DISTINCT ordering_id) FROM delivery_orders WHERE outcome = 'success'");
            let open = self.count("SELECT count(*) FROM delivery_orders WHERE live");
            let waiting = self.count("SELECT count(*) FROM effects WHERE state <> 'done'");
            let orders = self.count("SELECT count(*) FROM delivery_orders");
            let told = self.told().len() as i64;
            if ended == orderings as i64 && open == 0 && waiting == 0 && told >= orders {
                return arranged;
            }
            assert!(
                Instant::now() < deadline,
                "not within {within:?}: {ended} of {orderings} orderings delivered, {open} orders live, {waiting} effects to do, \
                 {told} of {orders} orders told"
            );
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// What order management was told of each delivery order: the ids of the tasks, and each as often as it came.
    pub(crate) fn told(&self) -> BTreeMap<String, Vec<String>> {
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in self.lines(OMS) {
            told.entry(text(&line["delivery_order_id"]))
                .or_default()
                .push(text(&line["task_id"]));
        }
        told
    }

    /// Order management was told of nothing twice, not even under the same task id: so it is where nothing broke.
    pub(crate) fn prove_told_once(&self) {
        let told = self.told();
        let twice: Vec<_> = told.iter().filter(|(_, ids)| ids.len() > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    /// A count in its database.
    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.database.as_ref().expect("a story on PostgreSQL").count(sql)
    }

    /// Nothing was lost and nothing was done twice: one first order per ordering, one booking per order in the partner's ledger,
    /// order management told of each end under one task id, nothing set aside, and an audit that finds nothing.
    pub(crate) fn prove(&self, orderings: &BTreeSet<String>) {
        let database = self.database.as_ref().expect("a story on PostgreSQL");
        let firsts = database.query("SELECT ordering_id FROM delivery_orders WHERE attempt = 1 ORDER BY 1");
        let firsts: Vec<&str> = firsts.lines().collect();
        assert_eq!(firsts.len(), orderings.len(), "one order per ordering");
        assert_eq!(
            firsts.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>(),
            *orderings
        );
        let confirmed =
            "SELECT count(*) FROM delivery_orders JOIN instances ON id = order_id WHERE state = 'DELIVERY_CONFIRMED'";
        assert_eq!(
            database.count(confirmed),
            orderings.len() as i64,
            "each is delivered and confirmed, once"
        );

        let ids = database.query("SELECT order_id FROM delivery_orders ORDER BY 1");
        let ids: BTreeSet<String> = ids.lines().map(str::to_owned).collect();
        let told = self.told();
        let twice: Vec<_> = told
            .iter()
            .filter(|(_, ids)| ids.iter().any(|id| *id != ids[0]))
            .collect();
        assert!(twice.is_empty(), "order management was told more than once: {twice:?}");
        assert_eq!(
            told.into_keys().collect::<BTreeSet<_>>(),
            ids,
            "order management was told of each"
        );

        let ledger = self.clients.get(&format!("{}/_ledger", self.partner()), None).body;
        let entries = ledger.as_array().expect("the ledger");
        let double: Vec<_> = entries.iter().filter(|entry| entry["double_booked"] == true).collect();
        assert!(double.is_empty(), "double bookings: {double:?}");
        let booked: BTreeSet<String> = entries.iter().map(|entry| text(&entry["reference"])).collect();
        assert_eq!(booked, ids, "the partner knows each order, and no other");

        assert_eq!(
            self.run(&["dead", "list", "--json"]).json(),
            json!([]),
            "nothing was set aside"
        );
        self.run(&["audit", "verify"]).good();
    }
}

/// The orderings in what `pay.py` said it sent that something is to be delivered for.
pub(crate) fn physical(sent: &Json) -> BTreeSet<String> {
    let orderings = sent["orderings"].as_array().expect("orderings").iter();
    orderings
        .filter(|ordering| ordering["kind"] != "ebook")
        .map(|ordering| text(&ordering["ordering_id"]))
        .collect()
}

pub(crate) fn text(value: &Json) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is text")).to_owned()
}
