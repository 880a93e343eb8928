//! The screen of `waybill status`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::TimeDelta;

use super::{Alive, Counted, Oldest, Status};
use crate::commands::{instant, span};

/// The longest bar.
const WIDEST: i64 = 40;

pub(super) fn write(status: &Status) -> String {
    let mut out = format!("waybill at {}, {}\n\n", instant(status.at), status.database);
    let orders = if status.orders == 0 {
        "none yet".to_owned()
    } else {
        status.orders.to_string()
    };
    line(&mut out, "delivery orders", &orders);
    out.push_str(&bars(&status.states));
    for (machine, states) in &status.machines {
        let count: i64 = states.iter().map(|it| it.count).sum();
        line(&mut out, machine, &count.to_string());
        out.push_str(&bars(states));
    }
    let oldest = status.open_cases.oldest.as_ref().map(oldest).unwrap_or_default();
    line(&mut out, "open cases", &format!("{}{oldest}", status.open_cases.count));
    if !status.open_cases.kinds.is_empty() {
        line(&mut out, "  of these", &counts(&status.open_cases.kinds, ""));
    }
    line(&mut out, "effects due", &due(status));
    for (cause, count) in &status.effects.waiting {
        line(&mut out, "effects waiting", &format!("{count}, {cause}"));
    }
    line(&mut out, "callbacks", &counts(&status.callbacks, "all settled"));
    let way_out = if status.dead_messages == 0 {
        ""
    } else {
        " (waybill dead list)"
    };
    line(&mut out, "set aside", &format!("{}{way_out}", status.dead_messages));
    if !status.queues.is_empty() {
        line(&mut out, "queues", &counts(&status.queues, ""));
    }
    if status.processes.is_empty() {
        line(&mut out, "processes", "none has been heard of in the last 30 s");
    }
    for process in &status.processes {
        line(&mut out, "process", &tell(process, status.at - process.seen_at));
    }
    out
}

fn line(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "{name:<16} {text}");
}

fn bars(states: &[Counted]) -> String {
    let names = states.iter().map(|it| it.state.chars().count()).max().unwrap_or(0);
    let most = states.iter().map(|it| it.count).max().unwrap_or(1).max(1);
    let digits = most.to_string().len();
    let mut out = String::new();
    for it in states {
        // What is there at all is seen.
        let length = (it.count * WIDEST / most).max(i64::from(it.count > 0));
        let bar = "▇".repeat(usize::try_from(length).unwrap_or(0));
        let _ = writeln!(out, "  {:<names$}  {:>digits$}  {bar}", it.state, it.count);
    }
    out
}

fn oldest(case: &Oldest) -> String {
    let about = case
        .delivery_order_id
        .map_or_else(String::new, |id| format!(", delivery order {id}"));
    let claimed = case
        .claimed_by
        .as_ref()
        .map_or_else(String::new, |name| format!(", claimed by {name}"));
    let age = span::write(TimeDelta::milliseconds((case.age_seconds * 1_000.0) as i64));
    format!("; the oldest for {age}: {} {}{about}{claimed}", case.kind, case.reason)
}

fn due(status: &Status) -> String {
    match status.effects.due {
        0 => "none".to_owned(),
        due => {
            let lag = TimeDelta::milliseconds((status.effects.lag_seconds * 1_000.0) as i64);
            format!("{due}, the oldest for {}", span::write(lag))
        }
    }
}

fn counts(counts: &BTreeMap<String, i64>, none: &str) -> String {
    let texts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if texts.is_empty() {
        none.to_owned()
    } else {
        texts.join(", ")
    }
}

