//! Many callbacks applied again: counted first, and applied only while as many fit as were counted.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use waybill_domain::OrderId;

use super::ReplayView;
use crate::api::App;
use crate::api::body::Body;
use crate::api::caller::{Action, Caller};
use crate::api::openapi::{
    BadRequest, CallbacksChanged, Forbidden, Ours, TooLarge, Unauthorized, Unprocessable, UnsupportedType,
};
use crate::api::problem::{Code, Problem};
use crate::engine::EngineError;
use crate::engine::replay::{Replayed, tally};
use crate::store::{CallbackFilter, Disposition, Heard};

/// Callbacks of one request, at most: the newest of what fits.
const MOST: usize = 1000;
/// Of those so many are applied at once; they share commits.
const AT_ONCE: usize = 64;

/// Which callbacks, and how many that are. At least one condition; all that are given must fit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ReplayChoice {
    /// What it was: `accepted`, `early`, `duplicate`, `stale`, `noted`, `unmapped`, `orphan`, `conflict` or `unresolved`.
    disposition: Option<String>,
    /// Only this partner's.
    partner: Option<String>,
    /// Only with this id of the partner's.
    event_id: Option<String>,
    /// Only about this order.
    delivery_order_id: Option<Uuid>,
    /// Only received after this instant.
    received_after: Option<DateTime<Utc>>,
    /// How many fit, as an answer without it says. Without it they are counted, and none is applied.
    count: Option<usize>,
}

/// How many callbacks of a partner were what.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Tally {
    partner: String,
    disposition: &'static str,
    count: usize,
}

/// What fits, and what was applied again.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Replays {
    /// How many fit: settled, sent by the partner, the newest 1000.
    count: usize,
    /// The same by partner and disposition.
    by: Vec<Tally>,
    /// The new attempts; empty where callbacks were only counted.
    replays: Vec<ReplayView>,
}

/// Applies callbacks again, each as a new attempt that is linked to it. Nothing happens twice: what one told before is a
/// duplicate.
///
/// Ask without `count` first: that answers how many fit, and does nothing. With it they are applied, unless others fit by now
/// (`callbacks-changed`). What is under way or waits for its turn does not fit.
#[utoipa::path(
    post, path = "/v1/callbacks/replays", tag = "partners", security(("token" = ["operator"])),
    request_body = ReplayChoice,
    responses(
        (status = 200, description = "how many fit, and the new attempts", body = Replays), BadRequest, Unauthorized, Forbidden,
        CallbacksChanged, TooLarge, UnsupportedType, Unprocessable, Ours,
    ),
)]
pub(in crate::api) async fn replay_callbacks(
    State(app): State<App>,
    caller: Caller,
    Body(choice): Body<ReplayChoice>,
) -> Result<Json<Replays>, Problem> {
    caller.authorize(Action::WorkCases)?;
    let expected = choice.count;
    let mut chosen = app.engine.replayable(choice.filter()?).await?;
    chosen.retain(|heard| heard.state.is_some_and(|state| state.is_settled()));
    let count = chosen.len();
    let replays = match expected {
        None => Vec::new(),
        Some(expected) if expected == count => apply(&app, &caller.subject, &chosen).await?,
        Some(_) => {
            let detail = format!("{count} fit now; look at them, and ask again with that count");
            return Err(Problem::new(Code::CallbacksChanged, detail).with("count", json!(count)));
        }
    };
    let counted = tally(&chosen).into_iter().map(|((partner, disposition), count)| Tally {
        partner: partner.to_owned(),
        disposition,
        count,
    });
    Ok(Json(Replays {
        count,
        by: counted.collect(),
        replays,
    }))
}

async fn apply(app: &App, by: &str, chosen: &[Heard]) -> Result<Vec<ReplayView>, EngineError> {
    let mut attempts = Vec::with_capacity(chosen.len());
    for some in chosen.chunks(AT_ONCE) {
        let replayed = join_all(
            some.iter()
                .map(|heard| app.engine.replay_callback(heard.callback_id, by)),
        )
        .await;
        for (heard, replayed) in some.iter().zip(replayed) {
            if let Replayed::As(callback_id) = replayed? {
                let replay_of = heard.callback_id;
                attempts.push(ReplayView { callback_id, replay_of });
            }
        }
    }
    Ok(attempts)
}

impl ReplayChoice {
    fn filter(self) -> Result<CallbackFilter, Problem> {
        let wrong = |field: &str, detail: String| Problem::new(Code::BadField, detail).with("field", field);
        let disposition: Option<Disposition> = self
            .disposition
            .map(|word| word.parse())
            .transpose()
            .map_err(|expected| wrong("disposition", format!("disposition: {expected}")))?;
        if disposition == Some(Disposition::Rejected) {
            let detail = "what was rejected is not kept: mend the cause, and the partner sends it again";
            return Err(wrong("disposition", detail.to_owned()));
        }
        let filter = CallbackFilter {
            disposition,
            partner: self.partner,
            event_id: self.event_id,
            order_id: self.delivery_order_id.map(OrderId),
            received_after: self.received_after,
            limit: MOST as i64,
            ..CallbackFilter::default()
        };
        if !filter.is_narrowed() {
            let fields = "disposition, partner, event_id, delivery_order_id, received_after";
            return Err(wrong("disposition", format!("say which: at least one of {fields}")));
        }
        Ok(filter)
    }
}
