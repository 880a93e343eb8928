//! Rows bound as columns: one array a column, so that one short statement of PostgreSQL serves any number of rows.

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres};

use super::{DbError, Value};

/// `SELECT * FROM UNNEST …` that gives the rows back, as columns `column1`, `column2` …; their types are those of the first row.
pub(in crate::store) fn unnest(first: &[Value]) -> String {
    let (mut arrays, mut names) = (String::new(), String::new());
    for (position, value) in (1..).zip(first) {
        let comma = if position == 1 { "" } else { ", " };
        arrays.push_str(&format!("{comma}${position}::{}[]", element(value)));
        names.push_str(&format!("{comma}column{position}"));
    }
    format!("SELECT * FROM UNNEST({arrays}) AS u ({names})")
}

fn element(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "text",
        Value::Int(_) => "bigint",
        Value::Bool(_) => "boolean",
        Value::Time(_) => "timestamptz",
        Value::Uuid(_) => "uuid",
        Value::Bytes(_) => "bytea",
        Value::Json(_) => "jsonb",
    }
}

pub(super) fn bind(sql: &str, rows: Vec<Vec<Value>>) -> Result<Query<'static, Postgres, PgArguments>, DbError> {
    let count = rows.len();
    let mut columns: Vec<Vec<Value>> = Vec::new();
    for row in rows {
        columns.resize_with(row.len(), || Vec::with_capacity(count));
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let mut query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    for column in columns {
        query = bind_column(query, column)?;
    }
    Ok(query)
}

fn bind_column(
    query: Query<'static, Postgres, PgArguments>,
    column: Vec<Value>,
) -> Result<Query<'static, Postgres, PgArguments>, DbError> {
    macro_rules! array {
        ($variant:ident) => {{
            let elements: Option<Vec<_>> = column
                .into_iter()
                .map(|value| match value {
                    Value::$variant(it) => Some(it),
                    _ => None,
                })
                .collect();
            query.bind(elements.ok_or_else(mixed)?)
        }};
    }
    Ok(match column.first() {
        None => query,
        Some(Value::Text(_)) => array!(Text),
        Some(Value::Int(_)) => array!(Int),
        Some(Value::Bool(_)) => array!(Bool),
        Some(Value::Time(_)) => array!(Time),
        Some(Value::Uuid(_)) => array!(Uuid),
        Some(Value::Bytes(_)) => array!(Bytes),
        Some(Value::Json(_)) => array!(Json),
    })
}

fn mixed() -> DbError {
    DbError::Failed(sqlx::Error::Encode("a column has values of two types".into()))
}