/// Breakers that let everything through are counted, the others named.
fn tell(process: &Alive, silent: TimeDelta) -> String {
    let tripped: Vec<String> = process
        .breakers
        .iter()
        .filter(|breaker| breaker.state != "closed")
        .map(|breaker| format!("{} {} {}", breaker.partner, breaker.operation, breaker.state))
        .collect();
    let breakers = match (process.breakers.len(), tripped.as_slice()) {
        (0, _) => String::new(),
        (count, []) => format!(", {count} breakers closed"),
        (_, tripped) => format!(", breakers: {}", tripped.join(", ")),
    };
    format!(
        "{} {}, heard of {} ago{breakers}",
        process.role,
        process.process,
        span::write(silent)
    )
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use uuid::Uuid;

    use super::super::{BreakerState, Counted, Effects, OpenCases};
    use super::*;

    fn noon() -> DateTime<Utc> {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn quiet() -> Status {
        Status {
            at: noon(),
            database: "sqlite://waybill.db".to_owned(),
            orders: 0,
            states: vec![],
            machines: BTreeMap::new(),
            open_cases: OpenCases {
                count: 0,
                kinds: BTreeMap::new(),
                oldest: None,
            },
            effects: Effects {
                due: 0,
                lag_seconds: 0.0,
                waiting: BTreeMap::new(),
            },
            callbacks: BTreeMap::new(),
            dead_messages: 0,
            queues: BTreeMap::new(),
            processes: vec![],
        }
    }

    #[test]
    fn a_quiet_screen_says_so() {
        insta::assert_snapshot!(write(&quiet()), @r"
        waybill at 2026-11-20T12:00:00Z, sqlite://waybill.db

        delivery orders  none yet
        open cases       0
        effects due      none
        callbacks        all settled
        set aside        0
        processes        none has been heard of in the last 30 s
        ");
    }

    #[test]
    fn a_busy_screen_shows_what_needs_a_hand() {
        let counted = |state: &str, count| Counted {
            state: state.to_owned(),
            count,
        };
        let breaker = |operation: &str, state: &str| BreakerState {
            partner: "standard".to_owned(),
            operation: operation.to_owned(),
            state: state.to_owned(),
        };
        let oldest = Oldest {
            case_id: Uuid::nil(),
            kind: "pending".to_owned(),
            reason: "RECIPIENT_REFUSED".to_owned(),
            delivery_order_id: Some(Uuid::nil()),
            opened_at: noon(),
            age_seconds: 7_260.0,
            claimed_by: Some("ada".to_owned()),
        };
        let alive = |breakers| Alive {
            process: "host-1".to_owned(),
            role: "work".to_owned(),
            seen_at: noon(),
            breakers,
        };
        let status = Status {
            orders: 1_201,
            states: vec![counted("CREATED", 1), counted("DELIVERY_CONFIRMED", 1_200)],
            machines: [(
                "food-order".to_owned(),
                vec![counted("PLACED", 2), counted("DELIVERED", 4)],
            )]
            .into(),
            open_cases: OpenCases {
                count: 3,
                kinds: [("pending".to_owned(), 1), ("unmapped-callback".to_owned(), 2)].into(),
                oldest: Some(oldest),
            },
            effects: Effects {
                due: 12,
                lag_seconds: 61.5,
                waiting: [("notify_customer: no queue takes messages".to_owned(), 7)].into(),
            },
            callbacks: [("parked".to_owned(), 2)].into(),
            dead_messages: 4,
            queues: [("waybill".to_owned(), 5)].into(),
            processes: vec![
                alive(vec![breaker("book", "open"), breaker("find", "closed")]),
                alive(vec![breaker("book", "closed"), breaker("find", "closed")]),
            ],
            ..quiet()
        };

        insta::assert_snapshot!(write(&status), @r"
        waybill at 2026-11-20T12:00:00Z, sqlite://waybill.db

        delivery orders  1201
          CREATED                1  ▇
          DELIVERY_CONFIRMED  1200  ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇
        food-order       6
          PLACED     2  ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇
          DELIVERED  4  ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇
        open cases       3; the oldest for 2 h 1 min: pending RECIPIENT_REFUSED, delivery order 00000000-0000-0000-0000-000000000000, claimed by ada
          of these       pending 1, unmapped-callback 2
        effects due      12, the oldest for 1 min 1 s
        effects waiting  7, notify_customer: no queue takes messages
        callbacks        parked 2
        set aside        4 (waybill dead list)
        queues           waybill 5
        process          work host-1, heard of 0.0 s ago, breakers: standard book open
        process          work host-1, heard of 0.0 s ago, 2 breakers closed
        ");
    }
}
