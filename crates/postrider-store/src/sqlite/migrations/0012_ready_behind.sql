-- What is ready, by endpoint, as a table written behind the log like the lists (0002), instead of an index written with
-- every row. Nearly every delivery comes to its end before it would be listed here, and then never stands in it; an event for a thousand
-- endpoints no longer scatters over the leaves of all of them within its own commit.
DROP INDEX deliveries_ready;

CREATE TABLE ready_listed (
    endpoint_no INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    PRIMARY KEY (endpoint_no, seq)
) STRICT, WITHOUT ROWID;

INSERT INTO ready_listed
    SELECT endpoint_no, seq FROM deliveries WHERE status = 0 AND next_attempt_at IS NULL ORDER BY endpoint_no, seq;

-- Everything up to this number that is ready stands in ready_listed.
ALTER TABLE listed ADD COLUMN ready INTEGER NOT NULL DEFAULT 0;
UPDATE listed SET ready = (SELECT coalesce(max(seq), 0) FROM deliveries);
