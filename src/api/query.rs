//! Query parameters, read strictly: each at most once, none that is not known, every refusal naming its parameter.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};

use super::cursor::Cursor;
use super::problem::{Code, Problem};

/// Rows of a page where nobody asks for another number.
const DEFAULT_LIMIT: i64 = 50;
/// Rows of a page at most.
const MAX_LIMIT: i64 = 200;
/// Ids of other services are shorter than that.
const MAX_TEXT: usize = 255;

/// The parameters of one request, to be taken one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(BTreeMap<String, String>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Query {
    /// Reads a query; a parameter given twice is refused.
    pub(super) fn parse(query: &str) -> Result<Self, Problem> {
        let mut known = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let name = name.into_owned();
            let fitting = value.len() <= MAX_TEXT && !value.contains(|letter: char| letter.is_control());
            if !fitting {
                return Err(wrong(
                    &name,
                    &format!("at most {MAX_TEXT} characters, none of them a control character"),
                ));
            }
            if known.insert(name.clone(), value.into_owned()).is_some() {
                return Err(wrong(&name, "given once"));
            }
        }
        Ok(Self(known))
    }

    /// A text; an empty one is refused, because it would find nothing and look like an answer.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.0.remove(name) {
            Some(empty) if empty.is_empty() => Err(wrong(name, "a value")),
            text => Ok(text),
        }
    }

    /// One word of a list.
    pub(super) fn word(&mut self, name: &str, words: &[&str]) -> Result<Option<String>, Problem> {
        match self.0.remove(name) {
            Some(word) if !words.contains(&word.as_str()) => Err(wrong(name, &format!("one of {}", words.join(", ")))),
            word => Ok(word),
        }
    }

    /// An instant with its zone.
    pub(super) fn instant(&mut self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        let Some(text) = self.0.remove(name) else {
            return Ok(None);
        };
        let read = DateTime::parse_from_rfc3339(&text).map(|at| at.to_utc()).ok();
        let kept = read.filter(|at| (1970..=9999).contains(&chrono::Datelike::year(at)));
        kept.map(Some)
            .ok_or_else(|| wrong(name, "an instant such as 2026-11-20T11:00:00Z"))
    }

    /// Where the page before ended.
    pub(super) fn cursor(&mut self) -> Result<Option<Cursor>, Problem> {
        let Some(text) = self.0.remove("cursor") else {
            return Ok(None);
        };
        Cursor::decode(&text)
            .map(Some)
            .ok_or_else(|| wrong("cursor", "the next_cursor of the page before"))
    }

    /// How many rows the page may have.
    pub(super) fn limit(&mut self) -> Result<i64, Problem> {
        let Some(text) = self.0.remove("limit") else {
            return Ok(DEFAULT_LIMIT);
        };
        let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit.ok_or_else(|| wrong("limit", &format!("a whole number from 1 to {MAX_LIMIT}")))
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.keys().next() {
            Some(name) => Err(wrong(name, "left out, there is no such parameter")),
            None => Ok(()),
        }
    }
}

fn wrong(name: &str, expected: &str) -> Problem {
    let shown: String = name.chars().take(40).collect();
    Problem::new(Code::BadParameter, format!("{shown} must be {expected}")).with("parameter", shown)
}
