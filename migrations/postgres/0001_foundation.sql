-- The foundation: machines and their instances, delivery orders, the log, and everything that must survive a crash.
-- What the domain refuses, a constraint refuses too.

CREATE TABLE graph_versions (
    machine      text        NOT NULL,
    version      bigint      NOT NULL CHECK (version >= 1),
    sha256       text        NOT NULL,
    document     jsonb       NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (machine, version)
);

CREATE TABLE orderings (
    ordering_id  text        PRIMARY KEY,
    customer_id  text,
    created_at   timestamptz NOT NULL
);

CREATE TABLE payments (
    payment_id      text        PRIMARY KEY,
    ordering_id     text        NOT NULL REFERENCES orderings,
    event_key       text        NOT NULL,
    -- seen: nothing to deliver; ordered: it made an order; second: the ordering had a live one; prevented: refunded before; refunded
    state           text        NOT NULL CHECK (state IN ('seen', 'ordered', 'second', 'prevented', 'refunded')),
    minor_units     bigint      NOT NULL CHECK (minor_units >= 0),
    currency        text        NOT NULL,
    refunded_units  bigint      NOT NULL DEFAULT 0 CHECK (refunded_units >= 0),
    created_at      timestamptz NOT NULL
);
CREATE INDEX payments_ordering ON payments (ordering_id);

CREATE TABLE instances (
    id             uuid        PRIMARY KEY,
    machine        text        NOT NULL,
    graph_version  bigint      NOT NULL,
    state          text        NOT NULL,
    rank           bigint      NOT NULL CHECK (rank >= 0),
    revision       bigint      NOT NULL CHECK (revision >= 1),
    visited        jsonb       NOT NULL,
    fields         jsonb       NOT NULL,
    log_hash       bytea       NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    FOREIGN KEY (machine, graph_version) REFERENCES graph_versions (machine, version)
) WITH (fillfactor = 80);
CREATE INDEX instances_state ON instances (machine, state, updated_at);

