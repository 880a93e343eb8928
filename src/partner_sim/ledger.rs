//! What the simulated partner was asked and what it told, kept to be compared with what Waybill believes.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::dialects::{Delivery, Reason};

/// Calls and callbacks kept per delivery; of more, the number is kept. A long outage must not eat the memory.
const KEPT: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Entry>,
    by_reference: HashMap<String, usize>,
    by_id: HashMap<String, usize>,
    callbacks: Callbacks,
}

#[derive(Debug, Default)]
struct Callbacks {
    attempts: u64,
    told: u64,
    given_up: u64,
    lost: u64,
    pending: u64,
    walking: u64,
}

/// One delivery, by our reference.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// The delivery order's id.
    pub reference: String,
    /// The partner's id; empty as long as nothing is booked.
    pub id: String,
    /// `unbooked`, `rejected`, `booked`, `picked_up`, `delivered`, `failed` or `cancelled`.
    pub state: &'static str,
    /// Requests about it.
    pub calls: Vec<CallRecord>,
    /// Callbacks about it, each attempt.
    pub callbacks: Vec<CallbackRecord>,
    /// Calls and callbacks that are no longer listed.
    pub omitted: u64,
    /// The partner's word for why it failed.
    pub reason: Option<&'static str>,
    /// It was booked more than once: under another idempotency key, or again where there are no keys.
    pub double_booked: bool,
    #[serde(skip)]
    failed: Option<Reason>,
    #[serde(skip)]
    number: String,
    #[serde(skip)]
    callback_url: String,
    #[serde(skip)]
    keys: HashSet<String>,
    #[serde(skip)]
    asked: HashMap<&'static str, usize>,
}

/// One request.
#[derive(Debug, Clone, Serialize)]
pub struct CallRecord {
    /// `book`, `find`, `view` or `cancel`.
    pub op: &'static str,
    /// The idempotency key.
    pub key: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// The status answered; 0 is none at all.
    pub answer: u16,
}

/// One attempt of one callback.
#[derive(Debug, Clone, Serialize)]
pub struct CallbackRecord {
    /// The partner's word, such as `delivery.picked_up`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The event's id, where the partner tells one.
    pub id: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What the receiver answered; 0 is nothing.
    pub status: u16,
    /// Counted from 1.
    pub attempt: u32,
    /// Signed wrongly, on purpose: must not be accepted.
    pub forged: bool,
}

/// The ledger in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// References that were booked.
    pub bookings: u64,
    /// Of these, more than once: must be 0.
    pub double_bookings: u64,
    /// References whose booking was refused.
    pub rejected: u64,
    /// Under way, not picked up.
    pub booked: u64,
    /// Picked up, not there yet.
    pub picked_up: u64,
    /// Delivered.
    pub delivered: u64,
    /// Failed.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Attempts of callbacks.
    pub callback_attempts: u64,
    /// Callbacks that were accepted.
    pub callbacks_told: u64,
    /// Callbacks that nobody accepted.
    pub callbacks_given_up: u64,
    /// Callbacks that were never told, on purpose.
    pub callbacks_lost: u64,
    /// Callbacks that are still being told.
    pub callbacks_pending: u64,
    /// Deliveries that still have something to tell.
    pub walking: u64,
}

/// A booking as it is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewBooking<'a> {
    pub(super) reference: &'a str,
    /// None where the partner knows no keys.
    pub(super) key: Option<&'a str>,
    pub(super) callback_url: &'a str,
}

/// What a booking met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Booked {
    First,
    Again,
}

/// What a cancellation met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CancelResult {
    /// By this request.
    Now,
    Before,
    TooLate,
}

impl Ledger {
    /// Counts a request and answers how many of its kind came before it.
    pub(super) fn count_call(&self, reference: &str, op: &'static str) -> usize {
        let mut inner = self.lock();
        let asked = inner.entry(reference).asked.entry(op).or_default();
        *asked += 1;
        *asked - 1
    }

    pub(super) fn note_call(&self, reference: &str, call: CallRecord) {
        let mut inner = self.lock();
        let entry = inner.entry(reference);
        if entry.calls.len() < KEPT {
            entry.calls.push(call)
        } else {
            entry.omitted += 1
        }
    }

    pub(super) fn note_callback(&self, reference: &str, callback: CallbackRecord) {
        let mut inner = self.lock();
        inner.callbacks.attempts += 1;
        let entry = inner.entry(reference);
        if entry.callbacks.len() < KEPT {
            entry.callbacks.push(callback)
        } else {
            entry.omitted += 1
        }
    }

    pub(super) fn begin_callback(&self) {
        self.lock().callbacks.pending += 1;
    }

    pub(super) fn end_callback(&self, told: bool) {
        let mut inner = self.lock();
        inner.callbacks.pending -= 1;
        if told {
            inner.callbacks.told += 1
        } else {
            inner.callbacks.given_up += 1
        }
    }

