//! Live orders move to another version of their graph, one by one and many at a time, beside everything else that moves them.
//!
//! Each order is moved by a command of its own, under the same locks and checks as any other: its log row, its version and its
//! deadline are written together or not at all. What is on the new version already is done, so that whoever was stopped or killed
//! begins again and goes on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use waybill_domain::{Actor, ArmedDeadline, GraphVersion, Migration, StateName, Transition};

use super::EngineError;
use crate::store::committer::{Command, Committer};
use crate::store::record::Loaded;
use crate::store::{Needs, Standing, Store, Unit};

/// Orders that share a commit: few, so that nobody who meets one of them waits long.
const BATCH: usize = 64;
/// How often an order is looked at again that another one moved meanwhile.
const TRIES: u32 = 3;

/// What becomes, or became, of all live orders of a version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// By the state that they are in.
    pub states: BTreeMap<StateName, Tally>,
    /// Nobody may move there any more: the version was retired meanwhile.
    pub is_closed: bool,
}

/// What becomes of the orders in one state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many may move, or were moved.
    pub moved: u64,
    /// How many stay, by what keeps them.
    pub stay: BTreeMap<String, u64>,
    /// How many were moved by others at every look, and stay until the next run.
    pub elsewhere: u64,
    /// Their deadlines.
    pub deadlines: Deadlines,
}

/// What becomes of the deadlines of those who move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Deadlines {
    /// As they were armed.
    pub kept: u64,
    /// Armed as the new version says.
    pub rearmed: u64,
    /// Of these, already over: they happen at once.
    pub overdue: u64,
    /// The new version has none.
    pub dropped: u64,
}

impl Account {
    /// How many may move, or were moved.
    pub fn moved(&self) -> u64 {
        self.states.values().map(|tally| tally.moved).sum()
    }

    /// How many stay.
    pub fn stay(&self) -> u64 {
        let stay = |tally: &Tally| tally.stay.values().sum::<u64>() + tally.elsewhere;
        self.states.values().map(stay).sum()
    }

    fn of(&mut self, state: &StateName) -> &mut Tally {
        self.states.entry(state.clone()).or_default()
    }

    fn count_move(&mut self, before: Option<&ArmedDeadline>, moved: &Transition) {
        let Some(from) = &moved.from else { return };
        let tally = self.of(from);
        tally.moved += 1;
        match (before, &moved.deadline) {
            (before, Some(after)) if before == Some(after) => tally.deadlines.kept += 1,
            (_, Some(after)) => {
                tally.deadlines.rearmed += 1;
                tally.deadlines.overdue += u64::from(after.at <= moved.at);
            }
            (Some(_), None) => tally.deadlines.dropped += 1,
            (None, None) => {}
        }
    }

    fn count_stay(&mut self, state: &StateName, why: Vec<String>) {
        *self.of(state).stay.entry(why.join("; ")).or_default() += 1;
    }
}

/// Moves orders, as one more writer beside the nodes.
#[derive(Debug, Clone)]
pub struct Migrator {
    store: Store,
    committer: Committer,
    migration: Arc<Migration>,
}

impl Migrator {
    /// For this migration.
    pub fn start(store: Store, migration: Migration) -> Self {
        // No effects follow from a migration, and the leader of the nodes looks at deadlines by itself.
        let (committer, _) = Committer::start(store.clone(), Arc::new(|_, _| ()));
        Self {
            store,
            committer,
            migration: Arc::new(migration),
        }
    }

