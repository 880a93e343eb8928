-- The foundation: machines and their instances, delivery orders, the log, and everything that must survive a crash.
-- What the domain refuses, a constraint refuses too.

CREATE TABLE graph_versions (
    machine      TEXT NOT NULL,
    version      INTEGER      NOT NULL CHECK (version >= 1),
    sha256       TEXT NOT NULL,
    document     TEXT       NOT NULL,
    created_at   TEXT NOT NULL,
    PRIMARY KEY (machine, version)
);

CREATE TABLE orderings (
    ordering_id  TEXT PRIMARY KEY,
    customer_id  TEXT,
    created_at   TEXT NOT NULL
);

CREATE TABLE payments (
    payment_id      TEXT PRIMARY KEY,
    ordering_id     TEXT NOT NULL REFERENCES orderings,
    event_key       TEXT NOT NULL,
    -- seen: nothing to deliver; ordered: it made an order; second: the ordering had a live one; prevented: refunded before; refunded
    state           TEXT NOT NULL CHECK (state IN ('seen', 'ordered', 'second', 'prevented', 'refunded')),
    minor_units     INTEGER      NOT NULL CHECK (minor_units >= 0),
    currency        TEXT NOT NULL,
    refunded_units  INTEGER      NOT NULL DEFAULT 0 CHECK (refunded_units >= 0),
    created_at      TEXT NOT NULL
);
CREATE INDEX payments_ordering ON payments (ordering_id);

CREATE TABLE instances (
    id             TEXT        PRIMARY KEY,
    machine        TEXT NOT NULL,
    graph_version  INTEGER      NOT NULL,
    state          TEXT NOT NULL,
    rank           INTEGER      NOT NULL CHECK (rank >= 0),
    revision       INTEGER      NOT NULL CHECK (revision >= 1),
    visited        TEXT       NOT NULL,
    fields         TEXT       NOT NULL,
    log_hash       BLOB       NOT NULL,
    created_at     TEXT NOT NULL,
    updated_at     TEXT NOT NULL,
    FOREIGN KEY (machine, graph_version) REFERENCES graph_versions (machine, version)
);
CREATE INDEX instances_state ON instances (machine, state, updated_at);

CREATE TABLE delivery_orders (
    order_id              TEXT    PRIMARY KEY REFERENCES instances (id),
    ordering_id           TEXT NOT NULL REFERENCES orderings,
    customer_id           TEXT NOT NULL,
    payment_id            TEXT NOT NULL REFERENCES payments,
    attempt               INTEGER  NOT NULL CHECK (attempt >= 1),
    predecessor_id        TEXT    REFERENCES delivery_orders (order_id),
    successor_id          TEXT,
    partner               TEXT,
    partner_booking_id    TEXT,
    partner_order_number  TEXT,
    tracking_url          TEXT,
    failure_reason        TEXT,
    failed                INTEGER NOT NULL DEFAULT 0,
    outcome               TEXT CHECK (outcome IN ('success', 'failure', 'cancelled')),
    confirmed_by          TEXT CHECK (confirmed_by IN ('customer', 'system', 'operator')),
    locale                TEXT NOT NULL,
    items                 TEXT   NOT NULL,
    pickup                BLOB   NOT NULL,
    dropoff               BLOB   NOT NULL,
    live                  INTEGER NOT NULL,
    UNIQUE (ordering_id, attempt),
    CHECK (NOT failed OR failure_reason IS NOT NULL),
    CHECK (live = (outcome IS NULL))
);
CREATE UNIQUE INDEX delivery_orders_one_live ON delivery_orders (ordering_id) WHERE live;
CREATE UNIQUE INDEX delivery_orders_one_successor ON delivery_orders (predecessor_id) WHERE predecessor_id IS NOT NULL;
CREATE UNIQUE INDEX delivery_orders_partner_number ON delivery_orders (partner, partner_order_number) WHERE live;
CREATE INDEX delivery_orders_customer ON delivery_orders (customer_id);

CREATE TABLE transitions (
    order_id      TEXT        NOT NULL REFERENCES instances (id),
    sequence      INTEGER      NOT NULL CHECK (sequence >= 1),
    kind          TEXT NOT NULL CHECK (kind IN ('born', 'moved', 'noted', 'migrated')),
    event         TEXT NOT NULL,
    event_key     TEXT NOT NULL,
    actor_role    TEXT NOT NULL,
    actor_id      TEXT NOT NULL,
    from_state    TEXT,
    to_state      TEXT NOT NULL,
    from_rank     INTEGER,
    to_rank       INTEGER      NOT NULL,
    fields        TEXT       NOT NULL,
    inferred      INTEGER     NOT NULL,
    graph_version INTEGER      NOT NULL,
    occurred_at   TEXT NOT NULL,
    recorded_at   TEXT NOT NULL,
    previous_hash BLOB       NOT NULL,
    hash          BLOB       NOT NULL,
    PRIMARY KEY (order_id, sequence),
    UNIQUE (order_id, event_key),
    CHECK ((kind = 'born') = (sequence = 1)),
    CHECK ((kind = 'born') = (from_state IS NULL)),
    CHECK (kind <> 'moved' OR to_rank > from_rank),
    CHECK (kind <> 'noted' OR (to_rank = from_rank AND to_state = from_state))
);

CREATE TABLE inbox (
    source       TEXT NOT NULL,
    key          TEXT NOT NULL,
    order_id     TEXT,
    sequence     INTEGER,
    outcome      TEXT NOT NULL,
    payload_hash BLOB       NOT NULL,
    received_at  TEXT NOT NULL,
    PRIMARY KEY (source, key)
);

