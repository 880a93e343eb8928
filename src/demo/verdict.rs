//! Whether everything is where it must be.

use std::collections::BTreeMap;
use std::time::Duration;

use waybill_domain::{GraphVersion, Outcome};
use waybill_tasks::partner::breaker::BreakerState;

use super::basket::{Basket, Kind};
use super::people::People;
use crate::app::App;
use crate::partner_sim::Summary;
use crate::store::OrderFilter;

/// How things stand.
pub(super) struct Verdict {
    pub(super) states: Vec<(String, i64)>,
    pub(super) breaker: &'static str,
    pub(super) open_cases: i64,
    paid: bool,
    kinds: BTreeMap<Kind, u64>,
    twice: u64,
    /// Delivery orders of each ordering that has any: how many, and how many ended confirmed.
    orderings: BTreeMap<String, (u64, u64)>,
    terminal: Vec<String>,
    told: BTreeMap<String, u64>,
    notices: BTreeMap<String, u64>,
    answers: BTreeMap<&'static str, u64>,
    redeliveries: u64,
    receipts: u64,
    waiting: i64,
    partner: Option<Summary>,
}

impl Verdict {
    pub(super) async fn look(app: &App, people: &People, baskets: &[Basket], paid: bool) -> anyhow::Result<Self> {
        let store = app.engine.store();
        let mut orderings: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let mut terminal = Vec::new();
        let mut filter = OrderFilter {
            limit: 500,
            ..OrderFilter::default()
        };
        loop {
            let page = store.orders(&filter).await?;
            let Some(last) = page.last() else { break };
            filter.after = Some((last.updated_at, last.loaded.order.id.0));
            for order in page {
                let record = &order.record;
                let entry = orderings.entry(record.ordering_id.clone()).or_default();
                entry.0 += 1;
                entry.1 += u64::from(record.outcome.as_deref() == Some(Outcome::Success.as_str()));
                if record.outcome.is_some() {
                    terminal.push(order.loaded.order.id.to_string());
                }
            }
        }
        let mut kinds = BTreeMap::new();
        for basket in baskets {
            *kinds.entry(basket.kind).or_default() += 1;
        }
        let states = app
            .partners
            .calls
            .status()
            .into_iter()
            .map(|status| status.breaker.state);
        let breaker = states.fold("closed", |worst, state| match (worst, state) {
            (_, BreakerState::Open) | ("open", _) => "open",
            (_, BreakerState::HalfOpen) | ("half open", _) => "half open",
            _ => "closed",
        });
        let partner = app
            .partners
            .simulator
            .lock()
            .await
            .as_ref()
            .map(|simulator| simulator.summary());
        let waiting = store.lag().await?.waiting
            + store
                .count_messages()
                .await?
                .iter()
                .map(|(_, count)| count)
                .sum::<i64>();
        let states = store.count_states().await?.into_iter();
        let states = states.map(|(_, state, count)| (state, count)).collect();
        let open_cases = store.count_open_cases().await?;
        let seen = people.seen.lock().expect("nothing panics while it holds this");
        Ok(Self {
            states,
            breaker,
            open_cases,
            paid,
            kinds,
            twice: baskets.iter().filter(|basket| basket.twice).count() as u64,
            orderings,
            terminal,
            told: seen.told.clone(),
            notices: seen.notices.clone(),
            answers: seen.answers.clone(),
            redeliveries: seen.redeliveries,
            receipts: seen.receipts,
            waiting,
            partner,
        })
    }

    fn to_deliver(&self) -> u64 {
        self.kinds
            .iter()
            .filter(|(kind, _)| **kind != Kind::EBook)
            .map(|(_, count)| count)
            .sum()
    }

    fn orders(&self) -> u64 {
        self.orderings.values().map(|(orders, _)| orders).sum()
    }

    /// Nothing moves any more, and all is told.
    pub(super) fn is_settled(&self) -> bool {
        self.paid
            && self.orderings.len() as u64 == self.to_deliver()
            && self.terminal.len() as u64 == self.orders()
            && self.terminal.iter().all(|order| self.told.contains_key(order))
            && self.waiting == 0
            && self
                .partner
                .as_ref()
                .is_none_or(|partner| partner.callbacks_pending == 0)
    }

    /// Prints what came of it, and whether it is what it must be.
    pub(super) async fn prove(&self, app: &App, elapsed: Duration) -> anyhow::Result<bool> {
        let store = app.engine.store();
        let template = app.engine.template().clone();
        let graphs = |machine: &str, version| template.graph(machine, GraphVersion(version)).cloned();
        let audit = store.audit(graphs, |_| {}).await?;
        let callbacks = store.count_callbacks().await?;
        let list = |counts: &mut dyn Iterator<Item = String>| counts.collect::<Vec<_>>().join(", ");
        let row = |what: &str, text: String| println!("  {what:<24} {text}");
        row(
            "orderings paid",
            list(
                &mut self
                    .kinds
                    .iter()
                    .map(|(kind, count)| format!("{count} {}", kind.as_str())),
            ),
        );
        row("told twice", self.twice.to_string());
        row(
            "delivery orders",
            format!(
                "{} ({} of them arranged anew by the operator)",
                self.orders(),
                self.redeliveries
            ),
        );
        row(
            "states",
            list(&mut self.states.iter().map(|(state, count)| format!("{count} {state}"))),
        );
        row(
            "callbacks",
            list(&mut callbacks.iter().map(|(state, count)| format!("{count} {state}"))),
        );
        row(
            "notices",
            list(&mut self.notices.iter().map(|(kind, count)| format!("{count} {kind}"))),
        );
        row(
            "customers answered",
            list(&mut self.answers.iter().map(|(word, count)| format!("{count} {word}"))),
        );
        row("receipts established", self.receipts.to_string());
        row("order management told", format!("{} delivery orders", self.told.len()));
        if let Some(partner) = &self.partner {
            row(
                "the partner's ledger",
                format!("{} bookings, {} double", partner.bookings, partner.double_bookings),
            );
        }
        println!();
        let checks = [
            (
                "every physical ordering has its delivery",
                self.orderings.len() as u64 == self.to_deliver(),
            ),
            (
                "every one of them ended confirmed, once",
                self.orderings.values().all(|(_, confirmed)| *confirmed == 1),
            ),
            (
                "order management was told exactly once of each",
                self.terminal.iter().all(|order| self.told.get(order) == Some(&1)),
            ),
            ("of nothing else", self.told.len() == self.terminal.len()),
            (
                "the partner was booked once for each",
                self.partner.as_ref().is_none_or(|partner| partner.double_bookings == 0),
            ),
            ("nothing is left over", self.waiting == 0 && self.is_settled()),
            ("the audit finds nothing", audit.violations == 0),
        ];
        for (what, holds) in checks {
            println!("  {} {what}", if holds { "✓" } else { "✗" });
        }
        for finding in audit.findings.iter().take(10) {
            println!(
                "    {} {} {:?}: {}",
                finding.invariant, finding.subject, finding.sequence, finding.detail
            );
        }
        let good = checks.iter().all(|(_, holds)| *holds);
        println!(
            "\naudit: {} orders replayed from {} log rows, hash chains whole, {} effects, {} violations; {:.1} s",
            audit.orders,
            audit.log_rows,
            audit.effects,
            audit.violations,
            elapsed.as_secs_f64()
        );
        Ok(good)
    }
}
