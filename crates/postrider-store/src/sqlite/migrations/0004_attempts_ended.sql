-- When an attempt ended, and the attempts in that order: a stream that was broken off goes on from there. Attempts end
-- nearly in the order in which they are written down, so that the index grows at its end alone.
ALTER TABLE attempts ADD COLUMN ended_at INTEGER GENERATED ALWAYS AS (started_at + total_us / 1000) VIRTUAL;
CREATE INDEX attempts_ended ON attempts (ended_at);
