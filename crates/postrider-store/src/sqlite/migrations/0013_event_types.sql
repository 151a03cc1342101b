-- What the operator made of event types: custom ones, and changes of those that come with the service. What is NULL is as
-- it comes with the service, or not there.
CREATE TABLE event_types (
    name        TEXT    PRIMARY KEY,
    custom      INTEGER NOT NULL CHECK (custom IN (0, 1)),
    description TEXT,
    schema      TEXT,
    example     TEXT,
    validation  INTEGER NOT NULL CHECK (validation IN (0, 1)),
    archived    INTEGER NOT NULL CHECK (archived IN (0, 1)),
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;
