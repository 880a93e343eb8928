-- Contactless handover: a code of six digits that the customer says to the courier.
CREATE TABLE handover_codes (
    order_id    TEXT PRIMARY KEY REFERENCES instances (id),
    -- of the page that shows the code to the customer
    token_hash  BLOB NOT NULL UNIQUE,
    sequence    INTEGER NOT NULL,
    -- keyed with the data key: six digits alone would be found from any plain hash
    code_digest BLOB NOT NULL,
    wrong       INTEGER NOT NULL DEFAULT 0 CHECK (wrong BETWEEN 0 AND 5),
    verified_at TEXT,
    expires_at  TEXT NOT NULL,
    created_at  TEXT NOT NULL
);
