//! Graph versions that this database has seen: insert only, and a version whose content changed is refused.

use serde_json::Value as Json;

use super::db::DbError;
use super::{Store, sql};

impl Store {
    /// Keeps a version. Answers the hash that is kept, which is another one if the version was published with other content.
    pub async fn keep_version(
        &self,
        machine: &str,
        version: u32,
        sha256: &str,
        document: Json,
    ) -> Result<String, DbError> {
        let now = self.now().await?;
        let mut tx = self.db.tx().await?;
        let row = vec![
            machine.into(),
            i64::from(version).into(),
            sha256.into(),
            document.into(),
            now.into(),
        ];
        let columns = ["machine", "version", "sha256", "document", "created_at"];
        sql::insert(
            &mut tx,
            "graph_versions",
            &columns,
            vec![row],
            " ON CONFLICT (machine, version) DO NOTHING",
        )
        .await?;
        let kept = tx
            .rows(
                "SELECT sha256 FROM graph_versions WHERE machine = $1 AND version = $2",
                vec![machine.into(), i64::from(version).into()],
            )
            .await?;
        let kept = kept
            .first()
            .map_or_else(|| Ok(sha256.to_owned()), |row| row.text("sha256"))?;
        tx.commit().await?;
        Ok(kept)
    }

    /// Versions with their hash and how many instances are in each state: (machine, version, sha256, state, count).
    pub async fn version_counts(&self) -> Result<Vec<(String, i64, String, Option<String>, i64)>, DbError> {
        let rows = self
            .db
            .rows(
                "SELECT g.machine, g.version, g.sha256, i.state, COUNT(i.id) AS count FROM graph_versions g
                 LEFT JOIN instances i ON i.machine = g.machine AND i.graph_version = g.version
                 GROUP BY g.machine, g.version, g.sha256, i.state ORDER BY g.machine, g.version, i.state",
                vec![],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let key = (row.text("machine")?, row.int("version")?, row.text("sha256")?);
                Ok((key.0, key.1, key.2, row.opt_text("state")?, row.int("count")?))
            })
            .collect()
    }
}
