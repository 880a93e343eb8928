//! `waybill subscribers`: who is told over HTTP, and how it goes; what `/v1/webhook-endpoints` does, for a terminal.

mod show;

use std::io::Write;

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand, ValueEnum};
use secrecy::ExposeSecret as _;
use serde_json::json;
use uuid::Uuid;
use waybill_domain::OrderId;

use super::failure::DONE;
use super::{Failure, logging, span};
use crate::api::webhooks::views::{EndpointView, KeysView, RegisteredView};
use crate::app::{open_store, read_template};
use crate::config::{Role, Settings};
use crate::engine::outgoing::{self, NewKeys, OVERLAP_HOURS, Registration, Wrong};
use crate::outgoing::Guard;
use crate::store::Store;
use crate::store::outgoing::{Change, DeliveryFilter, Endpoint, EndpointState, Filter};

/// `waybill subscribers …`.
#[derive(Debug, Subcommand)]
pub enum SubscribersCommand {
    /// Lists the endpoints, oldest first.
    List {
        /// For programs; with keys, filters and times.
        #[arg(long)]
        json: bool,
    },
    /// Registers an endpoint and prints its keys: the secret is shown now, and never again.
    #[command(
        after_help = "Example:\n  waybill subscribers add https://shop.example/hooks --description 'the shop' --event-type delivery.delivered.v1"
    )]
    Add(AddOptions),
    /// Makes new keys and prints them, once; the old ones sign beside them for a while.
    #[command(after_help = "Example:\n  waybill subscribers rotate 0199a1b2-0000-7000-8000-000000000000 --overlap 7d")]
    Rotate {
        /// The endpoint.
        id: Uuid,
        /// How long the old keys sign on: up to 7d; 0h ends them at once.
        #[arg(long, value_name = "SPAN", value_parser = overlap)]
        overlap: Option<TimeDelta>,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Tells it nothing from now on. What waits for it has failed; `recover` tells it.
    Disable {
        /// The endpoint.
        id: Uuid,
    },
    /// Tells it again, from now on.
    Enable {
        /// The endpoint.
        id: Uuid,
    },
    /// Removes an endpoint and its keys. What it was told stays to be looked at.
    Remove {
        /// The endpoint.
        id: Uuid,
    },
    /// Sends it an event `waybill.test.v1` that says nothing; prints the delivery's id.
    Test {
        /// The endpoint.
        id: Uuid,
    },
    /// Lists what it was told, newest first.
    #[command(
        after_help = "Example:\n  waybill subscribers deliveries 0199a1b2-0000-7000-8000-000000000000 --state failed"
    )]
    Deliveries(DeliveriesOptions),
    /// Shows one delivery with every attempt: status, duration, and the first kilobyte of the answer.
    Attempts {
        /// The delivery.
        id: Uuid,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Sends one delivery again, whatever became of it, under its old `webhook-id`.
    Resend {
        /// The delivery.
        id: Uuid,
    },
    /// Tells again, from the log, what it has not taken since an instant. Safe to ask twice.
    #[command(after_help = "Example:\n  waybill subscribers recover 0199a1b2-0000-7000-8000-000000000000 --since 2d")]
    Recover {
        /// The endpoint.
        id: Uuid,
        /// An instant, or a span before now, such as 2h.
        #[arg(long, value_name = "WHEN", value_parser = span::parse_since)]
        since: DateTime<Utc>,
    },
}

/// A new endpoint. Without a filter it is told everything.
#[derive(Debug, Args)]
pub struct AddOptions {
    /// Where events are posted to: https, and a public address unless WAYBILL_WEBHOOK_NETWORKS names its network.
    url: String,
    /// For people.
    #[arg(long, default_value = "")]
    description: String,
    /// Only events of this type, such as delivery.delivered.v1; more than once for several.
    #[arg(long, value_name = "TYPE")]
    event_type: Vec<String>,
    /// Only instances of this machine.
    #[arg(long)]
    machine: Option<String>,
    /// Only orders of this customer.
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Who registers it.
    #[arg(long, value_name = "NAME", default_value = "operator")]
    by: String,
    /// For programs.
    #[arg(long)]
    json: bool,
}

