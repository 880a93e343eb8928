//! Where results of tasks are kept, and what follows tasks.

use std::sync::Arc;

use waybill_tasks::celery::canvas::Canvas;
use waybill_tasks::celery::results::ResultBackend;
use waybill_tasks::celery::results::redis::RedisBackend;
use waybill_tasks::celery::transport::Transport;
use waybill_tasks::celery::worker::Worker;

use super::{App, OpenError};
use crate::config::{ResultBackend as Configured, Settings};
use crate::store::CeleryResults;

/// The backend that is configured; over `rpc://` a worker answers in any case. Nothing is connected yet.
pub(super) fn open(settings: &Settings) -> Result<Option<Arc<dyn ResultBackend>>, OpenError> {
    let wrong = |error: String| OpenError::Results(error);
    Ok(match &settings.results {
        None | Some(Configured::Rpc) => None,
        Some(Configured::Database(url)) => {
            let results = CeleryResults::open(url).map_err(|error| wrong(error.to_string()))?;
            Some(Arc::new(results))
        }
        Some(Configured::Redis(url)) => {
            let results = RedisBackend::new(url).map_err(|error| wrong(error.to_string()))?;
            Some(Arc::new(results))
        }
    })
}

/// A worker that stores results there, goes on with chains, groups and chords, and knows Celery's builtin tasks.
pub(super) fn follow<C: Send + Sync + 'static>(
    app: &App,
    settings: &Settings,
    transport: Arc<dyn Transport>,
    mut worker: Worker<C>,
) -> Worker<C> {
    let store = app.engine.store().clone();
    let canvas = Canvas::new(transport, settings.queues.tasks.as_str());
    let mut canvas = canvas.with_clock(move || store.estimated_now());
    if let Some(results) = &app.results {
        canvas = canvas.with_results(results.clone());
        worker = worker.with_results(results.clone());
    }
    worker.with_canvas(Arc::new(canvas))
}
