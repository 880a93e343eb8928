//! What a list is asked for, as the conditions of its query.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::db::Value;

/// Conditions that all hold, and what they compare with.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    clauses: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    /// The column has this value, if one is asked for.
    pub(super) fn equal(&mut self, column: &str, wanted: Option<&str>) {
        if let Some(wanted) = wanted {
            let place = self.place(wanted.into());
            self.clauses.push(format!("{column} = {place}"));
        }
    }

    /// The query of a page of instances in the order of (last change, id), and its values.
    pub(super) fn page(
        mut self,
        columns: &str,
        updated_after: Option<DateTime<Utc>>,
        after: Option<(DateTime<Utc>, Uuid)>,
        limit: i64,
    ) -> (String, Vec<Value>) {
        if let Some(instant) = updated_after {
            let place = self.place(instant.into());
            self.clauses.push(format!("i.updated_at > {place}"));
        }
        if let Some((at, id)) = after {
            let (at, id) = (self.place(at.into()), self.place(id.into()));
            self.clauses.push(format!("(i.updated_at, i.id) > ({at}, {id})"));
        }
        let limit = self.place(limit.into());
        let all = self.clauses.join(" AND ");
        let sql = format!("SELECT {columns} WHERE {all} ORDER BY i.updated_at, i.id LIMIT {limit}");
        (sql, self.values)
    }

    fn place(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }
}
