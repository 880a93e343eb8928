//! Those around Waybill: the payment service, the customers, order management, and an operator.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use waybill_tasks::celery::message::{Message, Properties};
use waybill_tasks::celery::protocol::Request;
use waybill_tasks::celery::transport::{Delivery, Handler, Queue, Routing, Transport, Verdict};

use super::Shared;
use super::basket::Basket;
use crate::app::App;

/// Everybody, and what they have seen.
#[derive(Clone)]
pub(super) struct People {
    transport: Arc<dyn Transport>,
    http: reqwest::Client,
    base: String,
    token: String,
    pub(super) seen: Shared<Seen>,
    stop: CancellationToken,
    at_work: TaskTracker,
}

/// What people were told and what they did.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Notices by kind.
    pub(super) notices: BTreeMap<String, u64>,
    /// Customers' answers by page status and word.
    pub(super) answers: BTreeMap<&'static str, u64>,
    /// How often order management was told of each delivery order.
    pub(super) told: BTreeMap<String, u64>,
    /// New deliveries that the operator arranged.
    pub(super) redeliveries: u64,
    /// Receipts that the operator established.
    pub(super) receipts: u64,
}

/// One customer in so many says that the books are not there.
const DISPUTES: usize = 40;

impl People {
    pub(super) fn employ(app: &App, token: &str) -> anyhow::Result<Self> {
        let people = Self {
            transport: app.transport.clone(),
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(5))
                .build()?,
            base: app.public_url.clone(),
            token: token.to_owned(),
            seen: Shared::default(),
            stop: CancellationToken::new(),
            at_work: TaskTracker::new(),
        };
        for queue in ["notifications", "oms"] {
            let (transport, handler, stop) = (people.transport.clone(), Arc::new(people.clone()), people.stop.clone());
            let queue = Queue {
                name: queue.to_owned(),
                bindings: vec![],
                prefetch: 8,
            };
            people
                .at_work
                .spawn(async move { transport.consume(queue, handler, stop.into()).await });
        }
        Ok(people)
    }

    /// Ends everybody's work.
    pub(super) async fn rest(&self) {
        self.stop.cancel();
        self.at_work.close();
        self.at_work.wait().await;
    }

    /// The payment service tells of every basket, within this time.
    pub(super) async fn pay(self, baskets: Vec<Basket>, within: Duration) -> anyhow::Result<()> {
        let pause = within / u32::try_from(baskets.len().max(1))?;
        for basket in baskets {
            for _ in 0..=u32::from(basket.twice) {
                let message = Message {
                    exchange: "payments".to_owned(),
                    routing_key: "payment.succeeded".to_owned(),
                    properties: Properties {
                        content_type: Some("application/json".to_owned()),
                        ..Properties::default()
                    },
                    headers: BTreeMap::new(),
                    body: basket.event.to_string().into_bytes(),
                };
                self.transport.publish(message, Routing::Mandatory).await?;
            }
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// The operator works through the open cases: new deliveries for what failed, a word with customers who miss their books.
    pub(super) async fn operate(&self) -> anyhow::Result<()> {
        let cases = self.get("/v1/operator-cases?state=open").await?;
        for case in cases["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|case| case["kind"] == "pending")
        {
            let (Some(case_id), Some(order)) = (case["case_id"].as_str(), case["order"]["delivery_order_id"].as_str())
            else {
                continue;
            };
            let disputed = case["reason"] == "CUSTOMER_DISPUTED";
            let event = if disputed {
                json!({ "event": "RECEIPT_ESTABLISHED", "fields": { "operator_note": "the neighbour had it" } })
            } else {
                json!({ "event": "REDELIVERY_ARRANGED", "fields": { "note": "customer was called" } })
            };
            self.post(&format!("/v1/operator-cases/{case_id}/claim"), &json!({}), case_id)
                .await?;
            self.post(&format!("/v1/delivery-orders/{order}/events"), &event, case_id)
                .await?;
            let mut seen = self.seen.lock().expect("nothing panics while it holds this");
            seen.receipts += u64::from(disputed);
            seen.redeliveries += u64::from(!disputed);
        }
        Ok(())
    }

    async fn get(&self, path: &str) -> anyhow::Result<Json> {
        let answer = self
            .http
            .get(format!("{}{path}", self.base))
            .bearer_auth(&self.token)
            .send()
            .await?;
        Ok(answer
            .error_for_status()
            .with_context(|| format!("GET {path}"))?
            .json()
            .await?)
    }

    async fn post(&self, path: &str, body: &Json, key: &str) -> anyhow::Result<Json> {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .bearer_auth(&self.token)
            .header("Idempotency-Key", key);
        let answer = request.json(body).send().await?;
        Ok(answer
            .error_for_status()
            .with_context(|| format!("POST {path}"))?
            .json()
            .await?)
    }

    /// A customer reads a notice, and answers where it asks.
    async fn read_notice(&self, notice: &serde_json::Map<String, Json>) -> anyhow::Result<()> {
        let kind = notice["kind"].as_str().unwrap_or_default().to_owned();
        if kind == "confirm_receipt" {
            let url = notice["confirmation_url"].as_str().context("the notice has a link")?;
            let order = notice["delivery_order_id"].as_str().unwrap_or_default();
            let disputes = order.bytes().map(usize::from).sum::<usize>().is_multiple_of(DISPUTES);
            let word = if disputes { "no" } else { "yes" };
            let answer = self
                .http
                .post(url)
                .header("content-type", "application/x-www-form-urlencoded");
            answer
                .body(format!("received={word}"))
                .send()
                .await?
                .error_for_status()?;
            *self
                .seen
                .lock()
                .expect("nothing panics while it holds this")
                .answers
                .entry(word)
                .or_default() += 1;
        }
        *self
            .seen
            .lock()
            .expect("nothing panics while it holds this")
            .notices
            .entry(kind)
            .or_default() += 1;
        Ok(())
    }
}

#[async_trait]
impl Handler for People {
    async fn handle(&self, delivery: &Delivery) -> Verdict {
        let Ok(request) = Request::decode(&delivery.message) else {
            return Verdict::Ack;
        };
        if delivery.queue == "oms" {
            let order = request.kwargs["delivery_order_id"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            *self
                .seen
                .lock()
                .expect("nothing panics while it holds this")
                .told
                .entry(order)
                .or_default() += 1;
            return Verdict::Ack;
        }
        match self.read_notice(&request.kwargs).await {
            Ok(()) => Verdict::Ack,
            Err(error) => {
                tracing::warn!("a customer could not answer yet: {error:#}");
                Verdict::Wait
            }
        }
    }
}
