//! The relay on a real store: what is in the way of one order keeps nobody else waiting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use secrecy::SecretString;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::fixture::Fixture;
use super::on_both;
use crate::engine::Engine;
use crate::local::LocalTransport;
use crate::relay::Relay;
use crate::store::{Db, Store};

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

    async fn what_is_published_again_is_not_forgotten_again_at_once(fixture: Fixture) {
        fixture.order("o1").await;
        let soon = fixture.later(TimeDelta::seconds(10)).await;
        soon.mark_sent(&soon.store().due_effects(10, &[]).await.unwrap()).await.unwrap();
        let later = fixture.later(TimeDelta::minutes(16)).await;
        let forgotten = later.store().forgotten_effects(10).await.unwrap();
        assert_eq!(forgotten.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["book_delivery_partner"]);

        let published = "SELECT COUNT(*) AS count FROM messages WHERE queue = 'waybill'";
        look_after(&later, async || fixture.count(published).await > 0).await;

        assert_eq!(later.store().forgotten_effects(10).await.unwrap(), vec![]);
        let much_later = fixture.later(TimeDelta::minutes(32)).await;
        let again = much_later.store().forgotten_effects(10).await.unwrap();
        let before = |it: &crate::store::record::Effect| (it.effect_id, it.state, it.attempts, it.published_at);
        assert_eq!(again.iter().map(before).collect::<Vec<_>>(), forgotten.iter().map(before).collect::<Vec<_>>());
    }
}

/// Answers an address behind which that server is, until it is cut off: then nothing comes through any more, and nobody is told.
async fn behind_a_cut(server: String, cut: CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let (server, cut) = (server.clone(), cut.clone());
            tokio::spawn(async move {
                let mut far = TcpStream::connect(server).await.unwrap();
                let _ = cut.run_until_cancelled(copy_bidirectional(&mut near, &mut far)).await;
                std::future::pending::<()>().await;
            });
        }
    });
    address
}

#[tokio::test]
async fn who_hears_nothing_of_the_server_any_more_leads_no_longer() {
    let server = Fixture::server();
    let (user, rest) = server.rsplit_once('@').expect("a user");
    let (address, database) = rest.split_once('/').expect("a database");
    let cut = CancellationToken::new();
    let address = behind_a_cut(address.to_owned(), cut.clone()).await;
    let url = SecretString::from(format!("{user}@{address}/{database}"));
    let db = Db::postgres(&url, None).await.unwrap();
    let store = Store::open(db, Fixture::first_key(), TimeDelta::zero()).await.unwrap();
    let mut leadership = store.lead().await.unwrap().expect("nobody else leads there");
    assert!(leadership.lasts().await);

    cut.cancel();

    let lasts = tokio::time::timeout(Duration::from_secs(10), leadership.lasts()).await;
    assert_eq!(lasts, Ok(false));
}