    /// Says for every live order of the version what would become of it, and changes nothing.
    pub async fn rehearse(&self, mut progress: impl FnMut(&Account) + Send) -> Result<Account, EngineError> {
        let mut account = Account::default();
        let mut after = None;
        loop {
            let (machine, version) = self.leaving();
            let page = self.store.pinned(machine, version, after).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.loaded.order.id);
            let now = self.store.now().await?;
            for order in page.iter().filter(|order| order.loaded.is_live()) {
                let decided = decide(&self.migration, &order.loaded, order.entered_at, Actor::system(), now);
                match decided {
                    Ok(moved) => account.count_move(armed(&order.loaded).as_ref(), &moved),
                    Err(why) => account.count_stay(&order.loaded.order.state, why),
                }
            }
            progress(&account);
        }
        Ok(account)
    }

    /// Moves every live order that may move, at most so many a second, until all are seen or `stop` says so; what is in hand then
    /// is finished.
    pub async fn run(
        &self,
        by: Actor,
        per_second: NonZeroU32,
        stop: &CancellationToken,
        mut progress: impl FnMut(&Account) + Send,
    ) -> Result<Account, EngineError> {
        let mut account = Account::default();
        let mut after = None;
        'pages: loop {
            let (machine, version) = self.leaving();
            let page = self.store.standing(machine, version, after).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for orders in page.chunks(BATCH) {
                if stop.is_cancelled() || account.is_closed {
                    break 'pages;
                }
                let began = Instant::now();
                self.take(orders, &by, &mut account).await?;
                progress(&account);
                let breath = breath(orders.len(), per_second, began.elapsed());
                stop.run_until_cancelled(tokio::time::sleep(breath)).await;
            }
        }
        Ok(account)
    }

    fn leaving(&self) -> (&str, GraphVersion) {
        let from = self.migration.from();
        (from.machine().as_str(), from.version())
    }

    /// Moves these orders in one commit; those that others moved meanwhile are read again.
    async fn take(&self, orders: &[Standing], by: &Actor, account: &mut Account) -> Result<(), EngineError> {
        let mut orders = orders.to_vec();
        for _ in 0..TRIES {
            let looked_at = std::mem::take(&mut orders);
            let moves = looked_at.iter().map(|order| {
                self.committer.submit(MoveOver {
                    migration: self.migration.clone(),
                    order: order.clone(),
                    by: by.clone(),
                })
            });
            let answers = try_join_all(moves).await?;
            for (order, answer) in looked_at.iter().zip(answers) {
                match answer {
                    Moved::Over { armed, by } => account.count_move(armed.as_ref(), &by),
                    Moved::Stays(why) => account.count_stay(&order.state, why),
                    Moved::Closed => account.is_closed = true,
                    // It ended, or is where it should be.
                    Moved::Gone => {}
                    Moved::Elsewhere => {
                        let (_, version) = self.leaving();
                        orders.extend(self.store.still_standing(version, order.id).await?);
                    }
                }
            }
            if orders.is_empty() {
                return Ok(());
            }
        }
        for order in &orders {
            account.of(&order.state).elsewhere += 1;
        }
        Ok(())
    }
}

fn decide(
    migration: &Migration,
    order: &Loaded,
    entered_at: DateTime<Utc>,
    by: Actor,
    now: DateTime<Utc>,
) -> Result<Transition, Vec<String>> {
    migration.decide(&order.order, armed(order).as_ref(), entered_at, by, now)
}

fn armed(order: &Loaded) -> Option<ArmedDeadline> {
    order.deadline.as_ref().map(|armed| ArmedDeadline {
        event: armed.event.clone(),
        at: armed.due_at,
    })
}

/// How long to leave the database to others: so long that no more are moved in a second than were allowed, and at least as long as
/// it was busy.
fn breath(orders: usize, per_second: NonZeroU32, busy: Duration) -> Duration {
    let orders = u32::try_from(orders).unwrap_or(u32::MAX);
    let due = Duration::from_secs(1) * orders / per_second.get();
    due.saturating_sub(busy).max(busy)
}

/// What became of one order.
enum Moved {
    /// It is on the new version.
    Over {
        /// The deadline that it had.
        armed: Option<ArmedDeadline>,
        /// The row of its log.
        by: Box<Transition>,
    },
    /// This keeps it where it is.
    Stays(Vec<String>),
    /// It does not live on the old version any more.
    Gone,
    /// It has come to another state meanwhile.
    Elsewhere,
    /// The new version was retired.
    Closed,
}

struct MoveOver {
    migration: Arc<Migration>,
    order: Standing,
    by: Actor,
}

impl Command for MoveOver {
    type Answer = Moved;

    fn needs(&self) -> Needs {
        let to = self.migration.to();
        Needs {
            orders: BTreeSet::from([self.order.id]),
            settles: Some((to.machine().clone(), to.version())),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> Moved {
        if unit.is_retired {
            return Moved::Closed;
        }
        let Some(loaded) = unit.orders.get(&self.order.id) else {
            return Moved::Gone;
        };
        if !loaded.is_live() || loaded.order.graph_version != self.migration.from().version() {
            return Moved::Gone;
        }
        // A state is entered once: who stands where it stood has been there since, whatever was noted meanwhile.
        if loaded.order.state != self.order.state {
            return Moved::Elsewhere;
        }
        let (entered_at, by) = (self.order.entered_at, self.by.clone());
        match decide(&self.migration, loaded, entered_at, by, unit.now) {
            Ok(moved) => {
                let armed = armed(loaded);
                unit.take(&moved);
                Moved::Over {
                    armed,
                    by: Box::new(moved),
                }
            }
            Err(why) => Moved::Stays(why),
        }
    }
}
