-- The first schema. Times are milliseconds since 1970 in UTC, ids are their 16 bytes.
-- status of a delivery: 0 pending, 1 delivered, 2 exhausted, 3 cancelled.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    no             INTEGER PRIMARY KEY,
    id             BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    name           TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    config_version INTEGER NOT NULL CHECK (config_version >= 1),
    deleted_at     INTEGER
) STRICT;

CREATE TABLE account_keys (
    id         BLOB    PRIMARY KEY CHECK (length(id) = 16),
    account_no INTEGER NOT NULL REFERENCES accounts (no),
    livemode   INTEGER NOT NULL CHECK (livemode IN (0, 1)),
    sha256     BLOB    NOT NULL UNIQUE CHECK (length(sha256) = 32),
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoints (
    no                INTEGER PRIMARY KEY,
    id                BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    account_no        INTEGER NOT NULL REFERENCES accounts (no),
    livemode          INTEGER NOT NULL CHECK (livemode IN (0, 1)),
    url               TEXT    NOT NULL,
    event_types       TEXT    NOT NULL CHECK (json_valid(event_types)),
    description       TEXT    NOT NULL,
    headers           BLOB,   -- sealed
    secret            BLOB    NOT NULL, -- sealed
    timeout_ms        INTEGER NOT NULL CHECK (timeout_ms > 0),
    retry_schedule    TEXT    CHECK (json_valid(retry_schedule)),
    rate_per_second   INTEGER CHECK (rate_per_second > 0),
    rate_burst        INTEGER CHECK (rate_burst > 0),
    max_in_flight     INTEGER NOT NULL CHECK (max_in_flight > 0),
    ordered           INTEGER NOT NULL CHECK (ordered IN (0, 1)),
    standard_webhooks INTEGER NOT NULL CHECK (standard_webhooks IN (0, 1)),
    state             TEXT    NOT NULL CHECK (state IN ('enabled', 'paused', 'disabled')),
    disabled_reason   TEXT    CHECK (disabled_reason IN ('operator', 'gone', 'failing')),
    health            TEXT    NOT NULL CHECK (json_valid(health)),
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    deleted_at        INTEGER,
    CHECK ((rate_per_second IS NULL) = (rate_burst IS NULL)),
    CHECK ((state = 'disabled') = (disabled_reason IS NOT NULL))
) STRICT;

CREATE INDEX endpoints_account ON endpoints (account_no, livemode);

-- The payload stands last, so that the columns before it are read without its pages.
CREATE TABLE events (
    seq                INTEGER PRIMARY KEY,
    id                 BLOB    NOT NULL CHECK (length(id) = 16),
    account_no         INTEGER NOT NULL,
    livemode           INTEGER NOT NULL CHECK (livemode IN (0, 1)),
    created_at         INTEGER NOT NULL,
    -- An event's own deliveries are numbered in a row: they are found by these two, without an index.
    first_delivery_seq INTEGER NOT NULL,
    delivery_count     INTEGER NOT NULL CHECK (delivery_count >= 0),
    type               TEXT    NOT NULL,
    payload            BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX events_id ON events (id);
CREATE INDEX events_account ON events (account_no, livemode, seq);

-- A delivery's account and mode are its endpoint's, which never change, so they need neither columns nor an
-- index here: the list of an account merges the lists of its endpoints.
-- A row keeps its length when the first attempt is received (0 and 1 take no room, updated_at is there from
-- the start), so that SQLite overwrites it in place instead of splitting a full page. (Where a check runs for
-- every row it has no IN with more than two values: SQLite builds a table of them each time.)
CREATE TABLE deliveries (
    seq             INTEGER PRIMARY KEY,
    id              BLOB    NOT NULL CHECK (length(id) = 16),
    event_seq       INTEGER NOT NULL,
    endpoint_no     INTEGER NOT NULL,
    status          INTEGER NOT NULL CHECK (status BETWEEN 0 AND 3),
    attempts        INTEGER NOT NULL CHECK (attempts >= 0),
    used            INTEGER NOT NULL CHECK (used >= 0),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL, -- when it came to its end, unless it is pending
    next_attempt_at INTEGER CHECK (next_attempt_at IS NULL OR status = 0),
    cancel_reason   TEXT    CHECK (cancel_reason IS NULL OR cancel_reason IN
                        ('operator', 'endpoint_deleted', 'account_deleted', 'held_too_long')),
    resend_of       BLOB    CHECK (length(resend_of) = 16), -- the other delivery's id
    CHECK ((status = 3) = (cancel_reason IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX deliveries_id ON deliveries (id);
-- The log of an endpoint. It is not joined with `ready` into one index over the status: a delivery would then
-- move within a large tree when it is done, which costs two scattered pages; `ready` is small and stays warm.
CREATE INDEX deliveries_log ON deliveries (endpoint_no, seq);
-- Waits for nothing but its turn: refills lanes.
CREATE INDEX deliveries_ready ON deliveries (endpoint_no, seq)
    WHERE status = 0 AND next_attempt_at IS NULL;
-- Waits for a point in time. These two are touched only where an attempt failed.
CREATE INDEX deliveries_due ON deliveries (next_attempt_at, seq)
    WHERE status = 0 AND next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_waiting ON deliveries (endpoint_no, seq)
    WHERE status = 0 AND next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_exhausted ON deliveries (endpoint_no, seq) WHERE status = 2;
CREATE INDEX deliveries_resent ON deliveries (event_seq, seq) WHERE resend_of IS NOT NULL;

-- One integer names an attempt, delivery_seq * 65536 + number: one tree whose rows stay on their pages, where
-- a table without rowid would move every row above 1 kB out to a page of its own.
CREATE TABLE attempts (
    id                 INTEGER PRIMARY KEY,
    delivery_seq       INTEGER GENERATED ALWAYS AS (id >> 16) VIRTUAL,
    number             INTEGER GENERATED ALWAYS AS (id & 65535) VIRTUAL,
    probe              INTEGER NOT NULL CHECK (probe IN (0, 1)),
    started_at         INTEGER NOT NULL,
    dns_us             INTEGER,
    connect_us         INTEGER,
    tls_us             INTEGER,
    first_byte_us      INTEGER,
    total_us           INTEGER NOT NULL,
    status             INTEGER, -- of the answer
    retry_after_ms     INTEGER,
    failure_code       TEXT,    -- where there was no answer
    failure_detail     TEXT,
    request_url        TEXT    NOT NULL,
    request_headers    TEXT    NOT NULL, -- JSON: [[name, value], …]
    response_headers   TEXT,
    response_truncated INTEGER,
    response_body      BLOB,
    CHECK ((status IS NULL) = (failure_code IS NOT NULL))
) STRICT;
