//! I7: what concurrent callers were told is what one after the other could have been told.

use serde_json::json;
use uuid::Uuid;
use waybill_domain::{DeliveryOrder, OrderId};

use super::fixture::{Fixture, report};
use super::on_both;
use crate::engine::{Answer, Engine};

/// One call: when it began and ended, what was reported, and what was answered.
struct Call {
    began: std::time::Instant,
    ended: std::time::Instant,
    event: &'static str,
    answer: Answer,
}

const EVENTS: [&str; 6] = [
    "PARTNER_PICKED_UP",
    "PARTNER_DELIVERED",
    "PARTNER_FAILED",
    "CANCELLED",
    "CUSTOMER_CONFIRMED",
    "OPERATOR_ESCALATED",
];

async fn call(engine: Engine, id: OrderId, event: &'static str) -> Call {
    let fields = match event {
        "PARTNER_PICKED_UP" => json!({ "partner_order_number": format!("N-{id}") }),
        "PARTNER_FAILED" => json!({ "failure_reason": "LOST" }),
        "CANCELLED" => json!({ "cancel_reason": "OPERATOR_DECISION" }),
        _ => json!({}),
    };
    let began = std::time::Instant::now();
    let answer = engine
        .report(report(id, event, fields, &Uuid::new_v4().to_string()))
        .await
        .expect("the store answers");
    Call {
        began,
        ended: std::time::Instant::now(),
        event,
        answer,
    }
}

/// Whether some order of the calls, one after the other and none before one that had ended when it began, gives these answers.
///
/// What was applied is ordered by its revision; a refusal must fit at least one state of the order between its beginning and its end.
fn is_linearizable(log: &[waybill_domain::Transition], graph: &waybill_domain::Graph, calls: &[Call]) -> bool {
    let mut applied: Vec<(i64, &Call)> = calls
        .iter()
        .filter_map(|call| match call.answer {
            Answer::Applied { revision } => Some((revision, call)),
            _ => None,
        })
        .collect();
    applied.sort_by_key(|(revision, _)| *revision);
    let in_real_time = applied.windows(2).all(|pair| pair[0].1.began <= pair[1].1.ended);
    let fits = |call: &Call| {
        let Answer::Refused(refusal) = &call.answer else {
            return true;
        };
        let first = applied
            .iter()
            .filter(|(_, it)| it.ended < call.began)
            .map(|(revision, _)| *revision)
            .max()
            .unwrap_or(1);
        let last = applied
            .iter()
            .filter(|(_, it)| it.began < call.ended)
            .map(|(revision, _)| *revision)
            .max()
            .unwrap_or(1);
        (first..=last).any(|revision| {
            let rows = log.iter().take_while(|row| row.revision.0 <= revision);
            let order = DeliveryOrder::replay(rows, graph.version()).expect("a log begins with a birth");
            let told = refusal.to_string();
            told.contains(call.event) && told.contains(order.state.as_str())
        })
    };
    in_real_time && calls.iter().all(fits)
}

on_both! {
    async fn concurrent_histories_of_an_order_are_linearizable(fixture: Fixture) {
        let other = fixture.another().await;
        for round in 0..12 {
            let id = fixture.order(&format!("o{round}")).await;
            let calls = (0..24).map(|n| {
                let engine = if n % 2 == 0 { fixture.engine.clone() } else { other.clone() };
                tokio::spawn(call(engine, id, EVENTS[(n * 7 + round) % EVENTS.len()]))
            });
            let calls: Vec<Call> =
                futures_util::future::join_all(calls.collect::<Vec<_>>()).await.into_iter().map(|call| call.unwrap()).collect();

            let log = fixture.engine.store().log(id).await.unwrap();
            let log: Vec<_> = log.into_iter().map(|row| row.transition).collect();
            let graph = fixture.engine.graph_of(&crate::engine::MACHINE.into(), waybill_domain::GraphVersion(1)).await.unwrap().expect("version 1");
            let told: Vec<_> = calls.iter().map(|call| (call.event, &call.answer)).collect();
            assert!(is_linearizable(&log, &graph, &calls), "{log:#?}\n{told:#?}");
        }
        fixture.assert_sound().await;
    }
}
