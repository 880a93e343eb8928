//! The keys of an endpoint: kept encrypted, several at a time while one replaces another.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::{place, sealed};
use crate::store::db::{DbError, Row, Tx, Value};
use crate::store::{Store, sql};

/// Keys of one scheme that sign at once, at most: the new one and two of which receivers may not have let go.
const AT_ONCE: usize = 3;

/// A key to keep.
#[derive(Debug)]
pub struct KeptKey {
    /// `v1` or `v1a`.
    pub scheme: &'static str,
    /// As [`waybill_webhooks::signing::SigningKey::reveal`] tells it.
    pub secret: SecretString,
    /// What may be shown of it.
    pub public_key: Option<String>,
}

/// A key as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is a column of webhook_secrets")]
pub struct StoredKey {
    pub secret_id: Uuid,
    pub endpoint_id: Uuid,
    pub scheme: String,
    pub public_key: Option<String>,
    pub created_at: DateTime<Utc>,
    /// Signs until then; for ever where none is given.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Store {
    /// The keys that sign for these endpoints now, oldest first.
    pub async fn signing_secrets(&self, endpoints: &[Uuid]) -> Result<HashMap<Uuid, Vec<SecretString>>, DbError> {
        let now = self.now().await?;
        let mut found: HashMap<Uuid, Vec<SecretString>> = HashMap::new();
        for endpoint in endpoints {
            let sql = "SELECT secret_id, secret FROM webhook_secrets
                WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > $2) ORDER BY created_at, secret_id";
            for row in self.db.rows(sql, vec![(*endpoint).into(), now.into()]).await? {
                found.entry(*endpoint).or_default().push(self.open_secret(&row)?);
            }
        }
        Ok(found)
    }

    /// The keys of an endpoint that sign now, to be shown.
    pub async fn keys_of(&self, endpoint: Uuid) -> Result<Vec<StoredKey>, DbError> {
        let now = self.now().await?;
        let sql = "SELECT secret_id, endpoint_id, scheme, public_key, created_at, expires_at FROM webhook_secrets
            WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > $2) ORDER BY created_at, secret_id";
        let rows = self.db.rows(sql, vec![endpoint.into(), now.into()]).await?;
        rows.iter().map(stored_key).collect()
    }

    /// Puts new keys beside the old ones, which sign on for `overlap`. Answers whether there is such an endpoint.
    pub async fn rotate_keys(&self, endpoint: Uuid, keys: &[KeptKey], overlap: TimeDelta) -> Result<bool, DbError> {
        let now = self.now().await?;
        let mut tx = self.db.tx().await?;
        let sql = format!(
            "SELECT endpoint_id FROM webhook_endpoints WHERE endpoint_id = $1 AND state <> 'removed'{}",
            super::lock(&tx)
        );
        if tx.rows(&sql, vec![endpoint.into()]).await?.is_empty() {
            tx.rollback().await?;
            return Ok(false);
        }
        let until = now + overlap;
        tx.execute(
            "UPDATE webhook_secrets SET expires_at = $2 WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > $2)",
            vec![endpoint.into(), until.into()],
        )
        .await?;
        for scheme in ["v1", "v1a"] {
            self.drop_oldest(&mut tx, endpoint, scheme, now).await?;
        }
        self.insert_keys(&mut tx, endpoint, keys, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    pub(super) async fn insert_keys(
        &self,
        tx: &mut Tx,
        endpoint: Uuid,
        keys: &[KeptKey],
        now: DateTime<Utc>,
    ) -> Result<(), DbError> {
        let columns = [
            "secret_id",
            "endpoint_id",
            "scheme",
            "secret",
            "public_key",
            "created_at",
        ];
        let rows = keys.iter().map(|key| {
            let id = super::new_id();
            let row = id.to_string();
            let secret = key.secret.expose_secret().as_bytes();
            let secret = self.crypt.seal(place("webhook_secrets", "secret", &row), secret);
            vec![
                id.into(),
                endpoint.into(),
                key.scheme.into(),
                secret.into(),
                key.public_key.clone().into(),
                now.into(),
            ]
        });
        sql::insert(tx, "webhook_secrets", &columns, rows.collect(), "").await?;
        Ok(())
    }

    /// Whoever rotates in haste leaves no long tail of keys that still sign.
    async fn drop_oldest(&self, tx: &mut Tx, endpoint: Uuid, scheme: &str, now: DateTime<Utc>) -> Result<(), DbError> {
        let sql = "SELECT secret_id FROM webhook_secrets WHERE endpoint_id = $1 AND scheme = $2 AND expires_at > $3
            ORDER BY created_at DESC, secret_id DESC";
        let alive = tx.rows(sql, vec![endpoint.into(), scheme.into(), now.into()]).await?;
        for row in alive.iter().skip(AT_ONCE - 1) {
            let values: Vec<Value> = vec![row.uuid("secret_id")?.into(), now.into()];
            tx.execute(
                "UPDATE webhook_secrets SET expires_at = $2 WHERE secret_id = $1",
                values,
            )
            .await?;
        }
        Ok(())
    }

    fn open_secret(&self, row: &Row) -> Result<SecretString, DbError> {
        let id = row.uuid("secret_id")?.to_string();
        let secret = self
            .crypt
            .open(place("webhook_secrets", "secret", &id), &row.bytes("secret")?);
        let text = String::from_utf8(secret.map_err(sealed)?);
        text.map(SecretString::from)
            .map_err(|error| DbError::Failed(sqlx::Error::Decode(error.into())))
    }
}

fn stored_key(row: &Row) -> Result<StoredKey, DbError> {
    Ok(StoredKey {
        secret_id: row.uuid("secret_id")?,
        endpoint_id: row.uuid("endpoint_id")?,
        scheme: row.text("scheme")?,
        public_key: row.opt_text("public_key")?,
        created_at: row.time("created_at")?,
        expires_at: row.opt_time("expires_at")?,
    })
}
