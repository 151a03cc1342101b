-- Deliveries that used up their attempts, as a list of its own. An index over the log's status would have every outcome write all
-- of the log's indexes anew, since no row could be changed in its page any more; those that fail for good are few.
CREATE TABLE exhausted (
    seq         bigint  PRIMARY KEY,
    endpoint_no bigint  NOT NULL,
    account_no  bigint  NOT NULL,
    livemode    boolean NOT NULL
);
CREATE INDEX exhausted_account ON exhausted (account_no, livemode, seq);
CREATE INDEX exhausted_endpoint ON exhausted (endpoint_no, seq);

-- By the database itself, so that nodes of an earlier release keep the list as well. What is over leaves it with its row here, and
-- with its whole page where that is dropped (`pages.rs`).
CREATE FUNCTION list_exhausted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM exhausted WHERE seq = OLD.seq;
    ELSE
        INSERT INTO exhausted VALUES (NEW.seq, NEW.endpoint_no, NEW.account_no, NEW.livemode) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER deliveries_exhausted AFTER UPDATE OF status ON deliveries
    FOR EACH ROW WHEN (NEW.status = 2) EXECUTE FUNCTION list_exhausted();
CREATE TRIGGER deliveries_pruned AFTER DELETE ON deliveries
    FOR EACH ROW WHEN (OLD.status = 2) EXECUTE FUNCTION list_exhausted();

-- Nothing is recorded while this reads the log once; by its rows in their order, since no index has the status.
SET LOCAL enable_seqscan = on;
INSERT INTO exhausted SELECT seq, endpoint_no, account_no, livemode FROM deliveries WHERE status = 2;
