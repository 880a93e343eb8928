//! The audit: replays every log, checks the hash chain and what else must always hold, and names the rows where it does not.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use waybill_domain::{Change, Graph, GraphVersion, Instance, OrderId, Transition};

use super::db::{DbError, Row, Value};
use super::orders::{LOG_COLUMNS, log_entry};
use super::record::{Effect, EffectState, Loaded, LogRow};
use super::rows::{EFFECT_COLUMNS, effect};
use super::rows::{INSTANCE_COLUMNS, loaded};
use super::{Store, chain, effect_id, sql};

/// What an audit saw.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Audit {
    /// Orders that were replayed.
    pub orders: u64,
    /// Log rows that were checked.
    pub log_rows: u64,
    /// Effects that were checked.
    pub effects: u64,
    /// What does not hold; at most a thousand are kept.
    pub findings: Vec<Finding>,
    /// How many do not hold.
    pub violations: u64,
}

/// Findings that are kept; more are counted only.
pub(super) const MOST_FINDINGS: usize = 1_000;

/// An invariant that does not hold, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which, as docs/architecture.md numbers them.
    pub invariant: &'static str,
    /// Where: an order's id, an ordering's, a callback's, a message's.
    pub subject: String,
    /// The log row, where it is one.
    pub sequence: Option<i64>,
    /// What was expected and what was found.
    pub detail: String,
}

/// Orders that are read at once.
const PAGE: i64 = 500;
/// These are asked for by others than the order's own transitions, and have no order among them.
const OUT_OF_ORDER: [&str; 2] = ["apply_partner_callback", "reconcile_partner"];
/// Something parked or set aside must have an operator case by then.
const GRACE: TimeDelta = TimeDelta::minutes(15);

impl Audit {
    fn report(&mut self, invariant: &'static str, subject: impl ToString, sequence: Option<i64>, detail: String) {
        self.violations += 1;
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(Finding {
                invariant,
                subject: subject.to_string(),
                sequence,
                detail,
            });
        }
    }
}

