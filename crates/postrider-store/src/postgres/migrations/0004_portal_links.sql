-- Links into the customers' portal. A revoked one is deleted, an ended one when others are made.
CREATE TABLE portal_links (
    id         uuid    PRIMARY KEY,
    account_no bigint  NOT NULL REFERENCES accounts (no),
    livemode   boolean, -- none: both modes
    sha256     bytea   NOT NULL UNIQUE CHECK (length(sha256) = 32),
    created_at bigint  NOT NULL,
    expires_at bigint  NOT NULL
);
CREATE INDEX portal_links_account ON portal_links (account_no);
CREATE INDEX portal_links_end ON portal_links (expires_at);
