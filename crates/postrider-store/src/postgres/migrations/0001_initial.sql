-- The first schema. Times are milliseconds since 1970 in UTC, as everywhere in Postrider, but for those of nodes, which
-- are judged by the database's clock alone.
-- status of a delivery: 0 pending, 1 delivered, 2 exhausted, 3 cancelled.

CREATE TABLE meta (
    name  text  PRIMARY KEY,
    value bytea NOT NULL
);

-- Every start of a process is a node of its own, with a number that is never given again: whatever an earlier start of
-- the same process left behind can't be taken for this one's.
CREATE TABLE nodes (
    no         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text        NOT NULL, -- for people
    version    text        NOT NULL, -- of the program
    state      text        NOT NULL CHECK (state IN ('alive', 'dead', 'left')),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    beat_at    timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- The version of the whole configuration. Every change takes it last and holds it until its commit, so that versions
-- follow the order of commits, and whoever asks for what is newer misses nothing.
CREATE TABLE configuration (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint  NOT NULL
) WITH (fillfactor = 10);
INSERT INTO configuration (version) VALUES (0);

CREATE TABLE accounts (
    no             bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id             uuid    NOT NULL UNIQUE,
    name           text    NOT NULL,
    created_at     bigint  NOT NULL,
    config_version bigint  NOT NULL CHECK (config_version >= 1), -- what events are matched by
    changed        bigint  NOT NULL DEFAULT 0, -- the version of the configuration that last changed anything of it
    deleted_at     bigint
);
CREATE INDEX accounts_changed ON accounts (changed);

CREATE TABLE account_keys (
    id         uuid    PRIMARY KEY,
    account_no bigint  NOT NULL REFERENCES accounts (no),
    livemode   boolean NOT NULL,
    sha256     bytea   NOT NULL UNIQUE CHECK (length(sha256) = 32),
    created_at bigint  NOT NULL,
    revoked_at bigint
);
CREATE INDEX account_keys_account ON account_keys (account_no);

CREATE TABLE endpoints (
    no                bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                uuid    NOT NULL UNIQUE,
    account_no        bigint  NOT NULL REFERENCES accounts (no),
    livemode          boolean NOT NULL,
    url               text    NOT NULL,
    event_types       text    NOT NULL, -- JSON
    filter            text,             -- JSON
    description       text    NOT NULL,
    headers           bytea,            -- sealed
    secret            bytea   NOT NULL, -- sealed
    timeout_ms        bigint  NOT NULL CHECK (timeout_ms > 0),
    retry_schedule    text,             -- JSON
    rate_per_second   bigint  CHECK (rate_per_second > 0),
    rate_burst        bigint  CHECK (rate_burst > 0),
    max_in_flight     bigint  NOT NULL CHECK (max_in_flight > 0),
    ordered           boolean NOT NULL,
    standard_webhooks boolean NOT NULL,
    state             text    NOT NULL CHECK (state IN ('enabled', 'paused', 'disabled')),
    disabled_reason   text    CHECK (disabled_reason IN ('operator', 'gone', 'failing')),
    health            text    NOT NULL, -- JSON
    failing           boolean NOT NULL DEFAULT false, -- as the health says
    created_at        bigint  NOT NULL,
    updated_at        bigint  NOT NULL,
    deleted_at        bigint,
    CHECK ((rate_per_second IS NULL) = (rate_burst IS NULL)),
    CHECK ((state = 'disabled') = (disabled_reason IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX endpoints_account ON endpoints (account_no, livemode);
CREATE INDEX endpoints_deleted ON endpoints (no) WHERE deleted_at IS NOT NULL;

-- Endpoints that only one node may send to at a time, and which one that is. A lease has no end of its own: it lasts as
-- long as its node lives.
CREATE TABLE leases (
    endpoint_no bigint PRIMARY KEY REFERENCES endpoints (no),
    node_no     bigint NOT NULL REFERENCES nodes (no)
);
CREATE INDEX leases_node ON leases (node_no);

-- The numbers of events and deliveries. The upper bits name a page of the log, whose partitions hold what was numbered
-- while it was the newest; time turns the page (see pages). A number is taken after its request came in and never kept
-- in stock, so that of two requests one after the other the later one always has the higher numbers.
CREATE SEQUENCE numbers AS bigint START WITH 4294967296 MINVALUE 4294967296 CACHE 1;

CREATE TABLE pages (
    page      bigint PRIMARY KEY,
    opened_at bigint NOT NULL,
    -- When the last delivery of it came to its end, once none is pending any more. Then nothing in it changes.
    ended_at  bigint
);

CREATE TABLE events (
    seq                bigint  NOT NULL,
    id                 uuid    NOT NULL,
    account_no         bigint  NOT NULL,
    livemode           boolean NOT NULL,
    created_at         bigint  NOT NULL,
    -- An event's own deliveries lie between these two numbers, with few others among them; both are empty where it has
    -- none.
    first_delivery_seq bigint,
    last_delivery_seq  bigint,
    type               text    NOT NULL,
    payload            bytea   NOT NULL,
    PRIMARY KEY (seq)
) PARTITION BY RANGE (seq);
-- Payloads are not worth the time to press them.
ALTER TABLE events ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX events_account ON events (account_no, livemode, seq);

-- The log of deliveries. No index covers what an outcome changes, so that the row is changed in its page and no index is
-- written. What is pending stands in the queue as well.
CREATE TABLE deliveries (
    seq             bigint   NOT NULL,
    id              uuid     NOT NULL,
    event_seq       bigint   NOT NULL,
    endpoint_no     bigint   NOT NULL,
    account_no      bigint   NOT NULL,
    created_at      bigint   NOT NULL,
    updated_at      bigint   NOT NULL, -- when it came to its end, unless it is pending
    attempts        integer  NOT NULL CHECK (attempts >= 0),
    status          smallint NOT NULL CHECK (status BETWEEN 0 AND 3),
    livemode        boolean  NOT NULL,
    cancel_reason   text     CHECK (cancel_reason IN
                        ('operator', 'endpoint_deleted', 'account_deleted', 'held_too_long')),
    resend_of       uuid,
    PRIMARY KEY (seq),
    CHECK ((status = 3) = (cancel_reason IS NOT NULL))
) PARTITION BY RANGE (seq);
CREATE INDEX deliveries_account ON deliveries (account_no, livemode, seq);
CREATE INDEX deliveries_endpoint ON deliveries (endpoint_no, seq);
CREATE INDEX deliveries_resent ON deliveries (event_seq, seq) WHERE resend_of IS NOT NULL;

CREATE TABLE attempts (
    delivery_seq       bigint  NOT NULL,
    number             integer NOT NULL,
    probe              boolean NOT NULL,
    started_at         bigint  NOT NULL,
    dns_us             bigint,
    connect_us         bigint,
    tls_us             bigint,
    first_byte_us      bigint,
    total_us           bigint  NOT NULL,
    status             integer, -- of the answer
    retry_after_ms     bigint,
    failure_code       text,    -- where there was no answer
    failure_detail     text,
    request_url        text    NOT NULL,
    request_headers    text    NOT NULL, -- a line each
    response_headers   text,
    response_truncated boolean,
    response_body      bytea,
    PRIMARY KEY (delivery_seq, number),
    CHECK ((status IS NULL) = (failure_code IS NOT NULL))
) PARTITION BY RANGE (delivery_seq);
-- In the order in which they ended, for those who follow them and were away for a while.
CREATE INDEX attempts_ended ON attempts ((started_at + total_us / 1000), delivery_seq, number);

-- What is pending, and whose it is: a row without an owner, or whose owner is not alive, is for whichever node comes
-- first. A delivery leaves the queue with its end, so the table stays as small as the backlog is.
CREATE TABLE queue (
    seq             bigint  PRIMARY KEY,
    event_seq       bigint  NOT NULL,
    endpoint_no     bigint  NOT NULL,
    owner           bigint,
    next_attempt_at bigint,
    attempts        integer NOT NULL DEFAULT 0,
    used            integer NOT NULL DEFAULT 0
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0);
-- Waits for nothing but its turn: refills lanes. Led by the owner, so that a node reads no others' rows, and what a node
-- that is gone has left behind is found without being touched first.
CREATE INDEX queue_ready ON queue (owner, endpoint_no, seq) WHERE next_attempt_at IS NULL;
-- Waits for a point in time. These two are touched only where an attempt failed.
CREATE INDEX queue_due ON queue (owner, next_attempt_at, seq) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX queue_waiting ON queue (owner, endpoint_no, seq) WHERE next_attempt_at IS NOT NULL;

-- Replays: a range of an endpoint's deliveries sent again, a part at a time. How far one has come is committed with the
-- deliveries that it made.
CREATE TABLE replays (
    no            bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            uuid     NOT NULL UNIQUE,
    account_no    bigint   NOT NULL REFERENCES accounts (no),
    livemode      boolean  NOT NULL,
    endpoint_no   bigint   NOT NULL REFERENCES endpoints (no),
    status        smallint CHECK (status BETWEEN 1 AND 3), -- of a delivery; none: every finished one
    type          text,
    since         bigint,
    until         bigint,
    reached_seq   bigint   NOT NULL, -- everything up to this number was looked at
    through_seq   bigint   NOT NULL, -- the last one of the range
    matched       bigint   NOT NULL CHECK (matched >= 0),
    resent        bigint   NOT NULL CHECK (resent >= 0),
    skipped       bigint   NOT NULL CHECK (skipped >= 0),
    state         text     NOT NULL CHECK (state IN ('running', 'done', 'cancelled')),
    cancel_reason text     CHECK (cancel_reason IN ('by_hand', 'endpoint_deleted', 'account_deleted')),
    created_at    bigint   NOT NULL,
    finished_at   bigint,
    CHECK ((state = 'running') = (finished_at IS NULL)),
    CHECK ((state = 'cancelled') = (cancel_reason IS NOT NULL))
);
-- One per endpoint runs at a time.
CREATE UNIQUE INDEX replays_running ON replays (endpoint_no) WHERE state = 'running';
CREATE INDEX replays_endpoint ON replays (endpoint_no, no);
CREATE INDEX replays_account ON replays (account_no, livemode, no);
CREATE INDEX replays_finished ON replays (finished_at) WHERE finished_at IS NOT NULL;

-- Opens a page: its partitions, and then the numbers jump to it. Until then everything goes to the page before, so that
-- it never matters when, or whether, this is called.
CREATE FUNCTION open_page(page bigint, at bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    low  bigint := page << 32;
    high bigint := (page + 1) << 32;
BEGIN
    EXECUTE format('CREATE TABLE events_%s (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)',
        page);
    EXECUTE format('CREATE UNIQUE INDEX ON events_%s (id)', page);
    EXECUTE format('ALTER TABLE events ATTACH PARTITION events_%s FOR VALUES FROM (%s) TO (%s)', page, low, high);
    EXECUTE format('CREATE TABLE deliveries_%s (LIKE deliveries INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
        WITH (fillfactor = 70)', page);
    EXECUTE format('CREATE UNIQUE INDEX ON deliveries_%s (id)', page);
    EXECUTE format('ALTER TABLE deliveries ATTACH PARTITION deliveries_%s FOR VALUES FROM (%s) TO (%s)',
        page, low, high);
    EXECUTE format('CREATE TABLE attempts_%s (LIKE attempts INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', page);
    EXECUTE format('ALTER TABLE attempts ATTACH PARTITION attempts_%s FOR VALUES FROM (%s) TO (%s)', page, low, high);
    INSERT INTO pages (page, opened_at) VALUES (page, at);
END $$;

SELECT open_page(1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint);
