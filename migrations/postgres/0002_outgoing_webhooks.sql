-- Outgoing webhooks: who is told, what is on its way to whom, and how each attempt went.

CREATE TABLE webhook_endpoints (
    endpoint_id     uuid PRIMARY KEY,
    -- encrypted: it may hold a key of the subscriber's
    url             bytea NOT NULL,
    description     text NOT NULL,
    -- what it is told; null is everything
    event_types     jsonb,
    machine         text,
    customer_id     text,
    state           text NOT NULL CHECK (state IN ('active', 'disabled', 'removed')),
    disabled_reason text CHECK (disabled_reason IN ('operator', 'gone', 'failing')),
    disabled_at     timestamptz,
    -- its breaker: failures in a row, since when, the last one, and until when it is left alone
    failures        bigint NOT NULL DEFAULT 0 CHECK (failures >= 0),
    failing_since   timestamptz,
    failed_at       timestamptz,
    paused_until    timestamptz,
    created_by      text NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CHECK ((state = 'active') = (disabled_at IS NULL)),
    CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX webhook_endpoints_listed ON webhook_endpoints (created_at, endpoint_id) WHERE state <> 'removed';

CREATE TABLE webhook_secrets (
    secret_id   uuid PRIMARY KEY,
    endpoint_id uuid NOT NULL REFERENCES webhook_endpoints,
    scheme      text NOT NULL CHECK (scheme IN ('v1', 'v1a')),
    -- encrypted
    secret      bytea NOT NULL,
    public_key  text,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz,
    CHECK ((scheme = 'v1a') = (public_key IS NOT NULL))
);
CREATE INDEX webhook_secrets_endpoint ON webhook_secrets (endpoint_id);

CREATE TABLE webhook_deliveries (
    delivery_id uuid PRIMARY KEY,
    endpoint_id uuid NOT NULL REFERENCES webhook_endpoints,
    -- null is a test event
    order_id    uuid REFERENCES instances (id),
    sequence    bigint NOT NULL,
    event_type  text NOT NULL,
    state       text NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    -- since it was last asked for
    attempts    bigint NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    due_at      timestamptz NOT NULL,
    lease_id    uuid,
    lease_until timestamptz,
    finished_at timestamptz,
    cause       text,
    created_at  timestamptz NOT NULL,
    UNIQUE (endpoint_id, order_id, sequence),
    CHECK ((lease_id IS NULL) = (lease_until IS NULL)),
    CHECK ((state = 'pending') = (finished_at IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_line ON webhook_deliveries (endpoint_id, order_id, sequence) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_listed ON webhook_deliveries (endpoint_id, created_at, delivery_id);

CREATE TABLE webhook_attempts (
    attempt_id  uuid PRIMARY KEY,
    delivery_id uuid NOT NULL REFERENCES webhook_deliveries,
    number      bigint NOT NULL CHECK (number >= 1),
    started_at  timestamptz NOT NULL,
    duration_ms bigint NOT NULL CHECK (duration_ms >= 0),
    status      bigint,
    cause       text,
    -- encrypted: the first kilobyte of what was answered
    response    bytea
);
CREATE INDEX webhook_attempts_delivery ON webhook_attempts (delivery_id, started_at);

-- What was recorded since an instant, to be told again.
CREATE INDEX transitions_recorded ON transitions USING brin (recorded_at);