impl Store {
    /// Audits everything. `graphs` answers the versions that orders are or were pinned to; `progress` hears how many orders are done.
    pub async fn audit(
        &self,
        graphs: impl Fn(&str, u32) -> Option<Arc<Graph>> + Send,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<Audit, DbError> {
        let mut audit = Audit::default();
        let mut after: Option<OrderId> = None;
        loop {
            // A page is read in one transaction, so that an order that moves meanwhile is seen before or after, not between.
            let mut tx = self.db.tx().await?;
            if self.db.is_shared() {
                tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", vec![])
                    .await?;
            }
            let (clause, mut values): (_, Vec<Value>) = match after {
                None => ("", vec![]),
                Some(id) => ("WHERE i.id > $2", vec![id.0.into()]),
            };
            values.insert(0, PAGE.into());
            let page = tx
                .rows(
                    &format!("SELECT {INSTANCE_COLUMNS} {clause} ORDER BY i.id LIMIT $1"),
                    values,
                )
                .await?;
            let orders = page.iter().map(loaded).collect::<Result<Vec<_>, _>>()?;
            let Some(last) = orders.last() else {
                tx.rollback().await?;
                break;
            };
            after = Some(last.order.id);
            let keys: Vec<Value> = orders.iter().map(|it| it.order.id.0.into()).collect();
            let log = format!("SELECT {LOG_COLUMNS} FROM transitions WHERE order_id IN");
            let log = grouped(
                sql::with_keys(&mut tx, &log, keys.clone(), " ORDER BY order_id, sequence").await?,
                |row| {
                    let entry = log_entry(row)?;
                    Ok((entry.transition.order_id, entry))
                },
            )?;
            let effects = format!("SELECT {EFFECT_COLUMNS} FROM effects WHERE order_id IN");
            let effects = sql::with_keys(&mut tx, &effects, keys, " ORDER BY order_id, sequence, ordinal").await?;
            let effects = grouped(effects, |row| {
                let effect = effect(row)?;
                let order = effect
                    .order_id
                    .ok_or_else(|| DbError::Failed(sqlx::Error::RowNotFound))?;
                Ok((order, effect))
            })?;
            tx.rollback().await?;
            for order in &orders {
                let none = (Vec::new(), Vec::new());
                let log = log.get(&order.order.id).unwrap_or(&none.0);
                let effects = effects.get(&order.order.id).unwrap_or(&none.1);
                audit.orders += 1;
                audit.log_rows += log.len() as u64;
                audit.effects += effects.len() as u64;
                check_log(&mut audit, order, log);
                let graph = |version| graphs(order.machine.as_str(), version);
                let pinned = graph(order.order.graph_version.0);
                check_outcome(&mut audit, pinned.as_deref(), order);
                check_record(&mut audit, pinned.as_deref(), order);
                check_graph(&mut audit, graph, order, log, effects);
                check_publication(&mut audit, order.order.id, effects);
            }
            progress(audit.orders);
        }
        self.check_queries(&mut audit).await?;
        Ok(audit)
    }

    /// What is a question to the tables rather than to one order.
    async fn check_queries(&self, audit: &mut Audit) -> Result<(), DbError> {
        let before = self.now().await? - GRACE;
        let questions: [(&str, &str, &str, Vec<Value>); 7] = [
            (
                "I4",
                "SELECT ordering_id AS subject FROM delivery_orders WHERE live GROUP BY ordering_id HAVING COUNT(*) > 1",
                "more than one live delivery order",
                vec![],
            ),
            (
                "I4",
                "SELECT ordering_id AS subject FROM delivery_orders a WHERE a.predecessor_id IS NOT NULL AND NOT EXISTS (
                     SELECT 1 FROM delivery_orders b WHERE b.order_id = a.predecessor_id AND b.successor_id = a.order_id)",
                "a predecessor does not know its successor",
                vec![],
            ),
            (
                "I4",
                "SELECT ordering_id AS subject FROM delivery_orders a WHERE a.successor_id IS NOT NULL AND NOT EXISTS (
                     SELECT 1 FROM delivery_orders b WHERE b.order_id = a.successor_id AND b.predecessor_id = a.order_id)",
                "a successor does not know its predecessor",
                vec![],
            ),
            (
                "I3",
                "SELECT payment_id AS subject FROM payments p WHERE p.state = 'ordered'
                     AND NOT EXISTS (SELECT 1 FROM delivery_orders d WHERE d.payment_id = p.payment_id)",
                "a payment that should have made a delivery order has none",
                vec![],
            ),
            (
                "I3",
                "SELECT i.key AS subject FROM inbox i WHERE i.order_id IS NOT NULL
                     AND NOT EXISTS (SELECT 1 FROM instances o WHERE o.id = i.order_id AND o.revision >= i.sequence)",
                "an inbox row tells of a log row that does not exist",
                vec![],
            ),
            (
                "I8",
                "SELECT partner || ' ' || event_id AS subject FROM callbacks WHERE (state = 'parked' AND parked_until <= $1)
                     OR (state = 'received' AND received_at <= $1)",
                "a callback has grown old without being settled",
                vec![before.into()],
            ),
            (
                "I8",
                "SELECT CAST(q.id AS text) AS subject FROM quarantine q WHERE q.replayed_at IS NULL AND q.received_at <= $1
                     AND NOT EXISTS (SELECT 1 FROM operator_cases c WHERE c.kind = 'quarantine'
                         AND c.reason = q.reason)",
                "a message has been set aside without an operator case",
                vec![before.into()],
            ),
        ];
        for (invariant, sql, detail, values) in questions {
            for row in self.db.rows(sql, values).await? {
                audit.report(invariant, row.text("subject")?, None, detail.to_owned());
            }
        }
        Ok(())
    }
}

