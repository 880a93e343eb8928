-- Outgoing webhooks: who is told, what is on its way to whom, and how each attempt went.

CREATE TABLE webhook_endpoints (
    endpoint_id     TEXT PRIMARY KEY,
    -- encrypted: it may hold a key of the subscriber's
    url             BLOB NOT NULL,
    description     TEXT NOT NULL,
    -- what it is told; null is everything
    event_types     TEXT,
    machine         TEXT,
    customer_id     TEXT,
    state           TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'removed')),
    disabled_reason TEXT CHECK (disabled_reason IN ('operator', 'gone', 'failing')),
    disabled_at     TEXT,
    -- its breaker: failures in a row, since when, the last one, and until when it is left alone
    failures        INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
    failing_since   TEXT,
    failed_at       TEXT,
    paused_until    TEXT,
    created_by      TEXT NOT NULL,
    created_at      TEXT NOT NULL,
    updated_at      TEXT NOT NULL,
    CHECK ((state = 'active') = (disabled_at IS NULL)),
    CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
);
CREATE INDEX webhook_endpoints_listed ON webhook_endpoints (created_at, endpoint_id) WHERE state <> 'removed';

CREATE TABLE webhook_secrets (
    secret_id   TEXT PRIMARY KEY,
    endpoint_id TEXT NOT NULL REFERENCES webhook_endpoints,
    scheme      TEXT NOT NULL CHECK (scheme IN ('v1', 'v1a')),
    -- encrypted
    secret      BLOB NOT NULL,
    public_key  TEXT,
    created_at  TEXT NOT NULL,
    expires_at  TEXT,
    CHECK ((scheme = 'v1a') = (public_key IS NOT NULL))
);
CREATE INDEX webhook_secrets_endpoint ON webhook_secrets (endpoint_id);

CREATE TABLE webhook_deliveries (
    delivery_id TEXT PRIMARY KEY,
    endpoint_id TEXT NOT NULL REFERENCES webhook_endpoints,
    -- null is a test event
    order_id    TEXT REFERENCES instances (id),
    sequence    INTEGER NOT NULL,
    event_type  TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    -- since it was last asked for
    attempts    INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    due_at      TEXT NOT NULL,
    lease_id    TEXT,
    lease_until TEXT,
    finished_at TEXT,
    cause       TEXT,
    created_at  TEXT NOT NULL,
    UNIQUE (endpoint_id, order_id, sequence),
    CHECK ((lease_id IS NULL) = (lease_until IS NULL)),
    CHECK ((state = 'pending') = (finished_at IS NULL))
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_line ON webhook_deliveries (endpoint_id, order_id, sequence) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_listed ON webhook_deliveries (endpoint_id, created_at, delivery_id);

CREATE TABLE webhook_attempts (
    attempt_id  TEXT PRIMARY KEY,
    delivery_id TEXT NOT NULL REFERENCES webhook_deliveries,
    number      INTEGER NOT NULL CHECK (number >= 1),
    started_at  TEXT NOT NULL,
    duration_ms INTEGER NOT NULL CHECK (duration_ms >= 0),
    status      INTEGER,
    cause       TEXT,
    -- encrypted: the first kilobyte of what was answered
    response    BLOB
);
CREATE INDEX webhook_attempts_delivery ON webhook_attempts (delivery_id, started_at);

-- What was recorded since an instant, to be told again.
CREATE INDEX transitions_recorded ON transitions (recorded_at);
