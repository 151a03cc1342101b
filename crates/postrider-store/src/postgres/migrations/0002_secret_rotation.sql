-- The new secret of a rotation (sealed), which signs beside the old one until it takes over at this time.
ALTER TABLE endpoints ADD COLUMN next_secret bytea, ADD COLUMN next_secret_at bigint,
    ADD CHECK ((next_secret_at IS NULL) = (next_secret IS NULL));
