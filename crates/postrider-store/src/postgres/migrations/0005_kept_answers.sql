-- Answers to creating calls with an idempotency key, in the commit that created.
CREATE TABLE kept_answers (
    scope       bytea   PRIMARY KEY CHECK (octet_length(scope) = 32),
    body_sha256 bytea   NOT NULL CHECK (octet_length(body_sha256) = 32),
    kept_at     bigint  NOT NULL,
    status      integer NOT NULL,
    answer      bytea   NOT NULL -- sealed
);

CREATE INDEX kept_answers_age ON kept_answers (kept_at);
