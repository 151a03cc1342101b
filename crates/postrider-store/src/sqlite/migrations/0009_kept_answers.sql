-- Answers to creating calls with an idempotency key, in the commit that created.
CREATE TABLE kept_answers (
    no          INTEGER PRIMARY KEY,
    scope       BLOB    NOT NULL UNIQUE CHECK (length(scope) = 32),
    body_sha256 BLOB    NOT NULL CHECK (length(body_sha256) = 32),
    kept_at     INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    answer      BLOB    NOT NULL -- sealed
) STRICT;

CREATE INDEX kept_answers_age ON kept_answers (kept_at);
