-- The command ledger. It refers to no HEM and no microgrid, so that it outlives them, and they can be
-- deleted. `action`, `asker`, `ordered` and `history` are JSON; of a history there are a dozen steps.
CREATE TABLE command (
    id           TEXT    NOT NULL PRIMARY KEY,
    microgrid_id TEXT    NOT NULL,
    hem_id       TEXT    NOT NULL,
    node         INTEGER,
    action       TEXT    NOT NULL,
    asker        TEXT    NOT NULL,
    reason       TEXT    NOT NULL,
    priority     INTEGER NOT NULL,
    issued       BIGINT  NOT NULL,
    expires      BIGINT  NOT NULL,
    lease_ms     BIGINT,
    ordered      TEXT,
    hem_order    BIGINT,
    acted_at     BIGINT,
    state        TEXT    NOT NULL,
    history      TEXT    NOT NULL
);
CREATE INDEX command_of_microgrid ON command (microgrid_id, id);
CREATE INDEX command_of_hem ON command (hem_id, id);
CREATE INDEX command_by_state ON command (state, id);

-- What whoever starts must know of, until when; `waits_until` is until when its effect may still be
-- seen, where it waits for that, else 0. Small beside the ledger: a row goes when its command is over.
CREATE TABLE open_command (
    microgrid_id TEXT   NOT NULL,
    id           TEXT   NOT NULL,
    until        BIGINT NOT NULL,
    waits_until  BIGINT NOT NULL,
    PRIMARY KEY (microgrid_id, id)
) WITHOUT ROWID;

-- The last order of a kind that was carried out at a node; -1 is the HEM itself.
CREATE TABLE command_in_force (
    hem_id     TEXT    NOT NULL,
    node       INTEGER NOT NULL,
    kind       TEXT    NOT NULL,
    command_id TEXT    NOT NULL,
    hem_order  BIGINT  NOT NULL,
    PRIMARY KEY (hem_id, node, kind)
) WITHOUT ROWID;

-- The highest order of each HEM. It never goes back, whatever is deleted.
CREATE TABLE command_order (
    hem_id  TEXT   NOT NULL PRIMARY KEY,
    highest BIGINT NOT NULL
) WITHOUT ROWID;
