-- Links into the customers' portal. A revoked one is deleted, an ended one when others are made.
CREATE TABLE portal_links (
    id         BLOB    PRIMARY KEY CHECK (length(id) = 16),
    account_no INTEGER NOT NULL REFERENCES accounts (no),
    livemode   INTEGER CHECK (livemode IN (0, 1)), -- none: both modes
    sha256     BLOB    NOT NULL UNIQUE CHECK (length(sha256) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX portal_links_account ON portal_links (account_no);
CREATE INDEX portal_links_end ON portal_links (expires_at);
