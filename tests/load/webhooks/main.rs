//! A load of signed callbacks over HTTP, and the peer that they are measured against: `webhook-load send …`, `webhook-load peer …`.
//!
//! Everything is signed before the clock starts, and the client is as thin as it can be: it shares its cores with what it measures.

mod callbacks;
mod connection;
mod peer;

use std::time::{Duration, Instant};

use clap::{Args, Parser};
use serde_json::json;
use tokio::task::JoinSet;

use callbacks::Callbacks;
use connection::Connection;

#[derive(Parser)]
enum Command {
    /// Sends signed callbacks and prints one line of JSON: how many a second, and how long an answer took.
    Send(Send),
    /// An axum handler that inserts each body by a statement of its own, in a transaction of its own.
    Peer(peer::Peer),
}

#[derive(Args)]
struct Send {
    /// Where the receiver listens.
    #[arg(long)]
    addr: String,
    /// The path, with the partner's name.
    #[arg(long)]
    path: String,
    /// The partner's secret, `whsec_…`.
    #[arg(long)]
    secret: String,
    /// How many callbacks.
    #[arg(long)]
    count: usize,
    /// Over how many connections, each with one request in the air.
    #[arg(long)]
    connections: usize,
    /// So many a second, whatever the answers take; as fast as the answers come if none is given.
    #[arg(long)]
    rate: Option<f64>,
}

#[tokio::main]
async fn main() {
    match Command::parse() {
        Command::Send(load) => println!("{}", load.run().await),
        Command::Peer(peer) => peer.serve().await,
    }
}

impl Send {
    async fn run(self) -> serde_json::Value {
        let callbacks = Callbacks::new(&self.addr, &self.path, &self.secret);
        let mut connections = Vec::new();
        for number in 0..self.connections {
            let share = (number..self.count).step_by(self.connections);
            let requests: Vec<(usize, Vec<u8>)> = share.map(|index| (index, callbacks.request(index))).collect();
            connections.push((Connection::open(&self.addr).await, requests));
        }

        let start = Instant::now();
        let mut running = JoinSet::new();
        for (connection, requests) in connections {
            running.spawn(drive(connection, requests, self.rate, start));
        }
        let mut latencies: Vec<Duration> = running.join_all().await.into_iter().flatten().collect();
        let seconds = start.elapsed().as_secs_f64();

        latencies.sort_unstable();
        let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        json!({"per_second": latencies.len() as f64 / seconds, "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0)})
    }
}

/// One request after the other. At a given rate a latency counts from the instant at which the request was to be sent, so that
/// a slow answer does not hide the requests that had to wait behind it.
async fn drive(
    mut connection: Connection,
    requests: Vec<(usize, Vec<u8>)>,
    rate: Option<f64>,
    start: Instant,
) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(requests.len());
    for (index, request) in requests {
        let mut due = Instant::now();
        if let Some(rate) = rate {
            due = start + Duration::from_secs_f64(index as f64 / rate);
            tokio::time::sleep_until(due.into()).await;
        }
        let status = connection.ask(&request).await;
        assert_eq!(status, 200, "the answer to callback {index}");
        latencies.push(due.elapsed());
    }
    latencies
}
