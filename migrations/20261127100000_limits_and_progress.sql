-- Limits of jobs and projects, costs learnt from results, rates for honest progress, and why a task was cancelled.
-- Expands only: a coordinator of the version before goes on working, and what it does not write is taken as unknown.

-- ---------------------------------------------------------------- limits

ALTER TABLE projects
    ADD COLUMN quota_ms_per_day double precision CHECK (quota_ms_per_day > 0),
    ADD COLUMN max_batches      integer CHECK (max_batches > 0),
    ADD COLUMN tasks_per_minute double precision CHECK (tasks_per_minute > 0);
COMMENT ON COLUMN projects.quota_ms_per_day IS 'GPU milliseconds that may be charged within 24 hours; null: no quota';
COMMENT ON COLUMN projects.max_batches IS 'batches of all its jobs with workers at once; null: no limit';
COMMENT ON COLUMN projects.tasks_per_minute IS 'tasks of all its jobs handed out per minute; null: no limit';

CREATE TABLE project_usage (
    project   uuid NOT NULL REFERENCES projects,
    hour      timestamptz NOT NULL,
    charge_ms double precision NOT NULL,
    PRIMARY KEY (project, hour)
) WITH (fillfactor = 50);
COMMENT ON TABLE project_usage IS 'GPU milliseconds charged to a project, by the hour in which they were folded: what quotas look at';
COMMENT ON COLUMN project_usage.hour IS 'the hour''s beginning';
COMMENT ON COLUMN project_usage.charge_ms IS 'sum of the charges and of their later corrections, which may be negative';

ALTER TABLE jobs
    ADD COLUMN max_batches      integer CHECK (max_batches > 0),
    ADD COLUMN budget_ms        double precision CHECK (budget_ms > 0),
    ADD COLUMN deadline         timestamptz,
    ADD COLUMN tasks_per_minute double precision CHECK (tasks_per_minute > 0),
    ADD COLUMN expired_at       timestamptz,
    ADD COLUMN saved_ms         double precision NOT NULL DEFAULT 0,
    ADD COLUMN saved_unknown    bigint NOT NULL DEFAULT 0,
    ADD COLUMN invert_cost      text,
    ADD COLUMN invert_units     double precision CHECK (invert_units > 0),
    ADD CHECK ((invert_cost IS NULL) = (invert_units IS NULL));
COMMENT ON COLUMN jobs.max_batches IS 'batches with workers at once; null: no limit';
COMMENT ON COLUMN jobs.budget_ms IS 'GPU milliseconds after which nothing more is handed out; null: no limit';
COMMENT ON COLUMN jobs.deadline IS 'when what was not begun is cancelled; null: never';
COMMENT ON COLUMN jobs.tasks_per_minute IS 'tasks handed out per minute; null: no limit';
COMMENT ON COLUMN jobs.expired_at IS 'when the sweep first found the deadline passed';
COMMENT ON COLUMN jobs.saved_ms IS 'what the producers it did not need had cost, as far as that was known when its tasks were written';
COMMENT ON COLUMN jobs.saved_unknown IS 'producers it did not need whose cost was not known then, because another job still computed them';
COMMENT ON COLUMN jobs.invert_cost IS 'domain::cost: under which name the cost of its inversions is learnt';
COMMENT ON COLUMN jobs.invert_units IS 'domain::cost: units of that in one inversion';
CREATE INDEX jobs_deadline ON jobs (deadline) WHERE deadline IS NOT NULL AND state IN ('accepting', 'active', 'paused');

