//! Limits and sizes that are set from outside: rates, times, the pool.

use std::time::Duration;

use serde_json::Value;
use tracing::{error, info};

use super::arguments::Arguments;
use super::{Panel, Raised, Replied, nok, ok};
use crate::celery::protocol::python_repr;
use crate::celery::registry::Rate;

impl Panel {
    fn knows(&self, task: &str) -> bool {
        let known = self.facts.tasks.iter().any(|known| known.name == task);
        if !known {
            error!("remote control: there is no task {task} to set a limit for");
        }
        known
    }

    pub(super) fn rate_limit(&self, arguments: &Arguments) -> Replied {
        let task = arguments.text("task_name").unwrap_or_default();
        let rate = match rate(arguments.get("rate_limit"))? {
            Ok(rate) => rate,
            Err(Raised(error)) => return Ok(nok(format!("Invalid rate limit string: {error}"))),
        };
        if !self.knows(&task) {
            return Ok(nok("unknown task"));
        }
        self.state.limit_rate(&task, rate);
        match rate {
            Some(rate) => info!("remote control: {task} runs {rate} times at most"),
            None => info!("remote control: {task} has no rate limit any more"),
        }
        // Python goes by what was said: the text "0" is a limit to it, and limits nothing.
        Ok(ok(match arguments.is_true("rate_limit") {
            true => "new rate limit set successfully",
            false => "rate limit disabled successfully",
        }))
    }

    pub(super) fn time_limit(&self, arguments: &Arguments) -> Replied {
        let task = arguments.text("task_name").unwrap_or_default();
        if !self.knows(&task) {
            return Ok(nok("unknown task"));
        }
        let (soft, hard) = (seconds(arguments, "soft")?, seconds(arguments, "hard")?);
        self.state.limit_time(&task, soft, hard);
        info!("remote control: {task} may run for {soft:?} (soft) and {hard:?} (hard)");
        Ok(ok("time limits set successfully"))
    }

    pub(super) fn resize(&self, arguments: &Arguments) -> Replied {
        let pool = self.state.pool();
        match arguments.command() {
            "autoscale" => {
                let (most, least) = (arguments.count("max")?, arguments.count("min")?);
                match pool.rescale(most, least) {
                    Some((most, least)) => Ok(ok(format!("autoscale now max={most} min={least}"))),
                    None => Err(Raised::value_error("Autoscale not enabled")),
                }
            }
            "pool_restart" => Err(Raised::value_error("Pool restarts not enabled")),
            command if pool.autoscale().is_some() => Ok(nok(format!(
                "{command} is not supported with autoscale. Adjust autoscale range instead."
            ))),
            "pool_grow" => {
                pool.grow(arguments.count("n")?.unwrap_or(1));
                Ok(ok("pool will grow"))
            }
            _ => match pool.shrink(arguments.count("n")?.unwrap_or(1)) {
                Ok(()) => Ok(ok("pool will shrink")),
                Err(busy) => Err(Raised::value_error(&busy.to_string())),
            },
        }
    }
}

/// A rate as a number or a text; nothing and an empty text are none. A unit that is none is raised, an amount that is none is
/// told: Python's words for both.
fn rate(value: &Value) -> Result<Result<Option<Rate>, Raised>, Raised> {
    let text = match value {
        Value::Null | Value::Bool(false) => return Ok(Ok(None)),
        Value::String(text) if text.is_empty() => return Ok(Ok(None)),
        Value::String(text) => text.clone(),
        other => python_repr(other),
    };
    let (amount, unit) = text.split_once('/').unwrap_or((&text, ""));
    if !["", "s", "m", "h"].contains(&unit) {
        return Err(Raised(format!("KeyError({})", python_repr(&unit.into()))));
    }
    let seconds = if unit.is_empty() { amount } else { text.as_str() };
    Ok(Rate::parse(seconds).map_err(|_| {
        let amount = python_repr(&amount.into());
        Raised::value_error(&format!("could not convert string to float: {amount}"))
    }))
}

fn seconds(arguments: &Arguments, name: &str) -> Result<Option<Duration>, Raised> {
    let wrong = || Raised::value_error(&format!("{name}: expected seconds from 0"));
    match arguments.get(name) {
        Value::Null => Ok(None),
        Value::Number(number) => {
            let seconds = number.as_f64().ok_or_else(wrong)?;
            let limit = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
            // Python takes 0 for no limit.
            Ok(Some(limit).filter(|limit| !limit.is_zero()))
        }
        _ => Err(wrong()),
    }
}
