-- The SHA-256 of the header names in "headers" (sealed) that are kept as typed. Where it is missing or of other names, an
-- earlier release wrote them, in lower case, and they are sent in title case.
ALTER TABLE endpoints ADD COLUMN header_names_as_typed BLOB;