CREATE TABLE delivery_orders (
    order_id              uuid    PRIMARY KEY REFERENCES instances (id),
    ordering_id           text    NOT NULL REFERENCES orderings,
    customer_id           text    NOT NULL,
    payment_id            text    NOT NULL REFERENCES payments,
    attempt               bigint  NOT NULL CHECK (attempt >= 1),
    predecessor_id        uuid    REFERENCES delivery_orders (order_id),
    successor_id          uuid,
    partner               text,
    partner_booking_id    text,
    partner_order_number  text,
    tracking_url          text,
    failure_reason        text,
    failed                boolean NOT NULL DEFAULT false,
    outcome               text    CHECK (outcome IN ('success', 'failure', 'cancelled')),
    confirmed_by          text    CHECK (confirmed_by IN ('customer', 'system', 'operator')),
    locale                text    NOT NULL,
    items                 jsonb   NOT NULL,
    pickup                bytea   NOT NULL,
    dropoff               bytea   NOT NULL,
    live                  boolean NOT NULL,
    UNIQUE (ordering_id, attempt),
    CHECK (NOT failed OR failure_reason IS NOT NULL),
    CHECK (live = (outcome IS NULL))
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX delivery_orders_one_live ON delivery_orders (ordering_id) WHERE live;
CREATE UNIQUE INDEX delivery_orders_one_successor ON delivery_orders (predecessor_id) WHERE predecessor_id IS NOT NULL;
CREATE UNIQUE INDEX delivery_orders_partner_number ON delivery_orders (partner, partner_order_number) WHERE live;
CREATE INDEX delivery_orders_customer ON delivery_orders (customer_id);

CREATE TABLE transitions (
    order_id      uuid        NOT NULL REFERENCES instances (id),
    sequence      bigint      NOT NULL CHECK (sequence >= 1),
    kind          text        NOT NULL CHECK (kind IN ('born', 'moved', 'noted', 'migrated')),
    event         text        NOT NULL,
    event_key     text        NOT NULL,
    actor_role    text        NOT NULL,
    actor_id      text        NOT NULL,
    from_state    text,
    to_state      text        NOT NULL,
    from_rank     bigint,
    to_rank       bigint      NOT NULL,
    fields        jsonb       NOT NULL,
    inferred      boolean     NOT NULL,
    graph_version bigint      NOT NULL,
    occurred_at   timestamptz NOT NULL,
    recorded_at   timestamptz NOT NULL,
    previous_hash bytea       NOT NULL,
    hash          bytea       NOT NULL,
    PRIMARY KEY (order_id, sequence),
    UNIQUE (order_id, event_key),
    CHECK ((kind = 'born') = (sequence = 1)),
    CHECK ((kind = 'born') = (from_state IS NULL)),
    CHECK (kind <> 'moved' OR to_rank > from_rank),
    CHECK (kind <> 'noted' OR (to_rank = from_rank AND to_state = from_state))
);

CREATE TABLE inbox (
    source       text        NOT NULL,
    key          text        NOT NULL,
    order_id     uuid,
    sequence     bigint,
    outcome      text        NOT NULL,
    payload_hash bytea       NOT NULL,
    received_at  timestamptz NOT NULL,
    PRIMARY KEY (source, key)
);

CREATE TABLE effects (
    effect_id    uuid        PRIMARY KEY,
    order_id     uuid        REFERENCES instances (id),
    sequence     bigint      NOT NULL,
    ordinal      bigint      NOT NULL,
    name         text        NOT NULL,
    subject      uuid,
    -- what it carries beside ids: states and reasons, never addresses
    payload      jsonb,
    state        text        NOT NULL CHECK (state IN ('requested', 'sent', 'running', 'done', 'failed', 'unknown')),
    attempts     bigint      NOT NULL DEFAULT 0,
    due_at       timestamptz NOT NULL,
    published_at timestamptz,
    lease_until  timestamptz,
    finished_at  timestamptz,
    cause        text,
    created_at   timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX effects_requested ON effects (due_at) WHERE state = 'requested';
CREATE INDEX effects_unfinished ON effects (order_id, sequence, ordinal) WHERE state <> 'done';
CREATE INDEX effects_order ON effects (order_id);

CREATE TABLE deadlines (
    order_id uuid        PRIMARY KEY REFERENCES instances (id),
    sequence bigint      NOT NULL,
    event    text        NOT NULL,
    due_at   timestamptz NOT NULL
);
CREATE INDEX deadlines_due ON deadlines (due_at);

-- The in-process transport.
CREATE TABLE messages (
    message_id   uuid        PRIMARY KEY,
    queue        text        NOT NULL,
    message      bytea       NOT NULL,
    attempts     bigint      NOT NULL DEFAULT 0,
    available_at timestamptz NOT NULL,
    lease_until  timestamptz
);
CREATE INDEX messages_queue ON messages (queue, message_id);

-- Celery messages that are due later: ETA, countdown, retries.
CREATE TABLE parked_messages (
    message_id uuid        PRIMARY KEY,
    queue      text        NOT NULL,
    message    bytea       NOT NULL,
    due_at     timestamptz NOT NULL
);
CREATE INDEX parked_messages_due ON parked_messages (due_at);

CREATE TABLE callbacks (
    callback_id  uuid        PRIMARY KEY,
    partner      text        NOT NULL,
    event_id     text        NOT NULL,
    key_id       text        NOT NULL,
    signed_at    timestamptz,
    received_at  timestamptz NOT NULL,
    headers      jsonb       NOT NULL,
    body         bytea       NOT NULL,
    sha256       bytea       NOT NULL,
    state        text        NOT NULL CHECK (state IN
        ('received', 'applied', 'duplicate', 'stale', 'noted', 'parked', 'unmapped', 'orphan', 'conflict', 'unresolved')),
    detail       text,
    order_id     uuid,
    parked_until timestamptz,
    settled_at   timestamptz,
    UNIQUE (partner, event_id)
);
CREATE INDEX callbacks_open ON callbacks (state, received_at) WHERE state NOT IN ('applied', 'duplicate', 'stale', 'noted');

CREATE TABLE quarantine (
    id          uuid        PRIMARY KEY,
    source      text        NOT NULL CHECK (source IN ('amqp', 'local', 'webhook')),
    queue       text        NOT NULL,
    task        text,
    task_id     text,
    reason      text        NOT NULL,
    place       text        NOT NULL,
    detail      text        NOT NULL,
    size        bigint      NOT NULL,
    message     bytea       NOT NULL,
    digest      bytea       NOT NULL,
    received_at timestamptz NOT NULL,
    replayed_at timestamptz
);
CREATE INDEX quarantine_open ON quarantine (received_at) WHERE replayed_at IS NULL;
CREATE INDEX quarantine_digest ON quarantine (digest);

CREATE TABLE operator_cases (
    case_id    uuid        PRIMARY KEY,
    kind       text        NOT NULL,
    subject    text        NOT NULL UNIQUE,
    order_id   uuid        REFERENCES instances (id),
    reason     text        NOT NULL,
    detail     jsonb       NOT NULL,
    opened_at  timestamptz NOT NULL,
    claimed_by text,
    claimed_at timestamptz,
    closed_by  text,
    closed_at  timestamptz,
    note       text,
    CHECK ((claimed_by IS NULL) = (claimed_at IS NULL)),
    CHECK ((closed_by IS NULL) = (closed_at IS NULL))
);
CREATE INDEX operator_cases_open ON operator_cases (opened_at) WHERE closed_at IS NULL;
CREATE INDEX operator_cases_order ON operator_cases (order_id);

CREATE TABLE confirmation_tokens (
    token_hash  bytea       PRIMARY KEY,
    order_id    uuid        NOT NULL REFERENCES instances (id),
    sequence    bigint      NOT NULL,
    purpose     text        NOT NULL,
    expires_at  timestamptz NOT NULL,
    answer      text        CHECK (answer IN ('yes', 'no')),
    answered_at timestamptz,
    created_at  timestamptz NOT NULL
);

-- What each running process last said of itself: its role and its breakers, for `waybill status`.
CREATE TABLE processes (
    process  text PRIMARY KEY,
    role     text NOT NULL,
    report   jsonb NOT NULL,
    seen_at  timestamptz NOT NULL
);
