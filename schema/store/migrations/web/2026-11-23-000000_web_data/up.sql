-- Who and what there is: microgrids, HEMs, keys, tokens, jobs. Moments are Unix milliseconds.

CREATE TABLE microgrid (
    id                 TEXT   NOT NULL PRIMARY KEY,
    name               TEXT   NOT NULL,
    time_zone          TEXT   NOT NULL,
    import_limit_watts DOUBLE,
    export_limit_watts DOUBLE,
    created            BIGINT NOT NULL
);

-- `nodes` is JSON, as declared in the last hello that had them. `key_hash` is SHA-256, empty when
-- revoked. `enrolled_by` is the token that made a key; it may be gone.
CREATE TABLE hem (
    id           TEXT   NOT NULL PRIMARY KEY,
    microgrid_id TEXT   NOT NULL REFERENCES microgrid (id),
    name         TEXT   NOT NULL,
    created      BIGINT NOT NULL,
    firmware     TEXT,
    nodes        TEXT   NOT NULL,
    key_state    TEXT   NOT NULL,
    key_hash     BLOB   NOT NULL,
    enrolled_by  TEXT
);
CREATE INDEX hem_of_microgrid ON hem (microgrid_id, id);

CREATE TABLE enrolment_token (
    id           TEXT   NOT NULL PRIMARY KEY,
    microgrid_id TEXT   NOT NULL REFERENCES microgrid (id),
    hash         BLOB   NOT NULL UNIQUE,
    uses         BIGINT NOT NULL,
    used         BIGINT NOT NULL,
    expires      BIGINT NOT NULL,
    created      BIGINT NOT NULL
);
CREATE INDEX enrolment_token_of_microgrid ON enrolment_token (microgrid_id, id);

CREATE TABLE api_token (
    id           TEXT   NOT NULL PRIMARY KEY,
    name         TEXT   NOT NULL,
    hash         BLOB   NOT NULL UNIQUE,
    role         TEXT   NOT NULL,
    microgrid_id TEXT   REFERENCES microgrid (id),
    created      BIGINT NOT NULL
);
CREATE INDEX api_token_of_microgrid ON api_token (microgrid_id);

-- `configuration` and `state` are JSON.
CREATE TABLE job (
    id            TEXT    NOT NULL PRIMARY KEY,
    microgrid_id  TEXT    NOT NULL REFERENCES microgrid (id),
    app           TEXT    NOT NULL,
    configuration TEXT    NOT NULL,
    priority      INTEGER NOT NULL,
    created       BIGINT  NOT NULL,
    state         TEXT    NOT NULL
);
CREATE INDEX job_of_microgrid ON job (microgrid_id, id);

CREATE TABLE job_checkpoint (
    job_id  TEXT NOT NULL PRIMARY KEY REFERENCES job (id),
    cursors TEXT NOT NULL,
    state   TEXT NOT NULL
);

-- Numbered per job for its whole life; only the last thousand are kept.
CREATE TABLE job_log (
    job_id   TEXT   NOT NULL REFERENCES job (id),
    number   BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    level    TEXT   NOT NULL,
    sentence TEXT   NOT NULL,
    PRIMARY KEY (job_id, number)
) WITHOUT ROWID;

-- A result of the same kind, subject and start replaces the one before.
CREATE TABLE job_result (
    job_id   TEXT   NOT NULL REFERENCES job (id),
    start_ms BIGINT NOT NULL,
    kind     TEXT   NOT NULL,
    subject  TEXT   NOT NULL,
    end_ms   BIGINT NOT NULL,
    body     TEXT   NOT NULL,
    PRIMARY KEY (job_id, start_ms, kind, subject)
) WITHOUT ROWID;

-- `answer` is JSON, and absent while the request is being done.
CREATE TABLE idempotency (
    principal       TEXT   NOT NULL,
    idempotency_key TEXT   NOT NULL,
    fingerprint     BLOB   NOT NULL,
    begun           BIGINT NOT NULL,
    expires         BIGINT NOT NULL,
    answer          TEXT,
    PRIMARY KEY (principal, idempotency_key)
);
CREATE INDEX idempotency_by_expiry ON idempotency (expires);
CREATE INDEX idempotency_by_age ON idempotency (begun);
