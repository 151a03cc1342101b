-- What the operator made of event types: custom ones, and changes of those that come with the service. What is NULL is as
-- it comes with the service, or not there.
CREATE TABLE event_types (
    name        text    PRIMARY KEY,
    custom      boolean NOT NULL,
    description text,
    schema      text,
    example     text,
    validation  boolean NOT NULL,
    archived    boolean NOT NULL,
    created_at  bigint  NOT NULL,
    updated_at  bigint  NOT NULL,
    changed     bigint  NOT NULL DEFAULT 0 -- the version of the configuration that last changed it
);