CREATE TABLE effects (
    effect_id    TEXT        PRIMARY KEY,
    order_id     TEXT        REFERENCES instances (id),
    sequence     INTEGER      NOT NULL,
    ordinal      INTEGER      NOT NULL,
    name         TEXT NOT NULL,
    subject      TEXT,
    -- what it carries beside ids: states and reasons, never addresses
    payload      TEXT,
    state        TEXT NOT NULL CHECK (state IN ('requested', 'sent', 'running', 'done', 'failed', 'unknown')),
    attempts     INTEGER      NOT NULL DEFAULT 0,
    due_at       TEXT NOT NULL,
    published_at TEXT,
    lease_until  TEXT,
    finished_at  TEXT,
    cause        TEXT,
    created_at   TEXT NOT NULL
);
CREATE INDEX effects_requested ON effects (due_at) WHERE state = 'requested';
CREATE INDEX effects_unfinished ON effects (order_id, sequence, ordinal) WHERE state <> 'done';
CREATE INDEX effects_order ON effects (order_id);

CREATE TABLE deadlines (
    order_id TEXT        PRIMARY KEY REFERENCES instances (id),
    sequence INTEGER      NOT NULL,
    event    TEXT NOT NULL,
    due_at   TEXT NOT NULL
);
CREATE INDEX deadlines_due ON deadlines (due_at);

-- The in-process transport.
CREATE TABLE messages (
    message_id   TEXT        PRIMARY KEY,
    queue        TEXT NOT NULL,
    message      BLOB       NOT NULL,
    attempts     INTEGER      NOT NULL DEFAULT 0,
    available_at TEXT NOT NULL,
    lease_until  TEXT
);
CREATE INDEX messages_queue ON messages (queue, message_id);

-- Celery messages that are due later: ETA, countdown, retries.
CREATE TABLE parked_messages (
    message_id TEXT        PRIMARY KEY,
    queue      TEXT NOT NULL,
    message    BLOB       NOT NULL,
    due_at     TEXT NOT NULL
);
CREATE INDEX parked_messages_due ON parked_messages (due_at);

CREATE TABLE callbacks (
    callback_id  TEXT        PRIMARY KEY,
    partner      TEXT NOT NULL,
    event_id     TEXT NOT NULL,
    key_id       TEXT NOT NULL,
    signed_at    TEXT,
    received_at  TEXT NOT NULL,
    headers      TEXT       NOT NULL,
    body         BLOB       NOT NULL,
    sha256       BLOB       NOT NULL,
    state        TEXT NOT NULL CHECK (state IN
        ('received', 'applied', 'duplicate', 'stale', 'noted', 'parked', 'unmapped', 'orphan', 'conflict', 'unresolved')),
    detail       TEXT,
    order_id     TEXT,
    parked_until TEXT,
    settled_at   TEXT,
    UNIQUE (partner, event_id)
);
CREATE INDEX callbacks_open ON callbacks (state, received_at) WHERE state NOT IN ('applied', 'duplicate', 'stale', 'noted');

CREATE TABLE quarantine (
    id          TEXT        PRIMARY KEY,
    source      TEXT NOT NULL CHECK (source IN ('amqp', 'local', 'webhook')),
    queue       TEXT NOT NULL,
    task        TEXT,
    task_id     TEXT,
    reason      TEXT NOT NULL,
    place       TEXT NOT NULL,
    detail      TEXT NOT NULL,
    size        INTEGER      NOT NULL,
    message     BLOB       NOT NULL,
    digest      BLOB       NOT NULL,
    received_at TEXT NOT NULL,
    replayed_at TEXT
);
CREATE INDEX quarantine_open ON quarantine (received_at) WHERE replayed_at IS NULL;
CREATE INDEX quarantine_digest ON quarantine (digest);

CREATE TABLE operator_cases (
    case_id    TEXT        PRIMARY KEY,
    kind       TEXT NOT NULL,
    subject    TEXT NOT NULL UNIQUE,
    order_id   TEXT        REFERENCES instances (id),
    reason     TEXT NOT NULL,
    detail     TEXT       NOT NULL,
    opened_at  TEXT NOT NULL,
    claimed_by TEXT,
    claimed_at TEXT,
    closed_by  TEXT,
    closed_at  TEXT,
    note       TEXT,
    CHECK ((claimed_by IS NULL) = (claimed_at IS NULL)),
    CHECK ((closed_by IS NULL) = (closed_at IS NULL))
);
CREATE INDEX operator_cases_open ON operator_cases (opened_at) WHERE closed_at IS NULL;
CREATE INDEX operator_cases_order ON operator_cases (order_id);

CREATE TABLE confirmation_tokens (
    token_hash  BLOB       PRIMARY KEY,
    order_id    TEXT        NOT NULL REFERENCES instances (id),
    sequence    INTEGER      NOT NULL,
    purpose     TEXT NOT NULL,
    expires_at  TEXT NOT NULL,
    answer      TEXT CHECK (answer IN ('yes', 'no')),
    answered_at TEXT,
    created_at  TEXT NOT NULL
);

-- What each running process last said of itself: its role and its breakers, for `waybill status`.
CREATE TABLE processes (
    process  TEXT PRIMARY KEY,
    role     TEXT NOT NULL,
    report   TEXT NOT NULL,
    seen_at  TEXT NOT NULL
);
