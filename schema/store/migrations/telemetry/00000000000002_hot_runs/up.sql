-- Readings as they arrive: what one commit stored of a HEM is a run, one row. So a commit writes, and
-- sealing deletes, by the HEM and not by the reading. The unique key refuses a replay, whatever the
-- mark says.
CREATE TABLE hot_runs (
    id INTEGER NOT NULL PRIMARY KEY,
    hem_no INTEGER NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    min_ts BIGINT NOT NULL,
    max_ts BIGINT NOT NULL,
    readings INTEGER NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (hem_no, first_seq)
);

-- Each reading becomes a run of its own: two zeros say that its number and time are the run's first.
INSERT INTO hot_runs (hem_no, first_seq, last_seq, min_ts, max_ts, readings, payload)
SELECT hem_no, seq, seq, ts, ts, 1, CAST(x'0000' || payload AS BLOB) FROM hot_readings ORDER BY id;

DROP TABLE hot_readings;
