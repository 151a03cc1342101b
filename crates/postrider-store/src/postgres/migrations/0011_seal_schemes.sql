-- By what endpoints' sealed values may be bound: 1 to their row alone, 2 to the endpoint's URL as well. Row 1 is there as
-- long as a node may live that knows nothing else: each node's row refers to the newest scheme that it knows, and a node of
-- a release without this column gets 1. Once row 1 is gone, such a node can't join.
CREATE TABLE seal_schemes (
    scheme smallint PRIMARY KEY
);
INSERT INTO seal_schemes (scheme) VALUES (1), (2);
ALTER TABLE nodes ADD COLUMN seal_scheme smallint DEFAULT 1 REFERENCES seal_schemes (scheme);
