-- The first schema. Expand and contract from here: a merged migration is never edited.
-- Only the database's clock decides anything, and every change of a task's state appends to count_deltas in the same statement.

CREATE TYPE task_stage AS ENUM ('invert', 'train', 'edit');
CREATE TYPE task_state AS ENUM (
    'blocked', 'ready', 'dispatched', 'running', 'retry_wait', 'succeeded', 'dead', 'cancelled');
CREATE TYPE job_state AS ENUM (
    'accepting', 'active', 'paused', 'succeeded', 'partial', 'failed', 'cancelled');
CREATE TYPE gate_state AS ENUM ('none', 'waiting', 'open', 'dead');
CREATE TYPE artifact_state AS ENUM ('pending', 'done', 'orphaned');
CREATE TYPE worker_state AS ENUM ('live', 'draining', 'gone', 'lost');
CREATE TYPE outbox_kind AS ENUM ('work', 'control');
-- SHA-256. Not named sha256, or sha256('x') would be a cast instead of a call.
CREATE DOMAIN digest AS bytea CHECK (octet_length(VALUE) = 32);

-- ---------------------------------------------------------------- tenants and inputs

CREATE TABLE projects (
    id         uuid PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    weight     double precision NOT NULL DEFAULT 1 CHECK (weight > 0),
    served_ms  double precision NOT NULL DEFAULT 0,
    backlogged boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN projects.weight IS 'share of the GPUs relative to other backlogged projects';
COMMENT ON COLUMN projects.served_ms IS
    'GPU milliseconds charged, folded from count_deltas; lifted when the project becomes backlogged, so that idling hoards no credit';
COMMENT ON COLUMN projects.backlogged IS 'had dispatchable tasks when the dispatcher last looked';

CREATE TABLE datasets (
    id            uuid PRIMARY KEY,
    project       uuid NOT NULL REFERENCES projects,
    name          text NOT NULL,
    sources       bigint NOT NULL DEFAULT 0,
    import_uri    text,
    import_cursor text,
    importing     boolean NOT NULL DEFAULT false,
    import_errors text[] NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (project, name),
    CHECK (NOT importing OR import_uri IS NOT NULL)
);
COMMENT ON COLUMN datasets.sources IS 'number of sources, and the next ordinal: adding takes this row''s lock';
COMMENT ON COLUMN datasets.import_cursor IS 'where a server-side import goes on after a restart';
CREATE INDEX datasets_importing ON datasets (id) WHERE importing;

CREATE TABLE sources (
    dataset uuid NOT NULL REFERENCES datasets,
    ordinal bigint NOT NULL,
    sha256  digest NOT NULL,
    uri     text NOT NULL,
    bytes   bigint NOT NULL CHECK (bytes >= 0),
    labels  jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (dataset, ordinal),
    UNIQUE (dataset, sha256)
);

CREATE TABLE packs (
    name            text PRIMARY KEY,
    digest          digest NOT NULL,
    manifest_digest digest NOT NULL,
    manifest        text NOT NULL,
    resolution      integer NOT NULL CHECK (resolution > 0),
    created_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN packs.digest IS 'identity of the pack: over its canonical manifest with the digest of every file';
COMMENT ON COLUMN packs.manifest_digest IS 'the object that holds pack.toml''s text';

-- ---------------------------------------------------------------- jobs

CREATE TABLE jobs (
    seq             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              uuid NOT NULL UNIQUE,
    project         uuid NOT NULL REFERENCES projects,
    idempotency_key text NOT NULL,
    spec_digest     digest NOT NULL,
    spec            jsonb NOT NULL,
    dataset         uuid NOT NULL REFERENCES datasets,
    pack_name       text NOT NULL,
    pack_digest     digest NOT NULL,
    pack_manifest   digest NOT NULL,
    state           job_state NOT NULL DEFAULT 'accepting',
    cancel_pending  boolean NOT NULL DEFAULT false,
    priority        smallint NOT NULL,
    cursor          jsonb NOT NULL DEFAULT 'null',
    next_no         integer NOT NULL DEFAULT 0,
    memoised        bigint NOT NULL DEFAULT 0,
    served_ms       double precision NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CONSTRAINT jobs_idempotency UNIQUE (project, idempotency_key),
    CHECK ((finished_at IS NOT NULL) = (state IN ('succeeded', 'partial', 'failed', 'cancelled'))),
    CHECK (NOT cancel_pending OR state = 'cancelled')
);
COMMENT ON COLUMN jobs.seq IS 'dense number of the job: half of a task''s id and the partition key of its tasks';
COMMENT ON COLUMN jobs.cursor IS 'how far the writing of tasks has come; the coordinator''s own value, compared for equality';
COMMENT ON COLUMN jobs.next_no IS 'number of the next task; memoised producers leave holes';
COMMENT ON COLUMN jobs.memoised IS 'producer tasks that were not needed because another job computed or computes the same key';
COMMENT ON COLUMN jobs.cancel_pending IS 'the job is cancelled and some of its tasks are not yet: the sweeper goes on in slices';
CREATE INDEX jobs_open ON jobs (seq) WHERE state IN ('accepting', 'active', 'paused');
CREATE INDEX jobs_cancelling ON jobs (seq) WHERE cancel_pending;
CREATE INDEX jobs_of_project ON jobs (project, seq);

CREATE TABLE job_edits (
    job_seq      bigint NOT NULL REFERENCES jobs,
    edit_no      smallint NOT NULL CHECK (edit_no >= 0),
    slug         text NOT NULL,
    method       text NOT NULL,
    spec         jsonb NOT NULL,
    digest       digest NOT NULL,
    gate         gate_state NOT NULL,
    mapper_key   digest,
    training_set digest,
    mapper       digest,
    PRIMARY KEY (job_seq, edit_no),
    UNIQUE (job_seq, slug),
    CHECK ((gate = 'none') = (mapper_key IS NULL)),
    CHECK ((mapper_key IS NULL) = (training_set IS NULL)),
    CHECK ((gate = 'open') = (mapper IS NOT NULL))
);
COMMENT ON COLUMN job_edits.gate IS
    'none: nothing to train; waiting: edits are not handed out until the mapper is there; open: it is; dead: it never will be';
COMMENT ON COLUMN job_edits.mapper IS 'the trained mapper''s artifact';
CREATE INDEX job_edits_waiting ON job_edits (mapper_key) WHERE gate = 'waiting';
CREATE INDEX job_edits_dead ON job_edits (job_seq) WHERE gate = 'dead';

-- ---------------------------------------------------------------- tasks

CREATE TABLE tasks (
    job_seq    bigint NOT NULL,
    no         integer NOT NULL,
    stage      task_stage NOT NULL,
    state      task_state NOT NULL,
    edit_no    smallint NOT NULL,
    attempts   smallint NOT NULL DEFAULT 0,
    losses     smallint NOT NULL DEFAULT 0,
    epoch      bigint NOT NULL DEFAULT 0,
    ordinal    bigint,
    strength   double precision,
    seed       bigint,
    key        digest NOT NULL,
    needs      digest,
    batch      uuid,
    boot       uuid,
    held_since timestamptz,
    charged    real,
    next_at    timestamptz,
    reason     text,
    detail     text,
    checkpoint digest,
    done       real NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_seq, no),
    -- what each stage has
    CHECK ((stage = 'invert') = (edit_no = -1)),
    CHECK ((stage = 'train') = (ordinal IS NULL)),
    CHECK ((stage = 'edit') = (needs IS NOT NULL) AND (stage = 'edit') = (strength IS NOT NULL) AND (stage = 'edit') = (seed IS NOT NULL)),
    -- what each state has
    CHECK ((state IN ('dispatched', 'running')) = (batch IS NOT NULL)),
    CHECK ((state IN ('dispatched', 'running')) = (held_since IS NOT NULL)),
    CHECK ((state IN ('dispatched', 'running')) = (charged IS NOT NULL)),
    CHECK ((state = 'running') = (boot IS NOT NULL)),
    CHECK ((state = 'retry_wait') = (next_at IS NOT NULL)),
    CHECK ((state IN ('retry_wait', 'dead')) = (reason IS NOT NULL)),
    CHECK (detail IS NULL OR reason IS NOT NULL)
) PARTITION BY RANGE (job_seq);
COMMENT ON COLUMN tasks.edit_no IS 'the edit, or -1 for an inversion, which serves all edits (not NULL, so that one index finds both)';
COMMENT ON COLUMN tasks.epoch IS 'the fence: one more with every hand-out; a message with another epoch changes nothing';
COMMENT ON COLUMN tasks.key IS 'stage key: the identity of the result';
COMMENT ON COLUMN tasks.needs IS 'stage key of the latent an edit starts from';
COMMENT ON COLUMN tasks.held_since IS 'when it was handed out, or, once running, when the start was heard';
COMMENT ON COLUMN tasks.charged IS 'estimated GPU milliseconds charged for this hand-out, corrected when it ends';
COMMENT ON COLUMN tasks.checkpoint IS 'artifact from which the next hand-out goes on';
COMMENT ON COLUMN tasks.done IS 'part done at the checkpoint, 0 to 1';
-- Hand-outs, cancelling and settling all look for a job's unfinished tasks; a finished task is in no index but the key.
CREATE INDEX tasks_open ON tasks (job_seq, state, stage, edit_no, no)
    WHERE state IN ('blocked', 'ready', 'dispatched', 'running', 'retry_wait');
CREATE INDEX tasks_held ON tasks (batch) WHERE state IN ('dispatched', 'running');
CREATE INDEX tasks_blocked ON tasks (needs) WHERE state = 'blocked';
CREATE INDEX tasks_due ON tasks (next_at) WHERE state = 'retry_wait';
CREATE INDEX tasks_dead ON tasks (job_seq, no) WHERE state = 'dead';

-- The partition for the cohort of 64 jobs that holds seq. ATTACH takes a weaker lock than CREATE ... PARTITION OF, so running
-- statements on other cohorts go on.
CREATE FUNCTION ensure_task_partition(seq bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    low  bigint := seq / 64 * 64;
    part text := 'tasks_' || low;
BEGIN
    IF to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('tasks partition', low));
    IF to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE TABLE %I (LIKE tasks INCLUDING DEFAULTS INCLUDING CONSTRAINTS) '
        'WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000)', part);
    EXECUTE format('ALTER TABLE tasks ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', part, low, low + 64);
