-- Which processes of a cluster live. Moments are Unix milliseconds of the database's own clock.
CREATE TABLE IF NOT EXISTS process (
    id         VARCHAR(63) NOT NULL PRIMARY KEY,
    address    LONGTEXT    NOT NULL,
    version    LONGTEXT    NOT NULL,
    first_beat BIGINT      NOT NULL,
    last_beat  BIGINT      NOT NULL,
    expires    BIGINT      NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Which of them runs which microgrid, or did last. A row outlives its process, and its microgrid too: the
-- epoch of an id that is used again goes on from where it was.
CREATE TABLE IF NOT EXISTS microgrid_owner (
    microgrid_id VARCHAR(63) NOT NULL PRIMARY KEY,
    process_id   VARCHAR(63),
    epoch        BIGINT      NOT NULL,
    INDEX microgrid_owner_of_process (process_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
