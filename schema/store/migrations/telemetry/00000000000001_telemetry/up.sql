-- Who hands readings over, by a short number.
CREATE TABLE hems (
    hem_no INTEGER NOT NULL PRIMARY KEY,
    hem TEXT NOT NULL UNIQUE,
    microgrid TEXT NOT NULL,
    -- The time zone in which its day roll-ups were made.
    day_zone TEXT NOT NULL
);
CREATE INDEX hems_by_microgrid ON hems (microgrid);

-- Narrow, because every commit writes one row per HEM in it.
CREATE TABLE marks (
    hem_no INTEGER NOT NULL PRIMARY KEY,
    mark BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    hot BIGINT NOT NULL,
    chunks BIGINT NOT NULL,
    sealed BIGINT NOT NULL,
    sealed_bytes BIGINT NOT NULL
);

CREATE TABLE microgrids (
    microgrid TEXT NOT NULL PRIMARY KEY,
    time_zone TEXT NOT NULL
);

-- Readings as they arrive. The unique key refuses a replay, whatever the mark says.
CREATE TABLE hot_readings (
    id INTEGER NOT NULL PRIMARY KEY,
    hem_no INTEGER NOT NULL,
    seq BIGINT NOT NULL,
    ts BIGINT NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (hem_no, seq)
);

-- Older readings, sealed. All numbers of a HEM's chunks lie below those of its hot readings.
CREATE TABLE chunks (
    id INTEGER NOT NULL PRIMARY KEY,
    hem_no INTEGER NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    min_ts BIGINT NOT NULL,
    max_ts BIGINT NOT NULL,
    readings INTEGER NOT NULL,
    payload BLOB NOT NULL
);
-- Wide, so that chunks are chosen without touching their pages.
CREATE UNIQUE INDEX chunks_by_seq ON chunks (hem_no, first_seq, last_seq, min_ts, max_ts);

CREATE TABLE events (
    id INTEGER NOT NULL PRIMARY KEY,
    hem_no INTEGER NOT NULL,
    seq BIGINT NOT NULL,
    ts BIGINT NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (hem_no, seq)
);

CREATE TABLE refusals (
    hem_no INTEGER NOT NULL,
    seq BIGINT NOT NULL,
    received BIGINT NOT NULL,
    code TEXT NOT NULL,
    PRIMARY KEY (hem_no, seq)
) WITHOUT ROWID;

-- Together by HEM and time, because that is how they are read. A minute knows between which numbers
-- its readings lie, so that it can be made anew without searching.
CREATE TABLE rollups (
    hem_no INTEGER NOT NULL,
    level INTEGER NOT NULL,
    bucket BIGINT NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (hem_no, level, bucket)
) WITHOUT ROWID;

-- Buckets that must be made anew once they are due; of a minute, from which number on readings came.
CREATE TABLE dirty (
    hem_no INTEGER NOT NULL,
    level INTEGER NOT NULL,
    bucket BIGINT NOT NULL,
    from_seq BIGINT NOT NULL,
    due BIGINT NOT NULL,
    PRIMARY KEY (hem_no, level, bucket)
) WITHOUT ROWID;
