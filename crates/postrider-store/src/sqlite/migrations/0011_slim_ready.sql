-- A row's number ends every entry of an index anyway: named as a column it stood there twice. This index takes an entry
-- for every endpoint of an event, scattered over its pages, and those pages are most of what such a commit writes.
DROP INDEX deliveries_ready;
CREATE INDEX deliveries_ready ON deliveries (endpoint_no)
    WHERE status = 0 AND next_attempt_at IS NULL;
