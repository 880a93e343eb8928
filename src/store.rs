//! The store: what must survive a crash, on PostgreSQL or SQLite. All SQL of Waybill is in here.

mod activations;
mod audit;
mod callbacks;
mod cases;
mod celery_results;
mod chain;
pub mod committer;
mod conditions;
mod crypt;
mod db;
mod dead;
mod due;
mod flush;
mod graphs;
pub mod handover;
mod instances;
pub mod intake;
mod leader;
mod messages;
mod migrate;
mod orders;
pub mod outgoing;
mod pinned;
mod processes;
mod queries;
mod read;
pub mod record;
mod revoked;
mod rows;
mod sql;
mod unit;
mod versions;

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use serde_json::Value as Json;
use uuid::Uuid;
use waybill_domain::OrderId;

pub use activations::{Activated, Activation, Adoption, NotActivated, Retirement, Unable};
pub use audit::{Audit, Finding};
pub use callbacks::{CallbackFilter, Disposition, Heard, Rejected};
pub use cases::CaseFilter;
pub use celery_results::{CeleryResults, NotAResultUrl};
pub use chain::digest;
pub use crypt::{Crypt, CryptError, DataKey, Place};
pub use db::{Db, DbError};
pub use dead::DeadFilter;
pub use due::{DueDeadline, Lag};
pub use graphs::{Unreadable, read_graph};
pub use instances::InstanceFilter;
pub use leader::Leadership;
pub use migrate::MigrateError;
pub use orders::{LogEntry, OrderFilter, Stored};
pub use pinned::{Pinned, Standing};
pub use processes::Process;
pub use queries::CasePage;
pub use unit::{Needs, Unit, Writes};

/// Namespace of the ids that are derived.
const NAMESPACE: Uuid = Uuid::from_u128(0x7761_7962_696c_6c00_8000_6566_6665_6374);

/// The id of an effect, and of the task that carries it: derived, so that twice is once.
pub fn effect_id(order_id: OrderId, sequence: i64, effect: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{order_id}/{sequence}/{effect}").as_bytes())
}

/// The database, its clock and the data keys.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    crypt: Arc<Crypt>,
    clock: Arc<RwLock<ClockSample>>,
    offset: TimeDelta,
    graphs: graphs::Known,
}

/// The database's clock, read once in a while and carried on by a clock that never jumps.
#[derive(Debug, Clone, Copy)]
struct ClockSample {
    database: DateTime<Utc>,
    read_at: Instant,
}

impl ClockSample {
    /// Asks the database. Its answer is taken for the middle of the question's way: on a busy machine that way is long, and two
    /// processes would differ by it.
    async fn take(db: &Db) -> Result<Self, DbError> {
        let asked = Instant::now();
        let database = db.clock().await?;
        let read_at = asked + asked.elapsed() / 2;
        Ok(Self { database, read_at })
    }
}

/// How long a sample of the database's clock is carried on.
const CLOCK_SAMPLE: Duration = Duration::from_secs(5);

impl Store {
    /// On this database, with these keys. `offset` moves the clock, in tests.
    pub async fn open(db: Db, crypt: Arc<Crypt>, offset: TimeDelta) -> Result<Self, DbError> {
        let sample = ClockSample::take(&db).await?;
        Ok(Self {
            db,
            crypt,
            clock: Arc::new(RwLock::new(sample)),
            offset,
            graphs: graphs::Known::default(),
        })
    }

    /// The database's clock (plus the offset of tests), to the microsecond. Every deadline is armed and fired by it.
    pub async fn now(&self) -> Result<DateTime<Utc>, DbError> {
        if self.sample().read_at.elapsed() >= CLOCK_SAMPLE {
            let sample = ClockSample::take(&self.db).await?;
            *self.clock.write().expect("nothing panics while it holds this") = sample;
        }
        Ok(self.estimated_now())
    }

    /// The same without asking: the newest sample of the database's clock, carried on.
    pub fn estimated_now(&self) -> DateTime<Utc> {
        let sample = self.sample();
        (sample.database + sample.read_at.elapsed() + self.offset).trunc_subsecs(6)
    }

    fn sample(&self) -> ClockSample {
        *self.clock.read().expect("nothing panics while it holds this")
    }

    /// The database, for `doctor` and tests.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The data keys.
    pub fn crypt(&self) -> &Crypt {
        &self.crypt
    }

    /// Encrypts JSON for its place.
    pub fn seal(&self, place: Place<'_>, value: &Json) -> Vec<u8> {
        self.crypt.seal(place, value.to_string().as_bytes())
    }

    /// Decrypts JSON of its place.
    pub fn unseal(&self, place: Place<'_>, blob: &[u8]) -> Result<Json, CryptError> {
        let plain = self.crypt.open(place, blob)?;
        serde_json::from_slice(&plain).map_err(|_| CryptError::Unopenable(format!("{}.{}", place.table, place.column)))
    }
}
