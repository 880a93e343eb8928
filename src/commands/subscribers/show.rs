//! Endpoints, deliveries and attempts as a terminal shows them; for programs as the API does.

use std::io::Write;

use serde_json::{Value as Json, json};

use crate::api::webhooks::views::{AttemptView, DeliveryHistory, DeliveryView, EndpointView, KeysView};
use crate::commands::{Failure, instant, table};
use crate::store::Store;
use crate::store::outgoing::{AttemptRow, Delivery, Endpoint, EndpointState};

/// Read at a time.
const PAGE: i64 = 200;

pub(super) fn json(value: &Json, out: &mut dyn Write) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)?;
    Ok(())
}

pub(super) async fn endpoints(store: &Store, as_json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    loop {
        let after = endpoints.last().map(|last| (last.created_at, last.endpoint_id));
        let page = store.endpoints(after, PAGE).await?;
        if page.is_empty() {
            break;
        }
        endpoints.extend(page);
    }
    if as_json {
        let mut views = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            let keys = store.keys_of(endpoint.endpoint_id).await?;
            views.push(EndpointView::new(endpoint, keys));
        }
        return json(&json!(views), out);
    }
    if endpoints.is_empty() {
        writeln!(out, "nobody is subscribed")?;
        return Ok(());
    }
    let mut rows = vec![
        ["ID", "STATE", "FAILURES", "URL", "WHAT", "DESCRIPTION"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(endpoints.iter().map(row));
    write!(out, "{}", table::write(&rows))?;
    Ok(())
}

fn row(endpoint: &Endpoint) -> Vec<String> {
    let filter = &endpoint.filter;
    let parts = [
        filter.event_types.as_ref().map(|types| types.join(",")),
        filter.machine.clone(),
        filter.customer_id.as_ref().map(|id| format!("customer {id}")),
    ];
    let what: Vec<String> = parts.into_iter().flatten().collect();
    let state = match (endpoint.state, &endpoint.disabled_reason, endpoint.paused_until) {
        (EndpointState::Disabled, Some(reason), _) => format!("disabled: {reason}"),
        (EndpointState::Active, _, Some(until)) => format!("paused until {}", instant(until)),
        (state, ..) => state.as_str().to_owned(),
    };
    vec![
        endpoint.endpoint_id.to_string(),
        state,
        endpoint.failures.to_string(),
        endpoint.url.clone(),
        if what.is_empty() {
            "everything".to_owned()
        } else {
            what.join(" ")
        },
        endpoint.description.clone(),
    ]
}

pub(super) fn keys(keys: &KeysView, as_json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if as_json {
        return json(&json!(keys), out);
    }
    writeln!(out, "secret      {}", keys.secret)?;
    writeln!(out, "public key  {}", keys.public_key)?;
    Ok(())
}

pub(super) fn deliveries(deliveries: Vec<Delivery>, as_json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if as_json {
        let views: Vec<DeliveryView> = deliveries.into_iter().map(DeliveryView::from).collect();
        return json(&json!(views), out);
    }
    if deliveries.is_empty() {
        writeln!(out, "nothing was told")?;
        return Ok(());
    }
    let mut rows = vec![
        ["ID", "CREATED", "EVENT", "STATE", "ATTEMPTS", "CAUSE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(deliveries.iter().map(|delivery| {
        vec![
            delivery.delivery_id.to_string(),
            instant(delivery.created_at),
            delivery.event_type.clone(),
            delivery.state.clone(),
            delivery.attempts.to_string(),
            delivery.cause.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }));
    write!(out, "{}", table::write(&rows))?;
    Ok(())
}

pub(super) fn attempts(
    delivery: Delivery,
    attempts: Vec<AttemptRow>,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if as_json {
        let whole = DeliveryHistory {
            delivery: delivery.into(),
            history: attempts.into_iter().map(AttemptView::from).collect(),
        };
        return json(&json!(whole), out);
    }
    writeln!(
        out,
        "{} {} is {}",
        delivery.event_type, delivery.delivery_id, delivery.state
    )?;
    let mut rows = vec![["ATTEMPT", "AT", "MS", "STATUS", "ANSWER"].map(str::to_owned).to_vec()];
    rows.extend(attempts.iter().map(|attempt| {
        let said = attempt.response.clone().filter(|text| !text.is_empty());
        vec![
            attempt.number.to_string(),
            instant(attempt.started_at),
            attempt.duration_ms.to_string(),
            attempt
                .status
                .map_or_else(|| "-".to_owned(), |status| status.to_string()),
            said.or_else(|| attempt.cause.clone()).unwrap_or_default(),
        ]
    }));
    write!(out, "{}", table::write(&rows))?;
    Ok(())
}
