-- Replays: a range of an endpoint's deliveries sent again, a part at a time. How far one has come is committed with the
-- deliveries that it made. Account and mode are the endpoint's, which never change; they stand here for the lists.
CREATE TABLE replays (
    no            INTEGER PRIMARY KEY,
    id            BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    account_no    INTEGER NOT NULL REFERENCES accounts (no),
    livemode      INTEGER NOT NULL CHECK (livemode IN (0, 1)),
    endpoint_no   INTEGER NOT NULL REFERENCES endpoints (no),
    status        INTEGER CHECK (status BETWEEN 1 AND 3), -- of a delivery; none: every finished one
    type          TEXT,
    since         INTEGER,
    until         INTEGER,
    reached_seq   INTEGER NOT NULL, -- everything up to this number was looked at
    through_seq   INTEGER NOT NULL, -- the last one of the range
    matched       INTEGER NOT NULL CHECK (matched >= 0),
    resent        INTEGER NOT NULL CHECK (resent >= 0),
    skipped       INTEGER NOT NULL CHECK (skipped >= 0),
    state         TEXT    NOT NULL CHECK (state IN ('running', 'done', 'cancelled')),
    cancel_reason TEXT    CHECK (cancel_reason IN ('by_hand', 'endpoint_deleted', 'account_deleted')),
    created_at    INTEGER NOT NULL,
    finished_at   INTEGER,
    CHECK ((state = 'running') = (finished_at IS NULL)),
    CHECK ((state = 'cancelled') = (cancel_reason IS NOT NULL))
) STRICT;

-- One per endpoint runs at a time.
CREATE UNIQUE INDEX replays_running ON replays (endpoint_no) WHERE state = 'running';
CREATE INDEX replays_endpoint ON replays (endpoint_no, no);
CREATE INDEX replays_account ON replays (account_no, livemode, no);
CREATE INDEX replays_finished ON replays (finished_at) WHERE finished_at IS NOT NULL;