CREATE TABLE rate_buckets (
    owner       uuid PRIMARY KEY,
    per_minute  double precision NOT NULL CHECK (per_minute > 0),
    tokens      double precision NOT NULL,
    refilled_at timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE rate_buckets IS 'token buckets of jobs and projects with a rate limit: ten seconds'' worth of tasks, one at least';
COMMENT ON COLUMN rate_buckets.owner IS 'the job''s or the project''s id';
COMMENT ON COLUMN rate_buckets.per_minute IS 'tokens that flow in per minute, as of the last hand-out';
COMMENT ON COLUMN rate_buckets.tokens IS 'tokens left after the last hand-out; one is one task';
COMMENT ON COLUMN rate_buckets.refilled_at IS 'when that was';

-- ---------------------------------------------------------------- fair turns among a project's jobs

CREATE TABLE job_turns (
    job_seq bigint PRIMARY KEY REFERENCES jobs,
    base_ms double precision NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE job_turns IS 'jobs that had work to hand out when the dispatcher last looked';
COMMENT ON COLUMN job_turns.base_ms IS
    'added to what the job was served: lifts it to the level of its project''s other jobs as of when it came, so that neither a new '
    'job must wait for an old one nor an old one until a new one has caught up';

-- when was a job last handed out: waiting since then, not since it was submitted, grows into priority
CREATE INDEX batches_of_job ON batches (job_seq, created_at);

-- ---------------------------------------------------------------- learnt costs

ALTER TABLE job_edits
    ADD COLUMN edit_cost   text,
    ADD COLUMN edit_units  double precision CHECK (edit_units > 0),
    ADD COLUMN train_cost  text,
    ADD COLUMN train_units double precision CHECK (train_units > 0);
COMMENT ON COLUMN job_edits.edit_cost IS 'domain::cost: under which name the cost of its edits is learnt';
COMMENT ON COLUMN job_edits.edit_units IS 'domain::cost: units of that in one edit';
COMMENT ON COLUMN job_edits.train_cost IS 'domain::cost: under which name the cost of its training is learnt; null: nothing is trained';
COMMENT ON COLUMN job_edits.train_units IS 'domain::cost: units of that in the training';

CREATE TABLE cost_samples (
    job_seq bigint NOT NULL,
    stage   task_stage NOT NULL,
    edit_no smallint NOT NULL,
    class   text NOT NULL,
    n       bigint NOT NULL,
    gpu_ms  double precision NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE cost_samples IS 'what outcomes cost: appended with the outcome, folded into stage_costs by the leader';
COMMENT ON COLUMN cost_samples.n IS 'tasks that ended; 0 for a slice of one that goes on';

CREATE TABLE stage_costs (
    class      text NOT NULL,
    pack       digest NOT NULL,
    stage      task_stage NOT NULL,
    cost       text NOT NULL,
    units      double precision NOT NULL,
    ms         double precision NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (class, pack, stage, cost)
) WITH (fillfactor = 50);
COMMENT ON TABLE stage_costs IS 'learnt costs: ms / units is the estimate of one unit, a decaying mean over about the last fifty tasks';
COMMENT ON COLUMN stage_costs.cost IS 'domain::cost: what is alike in cost per unit';
COMMENT ON COLUMN stage_costs.units IS 'decayed sum of the units done';
COMMENT ON COLUMN stage_costs.ms IS 'decayed sum of the GPU milliseconds they took';

-- ---------------------------------------------------------------- rates

CREATE TABLE job_rates (
    job_seq bigint NOT NULL,
    stage   task_stage NOT NULL,
    done    bigint NOT NULL,
    at      timestamptz NOT NULL,
    weight  double precision NOT NULL DEFAULT 0,
    sum     double precision NOT NULL DEFAULT 0,
    squares double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (job_seq, stage)
) WITH (fillfactor = 50);
COMMENT ON TABLE job_rates IS
    'smoothed rates, kept by the leader: sum / weight is the exponential mean of tasks done per second, squares / weight of its square';
COMMENT ON COLUMN job_rates.done IS 'tasks that had succeeded at the last look';
COMMENT ON COLUMN job_rates.at IS 'when that was';
COMMENT ON COLUMN job_rates.weight IS 'how much of the mean is filled, 0 to 1: a young mean is not taken for a slow rate';

-- ---------------------------------------------------------------- tasks and workers

ALTER TABLE tasks ADD COLUMN cancelled_for text;
ALTER TABLE tasks ADD CONSTRAINT tasks_cancelled_for CHECK (cancelled_for IS NULL OR state = 'cancelled');
COMMENT ON COLUMN tasks.cancelled_for IS 'why it was cancelled by itself: request or deadline; null: with its job, or not at all';

ALTER TABLE workers ADD COLUMN waits_for text;
COMMENT ON COLUMN workers.waits_for IS 'what keeps it from taking more work, as it last said: storage; null: nothing';

-- ---------------------------------------------------------------- the same figures by SQL

CREATE VIEW job_progress AS
    SELECT j.seq AS job_seq, j.id AS job_id, p.name AS project, j.spec ->> 'name' AS name, j.state, c.stage,
           sum(c.n)::bigint AS total,
           COALESCE(sum(c.n) FILTER (WHERE c.state = 'succeeded'), 0)::bigint AS done,
           COALESCE(sum(c.n) FILTER (WHERE c.state IN ('dispatched', 'running')), 0)::bigint AS running,
           COALESCE(sum(c.n) FILTER (WHERE c.state = 'ready'), 0)::bigint AS ready,
           COALESCE(sum(c.n) FILTER (WHERE c.state = 'blocked'), 0)::bigint AS blocked,
           COALESCE(sum(c.n) FILTER (WHERE c.state = 'retry_wait'), 0)::bigint AS retrying,
           COALESCE(sum(c.n) FILTER (WHERE c.state = 'dead'), 0)::bigint AS dead,
           COALESCE(sum(c.n) FILTER (WHERE c.state = 'cancelled'), 0)::bigint AS cancelled,
           sum(c.gpu_ms) / 1000 AS gpu_seconds,
           j.saved_ms / 1000 AS job_gpu_seconds_saved,
           60 * max(r.sum) / NULLIF(max(r.weight), 0) AS tasks_per_minute
    FROM jobs j JOIN projects p ON p.id = j.project
    JOIN job_counts c ON c.job_seq = j.seq
    LEFT JOIN job_rates r ON r.job_seq = j.seq AND r.stage = c.stage
    GROUP BY j.seq, p.name, c.stage;
COMMENT ON VIEW job_progress IS 'one row per job and stage, from rollups alone: counts, GPU time and the smoothed rate';
