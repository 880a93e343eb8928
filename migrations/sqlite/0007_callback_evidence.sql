-- What else was of a callback: that it came early, that it came again, that it is another attempt at an older one.
ALTER TABLE callbacks ADD COLUMN parked_at TEXT;
ALTER TABLE callbacks ADD COLUMN repeats INTEGER NOT NULL DEFAULT 0;
ALTER TABLE callbacks ADD COLUMN repeated_at TEXT;
ALTER TABLE callbacks ADD COLUMN replay_of TEXT;
ALTER TABLE callbacks ADD COLUMN replayed_by TEXT;
CREATE INDEX callbacks_replays ON callbacks (replay_of) WHERE replay_of IS NOT NULL;

-- Requests that were not believed, without what they said: the newest of each partner, no more.
CREATE TABLE rejected_callbacks (
    rejection_id TEXT    PRIMARY KEY,
    -- '-' where it is none of ours: what a stranger wrote is not kept
    partner      TEXT    NOT NULL,
    reason       TEXT    NOT NULL,
    -- as claimed, where it has the form of an id
    event_id     TEXT,
    address      TEXT,
    size         INTEGER,
    sha256       BLOB,
    received_at  TEXT    NOT NULL
);
CREATE INDEX rejected_callbacks_newest ON rejected_callbacks (partner, rejection_id);