fn grouped<T>(
    rows: Vec<Row>,
    pair: impl Fn(&Row) -> Result<(OrderId, T), DbError>,
) -> Result<HashMap<OrderId, Vec<T>>, DbError> {
    let mut groups: HashMap<OrderId, Vec<T>> = HashMap::new();
    for row in &rows {
        let (id, value) = pair(row)?;
        groups.entry(id).or_default().push(value);
    }
    Ok(groups)
}

/// I1 and I2: the log is whole, and the instance is its fold.
fn check_log(audit: &mut Audit, order: &Loaded, log: &[LogRow]) {
    let id = order.order.id;
    let mut hash = chain::GENESIS.to_vec();
    let mut state = None;
    let mut rank = None;
    for (entry, expected) in log.iter().zip(1..) {
        let row = &entry.transition;
        let sequence = Some(row.revision.0);
        if row.revision.0 != expected {
            audit.report("I1", id, sequence, format!("expected sequence {expected}"));
        }
        if entry.previous_hash != hash || chain::hash(&entry.previous_hash, row, entry.graph_version) != entry.hash {
            audit.report(
                "I1",
                id,
                sequence,
                "the hash chain is broken: this row or the one before was altered".to_owned(),
            );
        }
        if row.from != state {
            audit.report(
                "I1",
                id,
                sequence,
                format!("from {:?}, but the row before led to {state:?}", row.from),
            );
        }
        if row.change == Change::Moved && rank.is_some_and(|rank| row.rank <= rank) {
            audit.report(
                "I1",
                id,
                sequence,
                format!("rank {} does not rise above {rank:?}", row.rank),
            );
        }
        hash.clone_from(&entry.hash);
        state = Some(row.to.clone());
        rank = Some(row.rank);
    }
    let transitions: Vec<Transition> = log.iter().map(|entry| entry.transition.clone()).collect();
    let born_on = GraphVersion(log.first().map_or(0, |birth| birth.graph_version));
    match Instance::replay(&transitions, born_on) {
        None => audit.report("I1", id, None, "the log is empty".to_owned()),
        Some(replayed) if replayed != order.order => {
            let tell =
                |it: &Instance| format!("{} at revision {}, version {}", it.state, it.revision, it.graph_version);
            let detail = format!(
                "the instance is in {}, its log says {}",
                tell(&order.order),
                tell(&replayed)
            );
            audit.report("I2", id, None, detail);
        }
        Some(_) if order.log_hash != hash => {
            audit.report(
                "I2",
                id,
                None,
                "the instance does not hold the hash of its newest log row".to_owned(),
            );
        }
        Some(_) => {}
    }
}

/// I2: an instance has ended if its state is an end, and as that says.
fn check_outcome(audit: &mut Audit, graph: Option<&Graph>, order: &Loaded) {
    let Some(state) = graph.and_then(|graph| graph.state(order.order.state.as_str())) else {
        return;
    };
    if state.outcome != order.outcome {
        let detail = format!(
            "its outcome is {:?}, and {} means {:?}",
            order.outcome, state.name, state.outcome
        );
        audit.report("I2", order.order.id, None, detail);
    }
}

/// The field of a graph that the record keeps too.
const FAILURE_REASON: &str = "failure_reason";

/// I5, and what the record says of the state.
fn check_record(audit: &mut Audit, graph: Option<&Graph>, order: &Loaded) {
    let (id, Some(record)) = (order.order.id, &order.record) else {
        return;
    };
    let visited = order
        .order
        .visited
        .iter()
        .filter_map(|state| graph?.state(state.as_str()));
    let has_failed = visited
        .flat_map(|state| &state.requires)
        .any(|field| *field == FAILURE_REASON);
    if has_failed && record.failure_reason.is_none() {
        audit.report("I5", id, None, "a failed delivery has no reason".to_owned());
    }
    if record.live != record.outcome.is_none() {
        audit.report(
            "I2",
            id,
            None,
            format!("live is {} with outcome {:?}", record.live, record.outcome),
        );
    }
}