/// Which deliveries.
#[derive(Debug, Args)]
pub struct DeliveriesOptions {
    /// The endpoint.
    id: Uuid,
    /// Only those that stand so.
    #[arg(long, value_enum)]
    state: Option<DeliveryState>,
    /// Only those of this delivery order.
    #[arg(long, value_name = "ID")]
    order: Option<Uuid>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
    /// For programs.
    #[arg(long)]
    json: bool,
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DeliveryState {
    /// To be sent, or sent again.
    Pending,
    /// Taken.
    Delivered,
    /// Given up.
    Failed,
}

fn overlap(text: &str) -> Result<TimeDelta, String> {
    let nothing = ["0", "0s", "0m", "0h", "0d"].contains(&text);
    let span = if nothing { TimeDelta::zero() } else { span::parse(text)? };
    outgoing::check_overlap(span).map_err(|_| "the old keys sign on for at most 7d".to_owned())
}

pub(super) async fn run(command: &SubscribersCommand, out: &mut dyn Write) -> Result<u8, Failure> {
    let settings = Settings::from_environment(Role::Operator)?;
    logging::start_if_asked(&settings)?;
    let store = open_store(&settings, false).await?;
    match command {
        SubscribersCommand::List { json } => show::endpoints(&store, *json, out).await?,
        SubscribersCommand::Add(options) => add(&settings, &store, options, out).await?,
        SubscribersCommand::Rotate { id, overlap, json } => {
            let overlap = overlap.unwrap_or(TimeDelta::hours(OVERLAP_HOURS));
            let keys = outgoing::rotate(&store, *id, overlap)
                .await?
                .ok_or_else(|| no_endpoint(*id))?;
            show::keys(&view(keys), *json, out)?;
        }
        SubscribersCommand::Disable { id } => switch(&store, *id, false, out).await?,
        SubscribersCommand::Enable { id } => switch(&store, *id, true, out).await?,
        SubscribersCommand::Remove { id } => {
            if !store.remove_endpoint(*id).await? {
                return Err(no_endpoint(*id));
            }
            writeln!(out, "removed {id}")?;
        }
        SubscribersCommand::Test { id } => {
            active(&store, *id).await?;
            let delivery = store.send_test(*id).await?.ok_or_else(|| disabled(*id))?;
            writeln!(out, "{}", delivery.delivery_id)?;
        }
        SubscribersCommand::Deliveries(options) => {
            store
                .endpoint(options.id)
                .await?
                .ok_or_else(|| no_endpoint(options.id))?;
            let filter = DeliveryFilter {
                endpoint_id: options.id,
                state: options.state.map(|state| state.as_str().to_owned()),
                order_id: options.order.map(OrderId),
                after: None,
                limit: options.limit,
            };
            show::deliveries(store.deliveries(&filter).await?, options.json, out)?;
        }
        SubscribersCommand::Attempts { id, json } => {
            let delivery = store.delivery(*id).await?.ok_or_else(|| no_delivery(*id))?;
            show::attempts(delivery, store.attempts(*id).await?, *json, out)?;
        }
        SubscribersCommand::Resend { id } => {
            let delivery = store.delivery(*id).await?.ok_or_else(|| no_delivery(*id))?;
            active(&store, delivery.endpoint_id).await?;
            store.resend(*id).await?.ok_or_else(|| disabled(delivery.endpoint_id))?;
            writeln!(out, "{id} is sent again")?;
        }
        SubscribersCommand::Recover { id, since } => recover(&store, *id, *since, out).await?,
    }
    Ok(DONE)
}

async fn add(settings: &Settings, store: &Store, options: &AddOptions, out: &mut dyn Write) -> Result<(), Failure> {
    let filter = Filter {
        event_types: (!options.event_type.is_empty()).then(|| options.event_type.clone()),
        machine: options.machine.clone(),
        customer_id: options.customer.clone(),
    };
    outgoing::check_url(&Guard::new(settings.subscribers.networks.clone()), &options.url)?;
    outgoing::check_description(&options.description)?;
    read_template(settings)?
        .graphs()
        .cloned()
        .for_each(|graph| store.know(graph));
    store.learn_all().await?;
    outgoing::check_filter(&store.every_graph(), &filter)?;
    let registration = Registration {
        url: options.url.clone(),
        description: options.description.clone(),
        filter,
        by: options.by.clone(),
    };
    let (endpoint, keys) = outgoing::register(store, registration).await?;
    let (id, keys) = (endpoint.endpoint_id, view(keys));
    if options.json {
        let registered = RegisteredView {
            endpoint: EndpointView::new(endpoint, store.keys_of(id).await?),
            secret: keys.secret,
            public_key: keys.public_key,
        };
        return show::json(&json!(registered), out);
    }
    writeln!(out, "endpoint    {id}")?;
    show::keys(&keys, false, out)
}

/// Tells again in parts, until there is no more.
async fn recover(store: &Store, id: Uuid, since: DateTime<Utc>, out: &mut dyn Write) -> Result<(), Failure> {
    active(store, id).await?;
    let mut events = 0;
    loop {
        let recovered = store.recover(id, since).await?.ok_or_else(|| disabled(id))?;
        events += recovered.events;
        if !recovered.more {
            break;
        }
    }
    writeln!(out, "{events} events are told again")?;
    Ok(())
}

async fn switch(store: &Store, id: Uuid, active: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let change = Change {
        active: Some(active),
        ..Change::default()
    };
    let changed = store
        .change_endpoint(id, change)
        .await?
        .ok_or_else(|| no_endpoint(id))?;
    writeln!(out, "{id} is {}", changed.state.as_str())?;
    Ok(())
}

/// The endpoint, if it is told at all.
async fn active(store: &Store, id: Uuid) -> Result<Endpoint, Failure> {
    let endpoint = store.endpoint(id).await?.ok_or_else(|| no_endpoint(id))?;
    match endpoint.state {
        EndpointState::Active => Ok(endpoint),
        EndpointState::Disabled => Err(disabled(id)),
    }
}

fn view(keys: NewKeys) -> KeysView {
    KeysView {
        secret: keys.secret.expose_secret().to_owned(),
        public_key: keys.public_key,
    }
}

fn no_endpoint(id: Uuid) -> Failure {
    Failure::bad(format!("no endpoint {id} (waybill subscribers list)"))
}

fn no_delivery(id: Uuid) -> Failure {
    Failure::bad(format!("no delivery {id} (waybill subscribers deliveries ENDPOINT)"))
}

fn disabled(id: Uuid) -> Failure {
    Failure::bad(format!("endpoint {id} is disabled (waybill subscribers enable {id})"))
}

impl DeliveryState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Self {
        Self::usage(wrong.to_string())
    }
}
