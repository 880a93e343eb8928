//! The peer: what a team writes in an afternoon. Durable, one insert per request; nothing is verified, and nothing follows.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use clap::Args;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

#[derive(Args)]
pub(super) struct Peer {
    /// `postgres://…` or `sqlite://…`.
    #[arg(long)]
    database: String,
    /// Where to listen.
    #[arg(long)]
    addr: String,
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS received (event_id TEXT PRIMARY KEY, body BYTEA NOT NULL)";
const INSERT: &str = "INSERT INTO received (event_id, body) VALUES ($1, $2) ON CONFLICT DO NOTHING";

#[derive(Clone)]
enum Database {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

impl Database {
    async fn open(url: &str) -> Result<Self, sqlx::Error> {
        if url.starts_with("postgres") {
            let pool = PgPoolOptions::new().max_connections(16).connect(url).await?;
            sqlx::query(TABLE).execute(&pool).await?;
            return Ok(Self::Postgres(pool));
        }
        let options: SqliteConnectOptions = url.parse()?;
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await?;
        sqlx::query(TABLE).execute(&pool).await?;
        Ok(Self::Sqlite(pool))
    }

    async fn insert(&self, id: &str, body: &[u8]) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(pool) => sqlx::query(INSERT).bind(id).bind(body).execute(pool).await.map(drop),
            Self::Sqlite(pool) => sqlx::query(INSERT).bind(id).bind(body).execute(pool).await.map(drop),
        }
    }
}

impl Peer {
    pub(super) async fn serve(self) {
        let database = Database::open(&self.database).await.expect("the database answers");
        let app = Router::new()
            .route("/webhooks/{partner}", post(take))
            .with_state(database);
        let listener = tokio::net::TcpListener::bind(&self.addr)
            .await
            .expect("the address is free");
        println!("listening");
        axum::serve(listener, app).await.expect("it serves until it is killed");
    }
}

async fn take(State(database): State<Database>, headers: HeaderMap, body: Bytes) -> (StatusCode, &'static str) {
    let id = headers
        .get("webhook-id")
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default();
    match database.insert(id, &body).await {
        Ok(()) => (StatusCode::OK, "stored"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not stored"),
    }
}
