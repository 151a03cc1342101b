-- Who did what, in the commit that did it.
CREATE TABLE audit (
    no       bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       bigint  NOT NULL,
    actor    text    NOT NULL,
    actor_id text,
    address  text,
    action   text    NOT NULL,
    account  uuid    NOT NULL,
    target   text    NOT NULL,
    fields   text
);

CREATE INDEX audit_account ON audit (account, no);
