-- Figures that the dashboard, Grafana and SQL read: what happened by the minute, how long stages take, what outputs score. All are kept
-- up by the statements that fold deltas or add results, so that nobody counts tasks or reads results over. Expands only: while a
-- coordinator of the version before folds, its minutes are missing from the figures, and nothing else.

CREATE TABLE job_minutes (
    minute    timestamptz NOT NULL,
    job_seq   bigint NOT NULL,
    stage     task_stage NOT NULL,
    succeeded bigint NOT NULL DEFAULT 0,
    dead      bigint NOT NULL DEFAULT 0,
    retried   bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    gpu_ms    double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (minute, job_seq, stage)
) WITH (fillfactor = 50);
COMMENT ON TABLE job_minutes IS 'how many tasks came to which state in each minute, by the minute in which they were folded; short retention';
COMMENT ON COLUMN job_minutes.retried IS 'attempts that failed and are to be made again';
COMMENT ON COLUMN job_minutes.gpu_ms IS 'GPU milliseconds of hand-outs that ended in it';
CREATE INDEX job_minutes_of_job ON job_minutes (job_seq, minute);

CREATE TABLE stage_hours (
    hour   timestamptz NOT NULL,
    class  text NOT NULL,
    stage  task_stage NOT NULL,
    bucket smallint NOT NULL,
    n      bigint NOT NULL,
    gpu_ms double precision NOT NULL,
    PRIMARY KEY (hour, class, stage, bucket)
) WITH (fillfactor = 50);
COMMENT ON TABLE stage_hours IS 'how long tasks took, as a histogram: quantiles of any number of tasks, to an eighth of their value';
COMMENT ON COLUMN stage_hours.bucket IS 'floor(20 log10(milliseconds)): twenty to a decade';
COMMENT ON COLUMN stage_hours.n IS 'tasks; those of one batch count as equally long, and of a task in slices the last slice does';

CREATE TABLE metric_deltas (
    job_seq  bigint NOT NULL,
    edit_no  smallint NOT NULL,
    strength double precision NOT NULL,
    metric   text NOT NULL,
    n        bigint NOT NULL,
    sum      double precision NOT NULL,
    squares  double precision NOT NULL,
    least    double precision NOT NULL,
    most     double precision NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE metric_deltas IS 'appended by the statement that adds results, folded into metric_rollups by the leader: no hot row';
CREATE INDEX metric_deltas_job ON metric_deltas (job_seq);

CREATE TABLE metric_rollups (
    job_seq  bigint NOT NULL,
    edit_no  smallint NOT NULL,
    strength double precision NOT NULL,
    metric   text NOT NULL,
    n        bigint NOT NULL,
    sum      double precision NOT NULL,
    squares  double precision NOT NULL,
    least    double precision NOT NULL,
    most     double precision NOT NULL,
    PRIMARY KEY (job_seq, edit_no, strength, metric)
) WITH (fillfactor = 50);
COMMENT ON TABLE metric_rollups IS 'scores of outputs by edit, strength and name: how many, their sum, the sum of their squares, the extremes';

CREATE FUNCTION note_metrics() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO metric_deltas (job_seq, edit_no, strength, metric, n, sum, squares, least, most)
    SELECT a.job_seq, a.edit_no, a.strength, m.key, count(*), sum(v.x), sum(v.x * v.x), min(v.x), max(v.x)
    FROM added a CROSS JOIN jsonb_each(a.metrics) AS m CROSS JOIN LATERAL (SELECT m.value::float8 AS x) AS v
    WHERE jsonb_typeof(m.value) = 'number'
    GROUP BY 1, 2, 3, 4;
    RETURN NULL;
END $$;
CREATE TRIGGER results_metrics AFTER INSERT ON results
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION note_metrics();

-- what was there before; creating the trigger has locked out writers until this is committed
INSERT INTO metric_rollups (job_seq, edit_no, strength, metric, n, sum, squares, least, most)
SELECT a.job_seq, a.edit_no, a.strength, m.key, count(*), sum(v.x), sum(v.x * v.x), min(v.x), max(v.x)
FROM results a CROSS JOIN jsonb_each(a.metrics) AS m CROSS JOIN LATERAL (SELECT m.value::float8 AS x) AS v
WHERE jsonb_typeof(m.value) = 'number'
GROUP BY 1, 2, 3, 4;
