-- Who and what there is, and the command ledger: the same tables as in migrations/web, for MySQL and
-- MariaDB. Moments are Unix milliseconds.
--
-- MySQL commits with every statement that defines a table, so each one can be run again after a crash in
-- the middle. Ids have at most 63 characters. What is found or sorted by a text that others choose is
-- kept as bytes, for `utf8mb4_bin` takes no notice of spaces at the end.

CREATE TABLE IF NOT EXISTS microgrid (
    id                 VARCHAR(63) NOT NULL PRIMARY KEY,
    name               LONGTEXT    NOT NULL,
    time_zone          LONGTEXT    NOT NULL,
    import_limit_watts DOUBLE,
    export_limit_watts DOUBLE,
    created            BIGINT      NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- `nodes` is JSON, as declared in the last hello that had them. `key_hash` is SHA-256, empty when
-- revoked. `enrolled_by` is the token that made a key; it may be gone.
CREATE TABLE IF NOT EXISTS hem (
    id                 VARCHAR(63)   NOT NULL PRIMARY KEY,
    microgrid_id       VARCHAR(63)   NOT NULL,
    name               LONGTEXT      NOT NULL,
    created            BIGINT        NOT NULL,
    firmware           LONGTEXT,
    nodes              LONGTEXT      NOT NULL,
    key_state          VARCHAR(63)   NOT NULL,
    key_hash           VARBINARY(32) NOT NULL,
    enrolled_by        VARCHAR(63),
    import_limit_watts DOUBLE,
    export_limit_watts DOUBLE,
    INDEX hem_of_microgrid (microgrid_id, id),
    CONSTRAINT hem_microgrid FOREIGN KEY (microgrid_id) REFERENCES microgrid (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS enrolment_token (
    id           VARCHAR(63)   NOT NULL PRIMARY KEY,
    microgrid_id VARCHAR(63)   NOT NULL,
    hash         VARBINARY(32) NOT NULL,
    uses         BIGINT        NOT NULL,
    used         BIGINT        NOT NULL,
    expires      BIGINT        NOT NULL,
    created      BIGINT        NOT NULL,
    UNIQUE INDEX enrolment_token_by_hash (hash),
    INDEX enrolment_token_of_microgrid (microgrid_id, id),
    CONSTRAINT enrolment_token_microgrid FOREIGN KEY (microgrid_id) REFERENCES microgrid (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- A token of the role `job` wishes for one job, and goes with it.
CREATE TABLE IF NOT EXISTS api_token (
    id           VARCHAR(63)   NOT NULL PRIMARY KEY,
    name         LONGTEXT      NOT NULL,
    hash         VARBINARY(32) NOT NULL,
    role         VARCHAR(63)   NOT NULL,
    microgrid_id VARCHAR(63),
    created      BIGINT        NOT NULL,
    job_id       VARCHAR(63),
    UNIQUE INDEX api_token_by_hash (hash),
    INDEX api_token_of_microgrid (microgrid_id),
    INDEX api_token_of_job (job_id),
    CONSTRAINT api_token_microgrid FOREIGN KEY (microgrid_id) REFERENCES microgrid (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- `configuration` and `state` are JSON.
CREATE TABLE IF NOT EXISTS job (
    id            VARCHAR(63) NOT NULL PRIMARY KEY,
    microgrid_id  VARCHAR(63) NOT NULL,
    app           LONGTEXT    NOT NULL,
    configuration LONGTEXT    NOT NULL,
    priority      INTEGER     NOT NULL,
    created       BIGINT      NOT NULL,
    state         LONGTEXT    NOT NULL,
    INDEX job_of_microgrid (microgrid_id, id),
    CONSTRAINT job_microgrid FOREIGN KEY (microgrid_id) REFERENCES microgrid (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS job_checkpoint (
    job_id  VARCHAR(63) NOT NULL PRIMARY KEY,
    cursors LONGTEXT    NOT NULL,
    state   LONGTEXT    NOT NULL,
    CONSTRAINT job_checkpoint_job FOREIGN KEY (job_id) REFERENCES job (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Numbered per job for its whole life; only the last thousand are kept.
CREATE TABLE IF NOT EXISTS job_log (
    job_id   VARCHAR(63) NOT NULL,
    number   BIGINT      NOT NULL,
    at       BIGINT      NOT NULL,
    level    VARCHAR(63) NOT NULL,
    sentence LONGTEXT    NOT NULL,
    PRIMARY KEY (job_id, number),
    CONSTRAINT job_log_job FOREIGN KEY (job_id) REFERENCES job (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- A result of the same kind, subject and start replaces the one before.
CREATE TABLE IF NOT EXISTS job_result (
    job_id   VARCHAR(63)     NOT NULL,
    start_ms BIGINT          NOT NULL,
    kind     VARBINARY(1024) NOT NULL,
    subject  VARBINARY(1024) NOT NULL,
    end_ms   BIGINT          NOT NULL,
    body     LONGTEXT        NOT NULL,
    PRIMARY KEY (job_id, start_ms, kind, subject),
    CONSTRAINT job_result_job FOREIGN KEY (job_id) REFERENCES job (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- `answer` is JSON, and absent while the request is being done.
CREATE TABLE IF NOT EXISTS idempotency (
    principal       VARBINARY(1020) NOT NULL,
    idempotency_key VARBINARY(1020) NOT NULL,
    fingerprint     VARBINARY(32)   NOT NULL,
    begun           BIGINT          NOT NULL,
    expires         BIGINT          NOT NULL,
    answer          LONGTEXT,
    PRIMARY KEY (principal, idempotency_key),
    INDEX idempotency_by_expiry (expires),
    INDEX idempotency_by_age (begun)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The command ledger. It refers to no HEM and no microgrid, so that it outlives them, and they can be
-- deleted. `action`, `asker`, `ordered` and `history` are JSON; of a history there are a dozen steps.
CREATE TABLE IF NOT EXISTS command (
    id           VARCHAR(63) NOT NULL PRIMARY KEY,
    microgrid_id VARCHAR(63) NOT NULL,
    hem_id       VARCHAR(63) NOT NULL,
    node         INTEGER,
    action       LONGTEXT    NOT NULL,
    asker        LONGTEXT    NOT NULL,
    reason       LONGTEXT    NOT NULL,
    priority     INTEGER     NOT NULL,
    issued       BIGINT      NOT NULL,
    expires      BIGINT      NOT NULL,
    lease_ms     BIGINT,
    ordered      LONGTEXT,
    hem_order    BIGINT,
    acted_at     BIGINT,
    state        VARCHAR(63) NOT NULL,
    history      LONGTEXT    NOT NULL,
    INDEX command_of_microgrid (microgrid_id, id),
    INDEX command_of_hem (hem_id, id),
    INDEX command_by_state (state, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What whoever starts must know of, until when; `waits_until` is until when its effect may still be
-- seen, where it waits for that, else 0. Small beside the ledger: a row goes when its command is over.
CREATE TABLE IF NOT EXISTS open_command (
    microgrid_id VARCHAR(63) NOT NULL,
    id           VARCHAR(63) NOT NULL,
    until        BIGINT      NOT NULL,
    waits_until  BIGINT      NOT NULL,
    PRIMARY KEY (microgrid_id, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The last order of a kind that was carried out at a node; -1 is the HEM itself.
CREATE TABLE IF NOT EXISTS command_in_force (
    hem_id     VARCHAR(63) NOT NULL,
    node       INTEGER     NOT NULL,
    kind       VARCHAR(63) NOT NULL,
    command_id VARCHAR(63) NOT NULL,
    hem_order  BIGINT      NOT NULL,
    PRIMARY KEY (hem_id, node, kind)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The highest order of each HEM. It never goes back, whatever is deleted.
CREATE TABLE IF NOT EXISTS command_order (
    hem_id  VARCHAR(63) NOT NULL PRIMARY KEY,
    highest BIGINT      NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
