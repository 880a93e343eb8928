//! `celery.chord_unlock`: looks whether a chord's header is through, and waits in the store, not in memory, if it is not.

use std::time::Duration;

use serde_json::Value;

use super::{argument, failed, signature, unsent};
use crate::celery::canvas::chords::{Unjoined, is_through, join, uncalled, unread};
use crate::celery::canvas::message::Lineage;
use crate::celery::canvas::{Canvas, Sig};
use crate::celery::registry::{Again, Call, Retry, TaskError, Tries};
use crate::celery::results::ResultTree;

/// `result_chord_retry_interval` of Celery.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A header that takes minutes is looked at less often.
const PATIENT_AFTER: u32 = 120;
const PATIENT: Duration = Duration::from_secs(5);

/// Arguments: the group's id, the body; by name the header's results, an interval, and how often to look.
pub(super) async fn unlock<C>(canvas: &Canvas, call: &Call<C>) -> Result<Value, TaskError> {
    let Some(group_id) = argument(call, 0, "group_id").as_str() else {
        return Err(failed("TypeError", "unlock_chord() is given a group's id"));
    };
    let body = signature(argument(call, 1, "callback"))?;
    let members = argument(call, 4, "result")
        .as_array()
        .into_iter()
        .flatten()
        .map(ResultTree::from_value);
    let members = members.collect::<Option<Vec<_>>>();
    let members = members.ok_or_else(|| failed("TypeError", "unlock_chord() is given results as tuples"))?;
    let shape = ResultTree::group(group_id, members);
    let found = match canvas.look_up(&shape).await {
        Ok(found) => found,
        Err(error) if error.is_passing() => return Err(unsent(error)),
        Err(error) => return go_on(canvas, call, &body, group_id, Err(unread(&error))).await,
    };
    if is_through(&shape, &found) {
        return go_on(canvas, call, &body, group_id, join(&shape, &found)).await;
    }
    let most = argument(call, 3, "max_retries").as_u64();
    if most.is_some_and(|most| u64::from(call.request.retries) >= most) {
        return give_up(canvas, call, &body, group_id).await;
    }
    Err(TaskError::Retry(Retry {
        again: Again::In(interval(call)),
        tries: Tries::Unlimited,
        ..Retry::default()
    }))
}

fn interval<C>(call: &Call<C>) -> Duration {
    let asked = argument(call, 2, "interval").as_f64().filter(|seconds| *seconds > 0.0);
    let asked = asked.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    asked.unwrap_or(if call.request.retries < PATIENT_AFTER {
        LOOK_EVERY
    } else {
        PATIENT
    })
}

async fn go_on<C>(
    canvas: &Canvas,
    call: &Call<C>,
    body: &Sig,
    group_id: &str,
    joined: Result<Value, Unjoined>,
) -> Result<Value, TaskError> {
    let lineage = Lineage::of(&call.request);
    let unjoined = match joined {
        Ok(values) => match canvas.start_body(body, values, group_id, lineage.clone()).await {
            Ok(()) => return Ok(Value::Null),
            Err(error) if error.is_passing() => return Err(unsent(error)),
            Err(error) => uncalled(&error),
        },
        Err(unjoined) => unjoined,
    };
    canvas
        .fail_chord(body, &unjoined, group_id, lineage)
        .await
        .map_err(unsent)?;
    Ok(Value::Null)
}

/// Nobody would look any more: who waits for the body is told.
async fn give_up<C>(canvas: &Canvas, call: &Call<C>, body: &Sig, group_id: &str) -> Result<Value, TaskError> {
    let id = &call.request.id;
    let message = format!("Can't retry celery.chord_unlock[{id}] args:{group_id} kwargs:");
    let cause = crate::celery::results::Exception::celery("MaxRetriesExceededError", message);
    let text = format!("chord_unlock could not be retried: {}", cause.repr());
    let unjoined = Unjoined {
        text,
        cause: Box::new(cause.clone()),
        part: None,
    };
    let lineage = Lineage::of(&call.request);
    canvas
        .fail_chord(body, &unjoined, group_id, lineage)
        .await
        .map_err(unsent)?;
    Err(TaskError::Failed(cause))
}
