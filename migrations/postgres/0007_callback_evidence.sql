-- What else was of a callback: that it came early, that it came again, that it is another attempt at an older one.
ALTER TABLE callbacks ADD COLUMN parked_at timestamptz;
ALTER TABLE callbacks ADD COLUMN repeats bigint NOT NULL DEFAULT 0;
ALTER TABLE callbacks ADD COLUMN repeated_at timestamptz;
ALTER TABLE callbacks ADD COLUMN replay_of uuid;
ALTER TABLE callbacks ADD COLUMN replayed_by text;
CREATE INDEX callbacks_replays ON callbacks (replay_of) WHERE replay_of IS NOT NULL;

-- Requests that were not believed, without what they said: the newest of each partner, no more.
CREATE TABLE rejected_callbacks (
    rejection_id uuid        PRIMARY KEY,
    -- '-' where it is none of ours: what a stranger wrote is not kept
    partner      text        NOT NULL,
    reason       text        NOT NULL,
    -- as claimed, where it has the form of an id
    event_id     text,
    address      text,
    size         bigint,
    sha256       bytea,
    received_at  timestamptz NOT NULL
);
CREATE INDEX rejected_callbacks_newest ON rejected_callbacks (partner, rejection_id);
