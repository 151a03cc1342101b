-- The log of an account's events and of an endpoint's deliveries, as tables of their own instead of indexes. An
-- index is written with every row: each commit then touches a page for every account and every endpoint in it,
-- which was two fifths of all that was written. These are written behind the log, many rows at once and in their
-- order; `listed` says how far they go, and a list reads what lies behind that from the log itself.
CREATE TABLE listed (
    only_row   INTEGER PRIMARY KEY CHECK (only_row = 1),
    events     INTEGER NOT NULL, -- everything up to this number stands in events_listed
    deliveries INTEGER NOT NULL  -- and up to this one in deliveries_listed
) STRICT;

CREATE TABLE events_listed (
    account_no INTEGER NOT NULL,
    livemode   INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    PRIMARY KEY (account_no, livemode, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries_listed (
    endpoint_no INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    PRIMARY KEY (endpoint_no, seq)
) STRICT, WITHOUT ROWID;

INSERT INTO events_listed SELECT account_no, livemode, seq FROM events ORDER BY account_no, livemode, seq;
INSERT INTO deliveries_listed SELECT endpoint_no, seq FROM deliveries ORDER BY endpoint_no, seq;
INSERT INTO listed VALUES
    (1, (SELECT coalesce(max(seq), 0) FROM events), (SELECT coalesce(max(seq), 0) FROM deliveries));

DROP INDEX events_account;
DROP INDEX deliveries_log;
