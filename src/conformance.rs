//! One suite for both databases: what the engine promises, and what the constraints refuse when something goes around it.

mod activations;
mod appconfig;
mod bookings;
mod callbacks;
mod constraints;
mod effects;
mod fixture;
mod histories;
mod indexes;
mod machines;
mod messages;
mod migrations;
mod outgoing;
mod payments;
mod relay;
mod renamed;
mod silence;
mod subscriber;
mod transactions;
mod ways;

/// Makes a test of each function for each database.
macro_rules! on_both {
    ($($(#[$attribute:meta])* async fn $name:ident($fixture:ident: Fixture) $body:block)+) => {
        $(
            mod $name {
                use super::*;

                async fn story($fixture: Fixture) $body

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_sqlite() {
                    story(Fixture::sqlite().await).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_postgres() {
                    story(Fixture::postgres().await).await;
                }
            }
        )+
    };
}
use on_both;
