//! A message's arguments become a task's fields; what does not fit is told by its place, and never by its value.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::TaskError;
use crate::celery::protocol::{Request, plain};

const WRONG_ARGUMENTS: &str = "wrong-arguments";

/// Reads the arguments; what serde finds wrong gets its place, and loses the value that it quotes.
pub(super) fn read<T: DeserializeOwned>(request: &Request, positional: &[&str]) -> Result<T, TaskError> {
    let named = named(request, positional)?;
    serde_path_to_error::deserialize(Value::Object(named)).map_err(|error| {
        let path = error.path().to_string();
        let place = match (path.as_str(), place_of(&path, request, positional)) {
            (".", _) => "body[1]".to_owned(),
            (_, Some(place)) => place,
            (_, None) => format!("body[1].{path}"),
        };
        wrong(place, without_values(&error.inner().to_string()))
    })
}

/// All arguments by name. Typed values of kombu's become the text that serde reads their Rust types from.
fn named(request: &Request, positional: &[&str]) -> Result<Map<String, Value>, TaskError> {
    let mut named = request.kwargs.clone();
    named.values_mut().for_each(plain);
    if request.args.len() > positional.len() {
        let found = request.args.len();
        let expected = match positional.len() {
            0 => "keyword arguments only".to_owned(),
            most => format!("at most {most} positional arguments"),
        };
        return Err(wrong(
            "body[0]".to_owned(),
            format!("expected {expected}, found {found} positional"),
        ));
    }
    for (index, (name, value)) in positional.iter().zip(&request.args).enumerate() {
        let mut value = value.clone();
        plain(&mut value);
        if named.insert((*name).to_owned(), value).is_some() {
            let detail = format!("expected each argument once, found `{name}` also as a keyword");
            return Err(wrong(format!("body[0][{index}]"), detail));
        }
    }
    Ok(named)
}

/// The place of a field that came by its position.
fn place_of(path: &str, request: &Request, positional: &[&str]) -> Option<String> {
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (field, rest) = path.split_at(end);
    let index = positional.iter().position(|name| *name == field)?;
    (index < request.args.len()).then(|| format!("body[0][{index}]{rest}"))
}

fn wrong(place: String, detail: String) -> TaskError {
    TaskError::Wrong {
        code: WRONG_ARGUMENTS,
        place,
        detail,
    }
}

/// Serde puts values into double quotes, and they may be addresses.
fn without_values(message: &str) -> String {
    match (message.find(" \""), message.rfind("\",")) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &message[..from], &message[to + 1..]),
        _ => message.to_owned(),
    }
}
