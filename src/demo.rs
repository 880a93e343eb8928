//! The whole life of many orders on one machine with nothing installed: a SQLite file, the in-process transport, a simulated partner
//! on a real port, real signed callbacks, customers who follow their links, an operator who arranges new deliveries.

mod basket;
mod people;
mod screen;
mod verdict;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::TimeDelta;
use clap::Args;
use waybill_domain::Role;

use crate::api::Auth;
use crate::app::{App, DeliveryPartners, Does, Work};
use crate::config::{self, Settings};
use crate::engine::MACHINE;
use crate::partner_sim::SimulatorOptions;

use basket::Basket;
use people::People;
use screen::Screen;
use verdict::Verdict;

/// `waybill demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// How many orderings are paid.
    #[arg(long, default_value_t = 200)]
    pub orders: u32,
    /// The same seed makes the same orderings and the same partner.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Give up after so many seconds.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// What is logged beside the picture, as WAYBILL_LOG says it.
    #[arg(long, default_value = "error", value_name = "FILTER")]
    pub log: String,
    /// Leave the server up afterwards, for a look.
    #[arg(long)]
    pub keep: bool,
}

/// In so many seconds all orderings are paid.
const PAYING: Duration = Duration::from_secs(5);

/// Runs the demo; answers whether every order is where it must be.
pub async fn run(args: DemoArgs) -> anyhow::Result<bool> {
    let folder = tempfile_folder()?;
    let settings = settings(&folder)?;
    let tokens = settings.tokens.as_ref().context("the demo has a development key")?;
    let token = Auth::from_settings(tokens)?.issue(Role::Operator, "demo-operator", TimeDelta::hours(8))?;
    let partners = DeliveryPartners::simulated(partner(args.seed)?).await?;
    let app = App::start_with(&settings, Does::usual(true, Work::Everything), partners).await?;
    println!(
        "Waybill demo: {} orderings, a partner that fails, lies, repeats itself and is away for a while.",
        args.orders
    );
    println!(
        "Everything is in {}; the API is at {}",
        folder.display(),
        app.public_url
    );

    let baskets = Basket::fill(args.orders, args.seed);
    let people = People::employ(&app, &token)?;
    let paying = tokio::spawn(people.clone().pay(baskets.clone(), PAYING));
    let graph = app.engine.template().graphs().find(|graph| graph.machine() == MACHINE);
    let mut screen = Screen::new(graph.context("the template has a graph of delivery orders")?);
    let started = Instant::now();
    let verdict = loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        people.operate().await?;
        let verdict = Verdict::look(&app, &people, &baskets, paying.is_finished()).await?;
        screen.show(&verdict, started.elapsed())?;
        if verdict.is_settled() || started.elapsed() > Duration::from_secs(args.seconds) {
            break verdict;
        }
    };
    paying.await??;
    screen.end()?;
    let good = verdict.prove(&app, started.elapsed()).await?;
    if args.keep {
        println!(
            "\nThe server stays up at {} until Ctrl-C. An operator's token:\n{token}",
            app.public_url
        );
        println!(
            "Try: curl -H 'Authorization: Bearer …' {}/v1/delivery-orders?limit=2",
            app.public_url
        );
        tokio::signal::ctrl_c().await?;
    }
    people.rest().await;
    app.shut_down().await;
    if !args.keep {
        std::fs::remove_dir_all(&folder).ok();
    }
    Ok(good)
}

/// A folder of its own, so that nothing of an earlier run is in the way.
fn tempfile_folder() -> anyhow::Result<std::path::PathBuf> {
    let folder = std::env::temp_dir().join(format!("waybill-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn settings(folder: &Path) -> anyhow::Result<Settings> {
    let file = folder.join("waybill.db");
    let given = BTreeMap::from([
        (
            "WAYBILL_DATABASE_URL".to_owned(),
            format!("sqlite://{}", file.display()),
        ),
        ("WAYBILL_HTTP_ADDR".to_owned(), "127.0.0.1:0".to_owned()),
    ]);
    Ok(Settings::load_in(folder, given.into_iter(), config::Role::Demo)?)
}

/// A partner that does most of what partners do wrong.
fn partner(seed: u64) -> anyhow::Result<SimulatorOptions> {
    // The application makes the secret that counts; this one only fills the place.
    let secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
        .parse()
        .map_err(anyhow::Error::msg)?;
    Ok(SimulatorOptions {
        seed,
        fail: 0.03,
        error: 0.01,
        error_after_booking: 0.02,
        duplicate: 0.1,
        reorder: 0.1,
        wrong_signature: 0.05,
        outage: Some("2+4".parse().map_err(anyhow::Error::msg)?),
        walk_delay: Duration::from_millis(600),
        ..SimulatorOptions::honest(secret)
    })
}

/// What the parts of the demo share.
type Shared<T> = Arc<std::sync::Mutex<T>>;
