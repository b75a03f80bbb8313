-- Which processes of a cluster live. Moments are Unix milliseconds of the database's own clock.
CREATE TABLE process (
    id         TEXT   NOT NULL PRIMARY KEY,
    address    TEXT   NOT NULL,
    version    TEXT   NOT NULL,
    first_beat BIGINT NOT NULL,
    last_beat  BIGINT NOT NULL,
    expires    BIGINT NOT NULL
);

-- Which of them runs which microgrid, or did last. A row outlives its process, and its microgrid too: the
-- epoch of an id that is used again goes on from where it was.
CREATE TABLE microgrid_owner (
    microgrid_id TEXT   NOT NULL PRIMARY KEY,
    process_id   TEXT,
    epoch        BIGINT NOT NULL
);
CREATE INDEX microgrid_owner_of_process ON microgrid_owner (process_id);
