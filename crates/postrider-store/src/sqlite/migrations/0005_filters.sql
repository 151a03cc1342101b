-- An endpoint's content filter, as JSON; none where it wants every event of its types.
ALTER TABLE endpoints ADD COLUMN filter TEXT CHECK (filter IS NULL OR json_valid(filter));