END $$;

-- Autovacuum analyses partitions, never the partitioned table itself, and joins on it are planned with the table's own
-- statistics. Without any, the planner takes 200 distinct values for granted and reads whole partitions where a hand-out needs
-- 32 rows. What it must know is that the key is a key, at any size: said once here, with one row to analyse.
ALTER TABLE tasks ALTER COLUMN job_seq SET (n_distinct_inherited = -0.001);
ALTER TABLE tasks ALTER COLUMN no SET (n_distinct_inherited = -1);
SELECT ensure_task_partition(0);
INSERT INTO tasks (job_seq, no, stage, state, edit_no, ordinal, key)
    VALUES (0, 0, 'invert', 'ready', -1, 0, sha256('statistics'::bytea));
ANALYZE tasks (job_seq, no);
DELETE FROM tasks WHERE job_seq = 0;

CREATE TABLE stage_artifacts (
    key          digest PRIMARY KEY,
    stage        task_stage NOT NULL,
    state        artifact_state NOT NULL,
    producer_job bigint,
    producer_no  integer,
    artifact     digest,
    gpu_ms       double precision NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    done_at      timestamptz,
    CHECK ((state = 'done') = (artifact IS NOT NULL)),
    CHECK (state <> 'pending' OR (producer_job IS NOT NULL AND producer_no IS NOT NULL))
);
COMMENT ON TABLE stage_artifacts IS 'results that tasks share. The insert of a key is the single flight: whoever inserts it, produces it';
COMMENT ON COLUMN stage_artifacts.state IS
    'pending: its producer is unfinished; done: the artifact is in the bucket; orphaned: its producer died or was cancelled';
