//! Many rows in one statement, in the SQL that both databases share.

use super::db::{DbError, Row, Tx, Value, arrays};

/// SQLite takes at least this many values in one statement.
const MAX_VALUES: usize = 30_000;

/// `INSERT INTO {table} ({columns}) …{suffix}` for all rows; answers the rows of a `RETURNING` in the suffix.
pub(super) async fn insert(
    tx: &mut Tx,
    table: &str,
    columns: &[&str],
    rows: Vec<Vec<Value>>,
    suffix: &str,
) -> Result<Vec<Row>, DbError> {
    let into = format!("INSERT INTO {table} ({}) ", columns.join(", "));
    many(tx, rows, |source| format!("{into}{source}{suffix}")).await
}

/// Runs `{before} (…) {after}` for all rows, whose columns are `column1`, `column2` … in both databases; answers the rows of
/// a `RETURNING`.
pub(super) async fn with_values(
    tx: &mut Tx,
    before: &str,
    rows: Vec<Vec<Value>>,
    after: &str,
) -> Result<Vec<Row>, DbError> {
    many(tx, rows, |source| format!("{before} ({source}) {after}")).await
}

/// Runs the statement that is made around the source of these rows.
///
/// In PostgreSQL they are arrays, one a column, and one statement. In SQLite, which is called without a way over the network, they
/// go in groups of 256, 64, 16, 4 and 1, so that a handful of prepared statements serves every batch.
async fn many(tx: &mut Tx, rows: Vec<Vec<Value>>, statement: impl Fn(&str) -> String) -> Result<Vec<Row>, DbError> {
    let Some(first) = rows.first() else {
        return Ok(Vec::new());
    };
    if tx.has_arrays() {
        let sql = statement(&arrays::unnest(first));
        return tx.rows_by_columns(&sql, rows).await;
    }
    let width = first.len();
    let mut answers = Vec::new();
    let mut rows = rows.into_iter();
    while rows.len() > 0 {
        let size = group_size(rows.len(), width);
        let group: Vec<_> = rows.by_ref().take(size).collect();
        let sql = statement(&format!("VALUES {}", tuples(group.len(), width)));
        answers.extend(tx.rows(&sql, group.into_iter().flatten().collect()).await?);
    }
    Ok(answers)
}

/// Runs `{before} (…){after}` for all keys; `before` ends with `IN`. Answers rows.
///
/// In PostgreSQL the keys are one array; in SQLite they are padded by repetition to few sizes.
pub(super) async fn with_keys(tx: &mut Tx, before: &str, keys: Vec<Value>, after: &str) -> Result<Vec<Row>, DbError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    if tx.has_arrays() {
        let sql = format!("{} = ANY ($1){after}", before.trim_end_matches(" IN"));
        let keys = keys.into_iter().map(|key| vec![key]).collect();
        return tx.rows_by_columns(&sql, keys).await;
    }
    let mut answers = Vec::new();
    for chunk in keys.chunks(256) {
        let size = [1, 4, 16, 64, 256]
            .into_iter()
            .find(|size| *size >= chunk.len())
            .unwrap_or(256);
        let mut padded = chunk.to_vec();
        padded.resize(size, chunk[0].clone());
        let sql = format!("{before} {}{after}", tuples(1, size));
        answers.extend(tx.rows(&sql, padded).await?);
    }
    Ok(answers)
}

fn group_size(left: usize, width: usize) -> usize {
    [256, 64, 16, 4, 1]
        .into_iter()
        .find(|size| *size <= left && size * width <= MAX_VALUES)
        .unwrap_or(1)
}

/// Parameters without numbers: SQLite keeps a numbered one by its name, and looks through all of them for each that is bound.
fn tuples(count: usize, width: usize) -> String {
    let row = format!("({})", vec!["?"; width].join(", "));
    vec![row; count].join(", ")
}
