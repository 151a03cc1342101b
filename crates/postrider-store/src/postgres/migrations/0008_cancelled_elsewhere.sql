-- Deliveries that were cancelled by hand at one node while they were another one's: that one has them in memory, finds
-- them here, and takes them out. Whatever is told to a node that is gone goes with it.
CREATE TABLE cancelled_elsewhere (
    no          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner       bigint NOT NULL REFERENCES nodes (no) ON DELETE CASCADE,
    endpoint_no bigint NOT NULL,
    seq         bigint NOT NULL
);
CREATE INDEX cancelled_elsewhere_owner ON cancelled_elsewhere (owner, no);