CREATE INDEX stage_artifacts_orphaned ON stage_artifacts (key) WHERE state = 'orphaned';
CREATE INDEX stage_artifacts_pending ON stage_artifacts (producer_job, producer_no) WHERE state = 'pending';

CREATE TABLE batches (
    id         uuid PRIMARY KEY,
    job_seq    bigint NOT NULL,
    stage      task_stage NOT NULL,
    edit_no    smallint NOT NULL,
    class      text NOT NULL,
    size       integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN batches.class IS 'worker class it was sent to';
CREATE INDEX batches_age ON batches (created_at);

CREATE TABLE attempts (
    job_seq    bigint NOT NULL,
    no         integer NOT NULL,
    epoch      bigint NOT NULL,
    boot       uuid,
    started_at timestamptz,
    ended_at   timestamptz NOT NULL DEFAULT now(),
    outcome    text NOT NULL CHECK (outcome IN ('failed', 'lost', 'yielded')),
    reason     text,
    detail     text,
    PRIMARY KEY (job_seq, no, epoch)
);
COMMENT ON TABLE attempts IS 'hand-outs that did not end in success; short retention';
CREATE INDEX attempts_age ON attempts (ended_at);

-- ---------------------------------------------------------------- results

CREATE TABLE results (
    job_seq        bigint NOT NULL,
    no             integer NOT NULL,
    edit_no        smallint NOT NULL,
    ordinal        bigint NOT NULL,
    strength       double precision NOT NULL,
    seed           bigint NOT NULL,
    key            digest NOT NULL,
    image          digest NOT NULL,
    reconstruction digest NOT NULL,
    record         digest NOT NULL,
    metrics        jsonb NOT NULL,
    verdict        text CHECK (verdict IN ('accept', 'reject')),
    gpu_ms         double precision NOT NULL,
    epoch          bigint NOT NULL,
    boot           uuid NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_seq, no)
);
CREATE INDEX results_of_edit ON results (job_seq, edit_no, no);

