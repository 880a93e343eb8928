//! `waybill status`: how everything is, on one screen.

mod screen;

use std::collections::BTreeMap;
use std::io::Write;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde::Serialize;
use serde_json::Value as Json;
use uuid::Uuid;

use super::failure::DONE;
use super::{Failure, logging};
use crate::app::open_store;
use crate::config::{Role, Settings};
use crate::engine::MACHINE;
use crate::store::record::Case;
use crate::store::{CaseFilter, Lag, Process, Store};

/// How to say it.
#[derive(Debug, Args)]
pub struct StatusOptions {
    /// For programs.
    #[arg(long)]
    json: bool,
}

/// How everything is.
#[derive(Debug, Serialize)]
struct Status {
    at: DateTime<Utc>,
    database: String,
    /// Delivery orders.
    orders: i64,
    states: Vec<Counted>,
    /// Instances of other machines, by machine.
    machines: BTreeMap<String, Vec<Counted>>,
    open_cases: OpenCases,
    effects: Effects,
    /// Those that are not settled.
    callbacks: BTreeMap<String, i64>,
    dead_messages: i64,
    /// Messages of the in-process transport.
    queues: BTreeMap<String, i64>,
    processes: Vec<Alive>,
}

#[derive(Debug, Serialize)]
struct Counted {
    state: String,
    count: i64,
}

#[derive(Debug, Serialize)]
struct OpenCases {
    count: i64,
    /// Such as `unmapped-callback`.
    kinds: BTreeMap<String, i64>,
    oldest: Option<Oldest>,
}

#[derive(Debug, Serialize)]
struct Oldest {
    case_id: Uuid,
    kind: String,
    reason: String,
    delivery_order_id: Option<Uuid>,
    opened_at: DateTime<Utc>,
    age_seconds: f64,
    claimed_by: Option<String>,
}

#[derive(Debug, Serialize)]
struct Effects {
    due: i64,
    lag_seconds: f64,
    /// Those that were tried and wait for another try, by cause.
    waiting: BTreeMap<String, i64>,
}

#[derive(Debug, Serialize)]
struct Alive {
    process: String,
    role: String,
    seen_at: DateTime<Utc>,
    breakers: Vec<BreakerState>,
}

/// A breaker, as a process tells of it.
#[derive(Debug, Serialize, serde::Deserialize)]
struct BreakerState {
    partner: String,
    operation: String,
    state: String,
}

pub(super) async fn run(options: &StatusOptions, out: &mut dyn Write) -> Result<u8, Failure> {
    let settings = Settings::from_environment(Role::Operator)?;
    logging::start_if_asked(&settings)?;
    let store = open_store(&settings, false).await?;
    let status = look(&store, super::shown(&settings, "WAYBILL_DATABASE_URL")).await?;
    if options.json {
        serde_json::to_writer_pretty(&mut *out, &status)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", screen::write(&status))?;
    }
    Ok(DONE)
}

async fn look(store: &Store, database: String) -> Result<Status, Failure> {
    let at = store.now().await?;
    let mut machines: BTreeMap<String, Vec<Counted>> = BTreeMap::new();
    for (machine, state, count) in store.count_states().await? {
        machines.entry(machine).or_default().push(Counted { state, count });
    }
    let states = machines.remove(MACHINE).unwrap_or_default();
    let oldest = store
        .cases(CaseFilter {
            open: Some(true),
            limit: 1,
        })
        .await?
        .into_iter()
        .next();
    let Lag {
        waiting,
        oldest: due_since,
    } = store.lag().await?;
    let callbacks = store.count_callbacks().await?.into_iter();
    let kinds: BTreeMap<_, _> = store.count_open_kinds().await?.into_iter().collect();
    Ok(Status {
        at,
        database,
        orders: states.iter().map(|it| it.count).sum(),
        states,
        machines,
        open_cases: OpenCases {
            count: kinds.values().sum(),
            kinds,
            oldest: oldest.map(|case| tell(case, at)),
        },
        effects: Effects {
            due: waiting,
            lag_seconds: due_since.map_or(0.0, |since| seconds(at - since)),
            waiting: store.waiting_effects().await?.into_iter().collect(),
        },
        callbacks: callbacks
            .filter(|(state, _)| matches!(state.as_str(), "received" | "parked"))
            .collect(),
        dead_messages: store.count_dead().await?,
        queues: store.count_messages().await?.into_iter().collect(),
        processes: store.processes().await?.into_iter().map(alive).collect(),
    })
}

fn tell(case: Case, at: DateTime<Utc>) -> Oldest {
    Oldest {
        case_id: case.case_id,
        kind: case.kind,
        reason: case.reason,
        delivery_order_id: case.order_id.map(|id| id.0),
        opened_at: case.opened_at,
        age_seconds: seconds(at - case.opened_at),
        claimed_by: case.claimed_by,
    }
}

fn alive(process: Process) -> Alive {
    let told = process
        .report
        .get("breakers")
        .and_then(Json::as_array)
        .cloned()
        .unwrap_or_default();
    // A newer process may tell of them in another way; then they are not shown.
    let breakers = told
        .into_iter()
        .filter_map(|breaker| serde_json::from_value(breaker).ok())
        .collect();
    Alive {
        process: process.process,
        role: process.role,
        seen_at: process.seen_at,
        breakers,
    }
}

fn seconds(span: TimeDelta) -> f64 {
    span.num_milliseconds().max(0) as f64 / 1_000.0
}
