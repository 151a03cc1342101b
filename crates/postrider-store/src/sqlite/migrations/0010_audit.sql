-- Who did what, in the commit that did it.
CREATE TABLE audit (
    no       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    actor_id TEXT,
    address  TEXT,
    action   TEXT    NOT NULL,
    account  BLOB    NOT NULL CHECK (length(account) = 16),
    target   TEXT    NOT NULL,
    fields   TEXT
) STRICT;

CREATE INDEX audit_account ON audit (account, no);
