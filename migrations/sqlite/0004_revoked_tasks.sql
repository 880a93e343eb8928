-- What was revoked is known to workers that were down when it was said; a revoked message that waits is told at once.

CREATE TABLE revoked_tasks (
    task_id      TEXT PRIMARY KEY,
    forgotten_at TEXT NOT NULL
);

ALTER TABLE parked_messages ADD COLUMN task_id TEXT;