CREATE TABLE records (
    digest     digest PRIMARY KEY,
    job_seq    bigint NOT NULL,
    no         integer NOT NULL,
    record     jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE records IS 'provenance records; digest is over the canonical JSON (RFC 8785)';
CREATE INDEX records_of_task ON records (job_seq, no);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER results_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON results
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER records_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON records
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- ---------------------------------------------------------------- counts

CREATE TABLE count_deltas (
    job_seq   bigint NOT NULL,
    stage     task_stage NOT NULL,
    state     task_state NOT NULL,
    reason    text NOT NULL DEFAULT '',
    n         bigint NOT NULL,
    gpu_ms    double precision NOT NULL DEFAULT 0,
    charge_ms double precision NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE count_deltas IS 'appended by the statement that changes tasks, folded into job_rollups by the leader: no hot row';
COMMENT ON COLUMN count_deltas.reason IS 'why, for dead tasks; empty otherwise';
COMMENT ON COLUMN count_deltas.charge_ms IS 'GPU milliseconds to charge to the job and its project';
CREATE INDEX count_deltas_job ON count_deltas (job_seq);

CREATE TABLE job_rollups (
    job_seq bigint NOT NULL,
    stage   task_stage NOT NULL,
    state   task_state NOT NULL,
    reason  text NOT NULL,
    n       bigint NOT NULL,
    gpu_ms  double precision NOT NULL,
    PRIMARY KEY (job_seq, stage, state, reason)
) WITH (fillfactor = 50);

CREATE VIEW job_counts AS
    SELECT job_seq, stage, state, reason, sum(n)::bigint AS n, sum(gpu_ms) AS gpu_ms
    FROM (SELECT job_seq, stage, state, reason, n, gpu_ms FROM job_rollups
          UNION ALL
          SELECT job_seq, stage, state, reason, n, gpu_ms FROM count_deltas) AS both_parts
    GROUP BY job_seq, stage, state, reason;
COMMENT ON VIEW job_counts IS 'exact at every snapshot: what is folded plus what is not yet';

-- ---------------------------------------------------------------- workers, messages, chores

CREATE TABLE workers (
    boot       uuid PRIMARY KEY,
    name       text NOT NULL,
    class      text NOT NULL,
    device     text NOT NULL,
    version    text NOT NULL,
    state      worker_state NOT NULL DEFAULT 'live',
    running    jsonb NOT NULL DEFAULT '[]',
    images     bigint NOT NULL DEFAULT 0,
    busy_ms    bigint NOT NULL DEFAULT 0,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
COMMENT ON TABLE workers IS 'one row per process start, so that a restarted worker never looks like its predecessor';
COMMENT ON COLUMN workers.running IS 'what it said it holds: [{"task":"412-17","epoch":3,"done":0.5}]';

CREATE TABLE outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        outbox_kind NOT NULL,
    batch       uuid,
    routing_key text NOT NULL,
    payload     jsonb NOT NULL,
    message_id  uuid NOT NULL,
    traceparent text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CHECK ((kind = 'work') = (batch IS NOT NULL))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE leader (
    name   text PRIMARY KEY,
    epoch  bigint NOT NULL,
    holder text NOT NULL,
    until  timestamptz NOT NULL
);
COMMENT ON COLUMN leader.epoch IS 'one more with every change of holder; a leader''s writes carry it, so a paused ex-leader changes nothing';

CREATE TABLE audit_log (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now(),
    actor   text NOT NULL,
    action  text NOT NULL,
    subject text NOT NULL,
    detail  jsonb NOT NULL DEFAULT '{}'
);
