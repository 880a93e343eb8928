-- Contactless handover: a code of six digits that the customer says to the courier.
CREATE TABLE handover_codes (
    order_id    uuid PRIMARY KEY REFERENCES instances (id),
    -- of the page that shows the code to the customer
    token_hash  bytea NOT NULL UNIQUE,
    sequence    bigint NOT NULL,
    -- keyed with the data key: six digits alone would be found from any plain hash
    code_digest bytea NOT NULL,
    wrong       bigint NOT NULL DEFAULT 0 CHECK (wrong BETWEEN 0 AND 5),
    verified_at timestamptz,
    expires_at  timestamptz NOT NULL,
    created_at  timestamptz NOT NULL
);