/// I3, I5 and I6: every move is an edge of the version that the order was pinned to then, brought what the edge requires, and asked
/// for its effects. Nothing but a migration leads from one version to another.
fn check_graph(
    audit: &mut Audit,
    graphs: impl Fn(u32) -> Option<Arc<Graph>>,
    order: &Loaded,
    log: &[LogRow],
    effects: &[Effect],
) {
    let id = order.order.id;
    let by_id: BTreeMap<_, _> = effects.iter().map(|effect| (effect.effect_id, effect)).collect();
    let mut known = std::collections::BTreeSet::new();
    let mut pinned: Option<Arc<Graph>> = None;
    for entry in log {
        let row = &entry.transition;
        let sequence = Some(row.revision.0);
        let version = GraphVersion(entry.graph_version);
        let before = pinned.as_ref().map(|graph| graph.version());
        if before != Some(version) {
            let leads_here = row.migrated().map(|(from, to)| (Some(from), to)) == Some((before, version));
            if row.change != Change::Born && !leads_here {
                let detail = format!("it is of version {version}, and no migration led there from {before:?}");
                audit.report("I6", id, sequence, detail);
            }
            pinned = graphs(version.0);
        }
        let Some(graph) = &pinned else {
            let detail = format!("graph version {version} is not known to this binary");
            audit.report("I6", id, sequence, detail);
            return;
        };
        if row.change != Change::Migrated {
            known.extend(row.fields.keys().cloned());
        }
        let entered = match (row.change, &row.from) {
            (Change::Noted, _) => continue,
            (Change::Migrated, _) => {
                if graph.state(row.to.as_str()).is_none_or(|state| state.rank != row.rank) {
                    let detail = format!("{} of rank {} is no state of version {version}", row.to, row.rank);
                    audit.report("I6", id, sequence, detail);
                }
                continue;
            }
            (Change::Born, _) => graph.initial().name == row.to,
            (Change::Moved, Some(from)) => match graph.edge(from.as_str(), row.event.as_str()) {
                None => false,
                Some(edge) => {
                    for field in edge.requires.iter().filter(|field| !known.contains(*field)) {
                        audit.report("I5", id, sequence, format!("{} requires {field}", row.event));
                    }
                    edge.to == row.to
                }
            },
            (Change::Moved, None) => false,
        };
        if !entered {
            let detail = format!(
                "{:?} –{}→ {} is no edge of version {version}",
                row.from, row.event, row.to
            );
            audit.report("I6", id, sequence, detail);
            continue;
        }
        for name in graph
            .state(row.to.as_str())
            .map(|state| &state.on_enter)
            .into_iter()
            .flatten()
        {
            if !by_id.contains_key(&effect_id(id, row.revision.0, name.as_str())) {
                audit.report("I3", id, sequence, format!("effect {name} was not recorded"));
            }
        }
    }
}

/// A process reads the clock when it begins a transaction, and writes what the clock said after it has waited for its locks, five seconds at
/// most: of two processes, the later writer may tell the earlier time. What waits while a newer effect is published is told exactly.
const CLOCKS: TimeDelta = TimeDelta::seconds(5);

/// I10: effects of one order are first published in their order.
fn check_publication(audit: &mut Audit, id: OrderId, effects: &[Effect]) {
    let mut newest: Option<DateTime<Utc>> = None;
    let mut waiting: Option<&Effect> = None;
    for effect in effects
        .iter()
        .filter(|effect| !OUT_OF_ORDER.contains(&effect.name.as_str()))
    {
        match effect.published_at {
            Some(at) => {
                if let Some(older) = waiting {
                    let detail = format!("{} was published before {}", effect.name, older.name);
                    audit.report("I10", id, Some(effect.sequence), detail);
                }
                if let Some(newest) = newest
                    && at < newest - CLOCKS
                {
                    let early = (newest - at).num_milliseconds();
                    let detail = format!("{} was published {early} ms before an older effect", effect.name);
                    audit.report("I10", id, Some(effect.sequence), detail);
                }
                newest = newest.max(Some(at));
            }
            None if effect.state == EffectState::Requested => waiting = Some(effect),
            None => {}
        }
    }
}
