//! The relay on a real store: what is in the way of one order keeps nobody else waiting.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::fixture::Fixture;
use super::on_both;
use crate::engine::Engine;
use crate::local::LocalTransport;
use crate::relay::Relay;

/// What is due is looked after by this process until that is so.
async fn look_after(engine: &Engine, is_so: impl AsyncFn() -> bool) {
    let transport = LocalTransport::new(engine.clone(), Arc::default());
    let stop = CancellationToken::new();
    let looking = tokio::spawn(Relay::new(engine.clone(), transport).look_after(Arc::default(), stop.clone()));
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(15), waiting).await;
    stop.cancel();
    looking.await.expect("the relay ends well");
    done.expect("it is so within fifteen seconds");
}

on_both! {
    async fn a_deadline_that_this_program_cannot_fire_keeps_nothing_else_waiting(fixture: Fixture) {
        let unreadable = fixture.order("o1").await;
        let beside = fixture.order("o2").await;
        fixture.make_unreadable(unreadable).await;
        let later = fixture.later(TimeDelta::hours(49)).await;
        let unsent = "SELECT COUNT(*) AS count FROM effects WHERE state = 'requested'";
        assert!(fixture.count(unsent).await > 0);

        look_after(&later, async || {
            fixture.state(beside).await == "PENDING_BY_OPERATOR" && fixture.count(unsent).await == 0
        }).await;

        assert_eq!(fixture.state(unreadable).await, "CREATED");
        let due = later.store().due_deadlines(10).await.unwrap();
        assert_eq!(due.iter().map(|it| it.order_id).collect::<Vec<_>>(), [unreadable], "it waits for who can");
    }
}