    pub(super) fn lose_callback(&self) {
        self.lock().callbacks.lost += 1;
    }

    pub(super) fn begin_walk(&self) {
        self.lock().callbacks.walking += 1;
    }

    pub(super) fn end_walk(&self) {
        self.lock().callbacks.walking -= 1;
    }

    /// Books once per reference, whatever the key.
    pub(super) fn book(&self, booking: NewBooking<'_>, id: &str, number: &str) -> Booked {
        let mut inner = self.lock();
        let entry = inner.entry(booking.reference);
        let first = entry.id.is_empty();
        entry.keys.extend(booking.key.map(str::to_owned));
        entry.double_booked |= entry.keys.len() > 1 || (booking.key.is_none() && !first);
        if !first {
            return Booked::Again;
        }
        entry.id = id.to_owned();
        entry.number = number.to_owned();
        entry.state = "booked";
        entry.callback_url = booking.callback_url.to_owned();
        let index = inner.by_reference[booking.reference];
        inner.by_id.insert(id.to_owned(), index);
        Booked::First
    }

    pub(super) fn reject(&self, reference: &str) {
        self.lock().entry(reference).state = "rejected";
    }

    /// Moves a delivery on; false where it was cancelled meanwhile.
    pub(super) fn advance(&self, reference: &str, state: &'static str) -> bool {
        let mut inner = self.lock();
        let entry = inner.entry(reference);
        let alive = entry.state != "cancelled";
        if alive {
            entry.state = state;
        }
        alive
    }

    /// Lets it fail; false where it was cancelled meanwhile.
    pub(super) fn fail(&self, reference: &str, reason: Reason) -> bool {
        let alive = self.advance(reference, "failed");
        if alive {
            let mut inner = self.lock();
            let entry = inner.entry(reference);
            (entry.failed, entry.reason) = (Some(reason), Some(reason.word));
        }
        alive
    }

    /// Calls off what has that id, which is known.
    pub(super) fn cancel(&self, id: &str) -> CancelResult {
        let mut inner = self.lock();
        let index = inner.by_id[id];
        let entry = &mut inner.entries[index];
        match entry.state {
            "booked" => {
                entry.state = "cancelled";
                CancelResult::Now
            }
            "cancelled" => CancelResult::Before,
            _ => CancelResult::TooLate,
        }
    }

    /// The delivery of a reference that was booked.
    pub(super) fn find(&self, reference: &str) -> Option<Delivery> {
        let inner = self.lock();
        let entry = &inner.entries[*inner.by_reference.get(reference)?];
        (!entry.id.is_empty()).then(|| Delivery {
            reference: entry.reference.clone(),
            id: entry.id.clone(),
            number: entry.number.clone(),
            state: entry.state,
            reason: entry.failed,
        })
    }

    /// Where a delivery that was booked reports to.
    pub(super) fn callback_url(&self, reference: &str) -> String {
        self.lock().entry(reference).callback_url.clone()
    }

    pub(super) fn reference_of(&self, id: &str) -> Option<String> {
        let inner = self.lock();
        Some(inner.entries[*inner.by_id.get(id)?].reference.clone())
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
    }

    pub(super) fn summary(&self) -> Summary {
        let inner = self.lock();
        let count = |wanted: &dyn Fn(&Entry) -> bool| inner.entries.iter().filter(|entry| wanted(entry)).count() as u64;
        let in_state = |state: &str| count(&|entry| entry.state == state);
        Summary {
            bookings: count(&|entry| !entry.id.is_empty()),
            double_bookings: count(&|entry| entry.double_booked),
            rejected: in_state("rejected"),
            booked: in_state("booked"),
            picked_up: in_state("picked_up"),
            delivered: in_state("delivered"),
            failed: in_state("failed"),
            cancelled: in_state("cancelled"),
            callback_attempts: inner.callbacks.attempts,
            callbacks_told: inner.callbacks.told,
            callbacks_given_up: inner.callbacks.given_up,
            callbacks_lost: inner.callbacks.lost,
            callbacks_pending: inner.callbacks.pending,
            walking: inner.callbacks.walking,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn entry(&mut self, reference: &str) -> &mut Entry {
        let index = match self.by_reference.get(reference) {
            Some(&index) => index,
            None => {
                self.by_reference.insert(reference.to_owned(), self.entries.len());
                self.entries.push(Entry::unbooked(reference));
                self.entries.len() - 1
            }
        };
        &mut self.entries[index]
    }
}

impl Entry {
    fn unbooked(reference: &str) -> Self {
        Self {
            reference: reference.to_owned(),
            id: String::new(),
            state: "unbooked",
            calls: Vec::new(),
            callbacks: Vec::new(),
            omitted: 0,
            reason: None,
            double_booked: false,
            failed: None,
            number: String::new(),
            callback_url: String::new(),
            keys: HashSet::new(),
            asked: HashMap::new(),
        }
    }
}
