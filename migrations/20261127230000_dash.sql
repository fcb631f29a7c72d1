-- The schema that people query: stable names, each column told, and a role that reads it and nothing else. The tables behind it may
-- change; columns here are added and never taken away. Counts come from rollups: no view counts tasks.
--   CREATE ROLE ana LOGIN PASSWORD '...' IN ROLE cfx_reader;

CREATE SCHEMA dash;
COMMENT ON SCHEMA dash IS 'views for people and Grafana: stable, read by the role cfx_reader; the cookbook is deploy/sql';

-- Ids as the interface and `cfx` write them.
CREATE FUNCTION dash.job_id(id uuid) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT 'job_' || replace(id::text, '-', '') $$;
COMMENT ON FUNCTION dash.job_id IS 'a job''s id as cfx and the interface write it';
CREATE INDEX jobs_by_id_text ON jobs (dash.job_id(id));

-- ---------------------------------------------------------------- jobs

CREATE VIEW dash.job_progress AS
    SELECT dash.job_id(j.id) AS job, p.name AS project, j.spec ->> 'name' AS name, j.state::text AS state, j.submitted_by,
           j.created_at, j.finished_at, c.stage::text AS stage,
           c.total, c.succeeded, c.running, c.ready, c.blocked, c.paused, c.retrying, c.dead, c.cancelled,
           c.gpu_seconds, j.saved_ms / 1000 AS job_gpu_seconds_saved,
           60 * r.sum / NULLIF(r.weight, 0) AS tasks_per_minute
    FROM jobs j JOIN projects p ON p.id = j.project
    CROSS JOIN LATERAL (
        SELECT stage, sum(n)::bigint AS total,
               COALESCE(sum(n) FILTER (WHERE state = 'succeeded'), 0)::bigint AS succeeded,
               COALESCE(sum(n) FILTER (WHERE state IN ('dispatched', 'running')), 0)::bigint AS running,
               COALESCE(sum(n) FILTER (WHERE state = 'ready'), 0)::bigint AS ready,
               COALESCE(sum(n) FILTER (WHERE state = 'blocked'), 0)::bigint AS blocked,
               COALESCE(sum(n) FILTER (WHERE state::text = 'paused'), 0)::bigint AS paused,
               COALESCE(sum(n) FILTER (WHERE state = 'retry_wait'), 0)::bigint AS retrying,
               COALESCE(sum(n) FILTER (WHERE state = 'dead'), 0)::bigint AS dead,
               COALESCE(sum(n) FILTER (WHERE state = 'cancelled'), 0)::bigint AS cancelled,
               sum(gpu_ms) / 1000 AS gpu_seconds
        FROM (SELECT stage, state, n, gpu_ms FROM job_rollups WHERE job_seq = j.seq
              UNION ALL
              SELECT stage, state, n, gpu_ms FROM count_deltas WHERE job_seq = j.seq) AS both_parts
        GROUP BY stage) AS c
    LEFT JOIN job_rates r ON r.job_seq = j.seq AND r.stage = c.stage;
COMMENT ON VIEW dash.job_progress IS 'a row for each job and stage: how many tasks stand where, now';
COMMENT ON COLUMN dash.job_progress.job IS 'the job''s id, as cfx writes it';
COMMENT ON COLUMN dash.job_progress.project IS 'the project''s name';
COMMENT ON COLUMN dash.job_progress.name IS 'the job''s name';
COMMENT ON COLUMN dash.job_progress.state IS 'of the job: accepting, active, paused, succeeded, partial, failed, cancelled';
COMMENT ON COLUMN dash.job_progress.submitted_by IS 'who submitted it; null for jobs of early versions';
COMMENT ON COLUMN dash.job_progress.created_at IS 'when it was submitted';
COMMENT ON COLUMN dash.job_progress.finished_at IS 'when it ended; null while it goes on';
COMMENT ON COLUMN dash.job_progress.stage IS 'invert, train or edit';
COMMENT ON COLUMN dash.job_progress.total IS 'tasks of the stage';
COMMENT ON COLUMN dash.job_progress.succeeded IS 'tasks that succeeded';
COMMENT ON COLUMN dash.job_progress.running IS 'tasks that are with workers';
COMMENT ON COLUMN dash.job_progress.ready IS 'tasks that can be handed out';
COMMENT ON COLUMN dash.job_progress.blocked IS 'tasks that wait for a latent or a mapper';
COMMENT ON COLUMN dash.job_progress.paused IS 'tasks that a user paused';
COMMENT ON COLUMN dash.job_progress.retrying IS 'tasks that wait for another attempt';
COMMENT ON COLUMN dash.job_progress.dead IS 'tasks that failed for good';
COMMENT ON COLUMN dash.job_progress.cancelled IS 'tasks that were cancelled';
COMMENT ON COLUMN dash.job_progress.gpu_seconds IS 'seconds of tensor work spent on the stage, in vain or not';
COMMENT ON COLUMN dash.job_progress.job_gpu_seconds_saved IS 'of the whole job: what results of other jobs saved it';
COMMENT ON COLUMN dash.job_progress.tasks_per_minute IS 'rate of success, smoothed over about a minute; null when nothing is known';

CREATE VIEW dash.job_cost AS
    SELECT dash.job_id(j.id) AS job, p.name AS project, j.spec ->> 'name' AS name, j.state::text AS state, j.submitted_by, j.created_at,
           j.finished_at, c.gpu_seconds, j.saved_ms / 1000 AS gpu_seconds_saved, j.budget_ms / 1000 AS budget_gpu_seconds,
           v.outputs, v.accepted, c.gpu_seconds / NULLIF(v.outputs, 0) AS gpu_seconds_per_output,
           c.gpu_seconds / NULLIF(v.accepted, 0) AS gpu_seconds_per_accepted
    FROM jobs j JOIN projects p ON p.id = j.project
    CROSS JOIN LATERAL (
        SELECT COALESCE(sum(gpu_ms), 0) / 1000 AS gpu_seconds
        FROM (SELECT gpu_ms FROM job_rollups WHERE job_seq = j.seq
              UNION ALL SELECT gpu_ms FROM count_deltas WHERE job_seq = j.seq) AS both_parts) AS c
    CROSS JOIN LATERAL (
        SELECT COALESCE(sum(n), 0)::bigint AS outputs, COALESCE(sum(n) FILTER (WHERE verdict = 'accepted'), 0)::bigint AS accepted
        FROM (SELECT verdict, n FROM edit_rollups WHERE job_seq = j.seq AND reason = ''
              UNION ALL SELECT verdict, n FROM verdict_deltas WHERE job_seq = j.seq AND reason = '') AS both_parts) AS v;
COMMENT ON VIEW dash.job_cost IS 'a row for each job: what it took, and what an output of it costs';
COMMENT ON COLUMN dash.job_cost.job IS 'the job''s id, as cfx writes it';
COMMENT ON COLUMN dash.job_cost.project IS 'the project''s name';
COMMENT ON COLUMN dash.job_cost.name IS 'the job''s name';
COMMENT ON COLUMN dash.job_cost.state IS 'of the job: accepting, active, paused, succeeded, partial, failed, cancelled';
COMMENT ON COLUMN dash.job_cost.submitted_by IS 'who submitted it; null for jobs of early versions';
COMMENT ON COLUMN dash.job_cost.created_at IS 'when it was submitted';
COMMENT ON COLUMN dash.job_cost.finished_at IS 'when it ended; null while it goes on';
COMMENT ON COLUMN dash.job_cost.gpu_seconds IS 'seconds of tensor work of all stages, in vain or not';
COMMENT ON COLUMN dash.job_cost.gpu_seconds_saved IS 'what results of other jobs saved it';
COMMENT ON COLUMN dash.job_cost.budget_gpu_seconds IS 'after which nothing more is handed out; null: no limit';
COMMENT ON COLUMN dash.job_cost.outputs IS 'edited images';
COMMENT ON COLUMN dash.job_cost.accepted IS 'of these, those that meet every rule';
COMMENT ON COLUMN dash.job_cost.gpu_seconds_per_output IS 'inversions, trainings and failures included; null without outputs';
COMMENT ON COLUMN dash.job_cost.gpu_seconds_per_accepted IS 'the same over the accepted ones; null without any';

CREATE VIEW dash.failure_reasons AS
    SELECT dash.job_id(j.id) AS job, p.name AS project, j.spec ->> 'name' AS name, c.stage::text AS stage, c.reason, c.dead
    FROM jobs j JOIN projects p ON p.id = j.project
    CROSS JOIN LATERAL (
        SELECT stage, reason, sum(n)::bigint AS dead
        FROM (SELECT stage, reason, n FROM job_rollups WHERE job_seq = j.seq AND state = 'dead'
              UNION ALL
              SELECT stage, reason, n FROM count_deltas WHERE job_seq = j.seq AND state = 'dead') AS both_parts
        GROUP BY stage, reason HAVING sum(n) <> 0) AS c;
COMMENT ON VIEW dash.failure_reasons IS 'a row for each job, stage and reason: tasks that failed for good';
COMMENT ON COLUMN dash.failure_reasons.job IS 'the job''s id, as cfx writes it';
COMMENT ON COLUMN dash.failure_reasons.project IS 'the project''s name';
COMMENT ON COLUMN dash.failure_reasons.name IS 'the job''s name';
COMMENT ON COLUMN dash.failure_reasons.stage IS 'invert, train or edit';
COMMENT ON COLUMN dash.failure_reasons.reason IS 'reason code, for example truncated or out_of_memory; cfx job retry --reason takes it';
COMMENT ON COLUMN dash.failure_reasons.dead IS 'tasks';

CREATE VIEW dash.retry_heat AS
    SELECT date_trunc('hour', a.ended_at) AS hour, p.name AS project, dash.job_id(j.id) AS job, w.name AS worker, w.class,
           a.outcome, a.reason, count(*) AS attempts
    FROM attempts a JOIN jobs j ON j.seq = a.job_seq JOIN projects p ON p.id = j.project LEFT JOIN workers w ON w.boot = a.boot
    WHERE a.ended_at > now() - interval '1 day'
    GROUP BY 1, 2, 3, 4, 5, 6, 7;
COMMENT ON VIEW dash.retry_heat IS 'attempts of the last 24 hours that did not end in success, by the hour, worker and reason';
COMMENT ON COLUMN dash.retry_heat.hour IS 'the hour''s beginning';
COMMENT ON COLUMN dash.retry_heat.project IS 'the project''s name';
COMMENT ON COLUMN dash.retry_heat.job IS 'the job''s id, as cfx writes it';
COMMENT ON COLUMN dash.retry_heat.worker IS 'the worker''s name; null if nobody had begun, or it is forgotten';
COMMENT ON COLUMN dash.retry_heat.class IS 'its class';
COMMENT ON COLUMN dash.retry_heat.outcome IS 'failed, lost (the worker went away) or yielded (a slice ended, or the worker drained)';
COMMENT ON COLUMN dash.retry_heat.reason IS 'reason code; null for what did not fail';
COMMENT ON COLUMN dash.retry_heat.attempts IS 'how many';

-- ---------------------------------------------------------------- outputs

CREATE VIEW dash.edit_yield AS
    SELECT dash.job_id(j.id) AS job, p.name AS project, e.slug AS edit, e.spec ->> 'text' AS text, e.method,
           v.outputs, v.accepted, v.rejected, v.unjudged, v.accepted::float8 / NULLIF(v.accepted + v.rejected, 0) AS accepted_share
    FROM jobs j JOIN projects p ON p.id = j.project JOIN job_edits e ON e.job_seq = j.seq
    CROSS JOIN LATERAL (
        SELECT COALESCE(sum(n), 0)::bigint AS outputs,
               COALESCE(sum(n) FILTER (WHERE verdict = 'accepted'), 0)::bigint AS accepted,
               COALESCE(sum(n) FILTER (WHERE verdict = 'rejected'), 0)::bigint AS rejected,
               COALESCE(sum(n) FILTER (WHERE verdict = 'unjudged'), 0)::bigint AS unjudged
        FROM (SELECT verdict, n FROM edit_rollups WHERE job_seq = e.job_seq AND edit_no = e.edit_no AND reason = ''
              UNION ALL
              SELECT verdict, n FROM verdict_deltas WHERE job_seq = e.job_seq AND edit_no = e.edit_no AND reason = '') AS both_parts
    ) AS v;
COMMENT ON VIEW dash.edit_yield IS 'a row for each edit of a job: how many of its outputs meet every rule';
COMMENT ON COLUMN dash.edit_yield.job IS 'the job''s id, as cfx writes it';
COMMENT ON COLUMN dash.edit_yield.project IS 'the project''s name';
COMMENT ON COLUMN dash.edit_yield.edit IS 'the edit''s short name';
COMMENT ON COLUMN dash.edit_yield.text IS 'what was asked for';
COMMENT ON COLUMN dash.edit_yield.method IS 'cf-mapper, clip-nce, ...';
COMMENT ON COLUMN dash.edit_yield.outputs IS 'edited images';
COMMENT ON COLUMN dash.edit_yield.accepted IS 'those that meet every rule';
COMMENT ON COLUMN dash.edit_yield.rejected IS 'those that miss one';
COMMENT ON COLUMN dash.edit_yield.unjudged IS 'those to which no rule applies';
COMMENT ON COLUMN dash.edit_yield.accepted_share IS 'accepted of those judged, 0 to 1; null when none was';

CREATE VIEW dash.reject_reasons AS
    SELECT dash.job_id(j.id) AS job, p.name AS project, e.slug AS edit, v.reason, v.outputs
    FROM jobs j JOIN projects p ON p.id = j.project JOIN job_edits e ON e.job_seq = j.seq
    CROSS JOIN LATERAL (
        SELECT reason, sum(n)::bigint AS outputs
        FROM (SELECT reason, n FROM edit_rollups WHERE job_seq = e.job_seq AND edit_no = e.edit_no AND reason <> ''
              UNION ALL
              SELECT reason, n FROM verdict_deltas WHERE job_seq = e.job_seq AND edit_no = e.edit_no AND reason <> '') AS both_parts
        GROUP BY reason) AS v;
COMMENT ON VIEW dash.reject_reasons IS 'a row for each edit and rule that was missed; an output that misses two counts under both';
COMMENT ON COLUMN dash.reject_reasons.job IS 'the job''s id, as cfx writes it';
COMMENT ON COLUMN dash.reject_reasons.project IS 'the project''s name';
COMMENT ON COLUMN dash.reject_reasons.edit IS 'the edit''s short name';
COMMENT ON COLUMN dash.reject_reasons.reason IS 'the rule, for example target-missed';
COMMENT ON COLUMN dash.reject_reasons.outputs IS 'how many missed it';

CREATE VIEW dash.metric_summary AS
    SELECT dash.job_id(j.id) AS job, p.name AS project, e.slug AS edit, e.spec ->> 'text' AS text, m.strength, m.metric, m.n,
           m.sum / m.n AS mean, sqrt(GREATEST(0, m.squares / m.n - (m.sum / m.n) ^ 2)) AS stddev, m.least, m.most
    FROM jobs j JOIN projects p ON p.id = j.project JOIN job_edits e ON e.job_seq = j.seq
    CROSS JOIN LATERAL (
        SELECT strength, metric, sum(n)::bigint AS n, sum(sum) AS sum, sum(squares) AS squares, min(least) AS least, max(most) AS most
        FROM (SELECT strength, metric, n, sum, squares, least, most FROM metric_rollups
              WHERE job_seq = e.job_seq AND edit_no = e.edit_no
              UNION ALL
              SELECT strength, metric, n, sum, squares, least, most FROM metric_deltas
              WHERE job_seq = e.job_seq AND edit_no = e.edit_no) AS both_parts
        GROUP BY strength, metric) AS m;
COMMENT ON VIEW dash.metric_summary IS 'a row for each edit, strength and score of a job: what its outputs score';
COMMENT ON COLUMN dash.metric_summary.job IS 'the job''s id, as cfx writes it';
COMMENT ON COLUMN dash.metric_summary.project IS 'the project''s name';
COMMENT ON COLUMN dash.metric_summary.edit IS 'the edit''s short name';
COMMENT ON COLUMN dash.metric_summary.text IS 'what was asked for';
COMMENT ON COLUMN dash.metric_summary.strength IS 'factor on the edit''s change';
COMMENT ON COLUMN dash.metric_summary.metric IS 'the score''s name, as in records';
COMMENT ON COLUMN dash.metric_summary.n IS 'outputs that have it';
COMMENT ON COLUMN dash.metric_summary.mean IS 'arithmetic mean';
COMMENT ON COLUMN dash.metric_summary.stddev IS 'standard deviation (of the outputs, not of their mean)';
COMMENT ON COLUMN dash.metric_summary.least IS 'the smallest';
COMMENT ON COLUMN dash.metric_summary.most IS 'the largest';

CREATE VIEW dash.pair_export AS
    SELECT dash.job_id(j.id) AS job, p.name AS project, r.job_seq || '-' || r.no AS task, s.ordinal AS source_no, s.uri AS source_uri,
           s.labels, e.slug AS edit, e.spec ->> 'text' AS text, e.spec ->> 'neutral' AS neutral, e.method, r.strength, r.seed,
           r.verdict, r.rejected_for, r.metrics, encode(s.sha256, 'hex') AS source_sha256, encode(r.image, 'hex') AS image_sha256,
           encode(r.reconstruction, 'hex') AS reconstruction_sha256, encode(r.record, 'hex') AS record_sha256,
           r.gpu_ms / 1000 AS gpu_seconds, r.created_at
    FROM jobs j JOIN projects p ON p.id = j.project
    JOIN results r ON r.job_seq = j.seq
    JOIN job_edits e ON e.job_seq = r.job_seq AND e.edit_no = r.edit_no
    JOIN sources s ON s.dataset = j.dataset AND s.ordinal = r.ordinal;
COMMENT ON VIEW dash.pair_export IS 'a row for each output: its source, what was asked for, how it was judged. Ask for one job at a time';
COMMENT ON COLUMN dash.pair_export.job IS 'the job''s id, as cfx writes it';
COMMENT ON COLUMN dash.pair_export.project IS 'the project''s name';
COMMENT ON COLUMN dash.pair_export.task IS 'the task''s id';
COMMENT ON COLUMN dash.pair_export.source_no IS 'the source''s place in its dataset, from 0';
COMMENT ON COLUMN dash.pair_export.source_uri IS 'where the source was registered from';
COMMENT ON COLUMN dash.pair_export.labels IS 'labels of the source, a JSON object of texts';
COMMENT ON COLUMN dash.pair_export.edit IS 'the edit''s short name';
COMMENT ON COLUMN dash.pair_export.text IS 'what was asked for';
COMMENT ON COLUMN dash.pair_export.neutral IS 'the text it was contrasted with';
COMMENT ON COLUMN dash.pair_export.method IS 'cf-mapper, clip-nce, ...';
COMMENT ON COLUMN dash.pair_export.strength IS 'factor on the edit''s change, as asked for; a search''s finding is a metric';
COMMENT ON COLUMN dash.pair_export.seed IS 'the seed, as a signed number of 64 bits';
COMMENT ON COLUMN dash.pair_export.verdict IS 'accept, reject, or null where no rule applies';
COMMENT ON COLUMN dash.pair_export.rejected_for IS 'the rules that were missed';
COMMENT ON COLUMN dash.pair_export.metrics IS 'scores, a JSON object of numbers';
COMMENT ON COLUMN dash.pair_export.source_sha256 IS 'SHA-256 of the source''s file: its object in the bucket, and at /v1/blobs/';
COMMENT ON COLUMN dash.pair_export.image_sha256 IS 'of the output''s file';
COMMENT ON COLUMN dash.pair_export.reconstruction_sha256 IS 'of the reconstruction''s file';
COMMENT ON COLUMN dash.pair_export.record_sha256 IS 'of the provenance record';
COMMENT ON COLUMN dash.pair_export.gpu_seconds IS 'its share of tensor work, without the inversion';
COMMENT ON COLUMN dash.pair_export.created_at IS 'when it was accepted by a coordinator';

-- ---------------------------------------------------------------- the engine

CREATE VIEW dash.throughput_1m AS
    SELECT m.minute, p.name AS project, dash.job_id(j.id) AS job, m.stage::text AS stage, m.succeeded, m.dead, m.retried, m.cancelled,
           m.gpu_ms / 1000 AS gpu_seconds
    FROM job_minutes m JOIN jobs j ON j.seq = m.job_seq JOIN projects p ON p.id = j.project;
COMMENT ON VIEW dash.throughput_1m IS 'a row for each minute, job and stage in which something happened; kept for days';
COMMENT ON COLUMN dash.throughput_1m.minute IS 'the minute''s beginning, by the time at which it was counted, seconds later';
COMMENT ON COLUMN dash.throughput_1m.project IS 'the project''s name';
COMMENT ON COLUMN dash.throughput_1m.job IS 'the job''s id, as cfx writes it';
COMMENT ON COLUMN dash.throughput_1m.stage IS 'invert, train or edit';
COMMENT ON COLUMN dash.throughput_1m.succeeded IS 'tasks that succeeded in it';
COMMENT ON COLUMN dash.throughput_1m.dead IS 'tasks that failed for good';
COMMENT ON COLUMN dash.throughput_1m.retried IS 'attempts that failed and are to be made again';
COMMENT ON COLUMN dash.throughput_1m.cancelled IS 'tasks that were cancelled';
COMMENT ON COLUMN dash.throughput_1m.gpu_seconds IS 'tensor work of hand-outs that ended in it';

CREATE VIEW dash.queue_depth AS
    SELECT p.name AS project, q.stage::text AS stage, sum(q.ready)::bigint AS ready, sum(q.blocked)::bigint AS blocked,
           sum(q.retrying)::bigint AS retrying, sum(q.paused)::bigint AS paused, sum(q.running)::bigint AS running,
           sum((q.ready + q.blocked + q.retrying + q.running) * q.estimate_ms) / 1000 AS backlog_gpu_seconds
    FROM jobs j JOIN projects p ON p.id = j.project
    CROSS JOIN LATERAL (
        SELECT c.stage, c.ready, c.blocked, c.retrying, c.paused, c.running,
               -- what is learnt for its kinds of work, or else what its own tasks took
               COALESCE(known.ms, c.own_ms) AS estimate_ms
        FROM (SELECT stage,
                     COALESCE(sum(n) FILTER (WHERE state = 'ready'), 0) AS ready,
                     COALESCE(sum(n) FILTER (WHERE state = 'blocked'), 0) AS blocked,
                     COALESCE(sum(n) FILTER (WHERE state = 'retry_wait'), 0) AS retrying,
                     COALESCE(sum(n) FILTER (WHERE state::text = 'paused'), 0) AS paused,
                     COALESCE(sum(n) FILTER (WHERE state IN ('dispatched', 'running')), 0) AS running,
                     sum(gpu_ms) FILTER (WHERE state = 'succeeded') / NULLIF(sum(n) FILTER (WHERE state = 'succeeded'), 0) AS own_ms
              FROM (SELECT stage, state, n, gpu_ms FROM job_rollups WHERE job_seq = j.seq
                    UNION ALL
                    SELECT stage, state, n, gpu_ms FROM count_deltas WHERE job_seq = j.seq) AS both_parts
              GROUP BY stage) AS c
        LEFT JOIN LATERAL (
            SELECT avg(k.units * s.ms / s.units) AS ms
            FROM (SELECT 'invert'::task_stage AS stage, j.invert_cost AS cost, j.invert_units AS units
                  UNION ALL
                  SELECT 'edit', e.edit_cost, e.edit_units FROM job_edits e WHERE e.job_seq = j.seq
                  UNION ALL
                  SELECT 'train', e.train_cost, e.train_units FROM job_edits e WHERE e.job_seq = j.seq) AS k
            JOIN stage_costs s ON s.pack = j.pack_digest AND s.stage = k.stage AND s.cost = k.cost AND s.units > 0
            WHERE k.stage = c.stage) AS known ON true
        WHERE c.ready + c.blocked + c.retrying + c.paused + c.running > 0) AS q
    WHERE j.state IN ('accepting', 'active', 'paused')
    GROUP BY p.name, q.stage;
COMMENT ON VIEW dash.queue_depth IS 'a row for each project and stage with work left: what waits, and how much work that is';
COMMENT ON COLUMN dash.queue_depth.project IS 'the project''s name';
COMMENT ON COLUMN dash.queue_depth.stage IS 'invert, train or edit';
COMMENT ON COLUMN dash.queue_depth.ready IS 'tasks that can be handed out, those of paused jobs included';
COMMENT ON COLUMN dash.queue_depth.blocked IS 'tasks that wait for a latent or a mapper';
COMMENT ON COLUMN dash.queue_depth.retrying IS 'tasks that wait for another attempt';
COMMENT ON COLUMN dash.queue_depth.paused IS 'tasks that a user paused one by one';
COMMENT ON COLUMN dash.queue_depth.running IS 'tasks that are with workers';
COMMENT ON COLUMN dash.queue_depth.backlog_gpu_seconds IS
    'estimated tensor work of all but the paused ones, over the classes that did such work; null where none did yet';

CREATE VIEW dash.worker_status AS
    SELECT w.name AS worker, w.boot, w.class, w.device, w.version, w.state::text AS state, jsonb_array_length(w.running) AS running_tasks,
           w.waits_for, w.images, w.busy_ms / 1000.0 AS busy_seconds,
           LEAST(1, w.busy_ms / NULLIF(1000 * extract(epoch FROM w.last_seen - w.first_seen), 0))::float8 AS busy_share,
           w.images / NULLIF(w.busy_ms / 1000.0, 0)::float8 AS images_per_busy_second, w.first_seen, w.last_seen,
           extract(epoch FROM now() - w.last_seen)::float8 AS seconds_since_seen, w.running
    FROM workers w;
COMMENT ON VIEW dash.worker_status IS 'a row for each worker process of the last days';
COMMENT ON COLUMN dash.worker_status.worker IS 'the worker''s name';
COMMENT ON COLUMN dash.worker_status.boot IS 'this start of it';
COMMENT ON COLUMN dash.worker_status.class IS 'its class: which queues it reads';
COMMENT ON COLUMN dash.worker_status.device IS 'what it computes on';
COMMENT ON COLUMN dash.worker_status.version IS 'of the program';
COMMENT ON COLUMN dash.worker_status.state IS 'live, draining, gone (ended in good order) or lost';
COMMENT ON COLUMN dash.worker_status.running_tasks IS 'tasks that it last said it holds';
COMMENT ON COLUMN dash.worker_status.waits_for IS 'what keeps it from taking more work; null: nothing';
COMMENT ON COLUMN dash.worker_status.images IS 'tasks done since its start';
COMMENT ON COLUMN dash.worker_status.busy_seconds IS 'seconds of tensor work since its start';
COMMENT ON COLUMN dash.worker_status.busy_share IS 'of its life, 0 to 1';
COMMENT ON COLUMN dash.worker_status.images_per_busy_second IS 'how fast it works while it works';
COMMENT ON COLUMN dash.worker_status.first_seen IS 'when it was first heard';
COMMENT ON COLUMN dash.worker_status.last_seen IS 'when it was last heard';
COMMENT ON COLUMN dash.worker_status.seconds_since_seen IS 'how long that is ago; 45 and more is lost';
COMMENT ON COLUMN dash.worker_status.running IS 'what it holds: [{"task", "epoch", "done"}]';

CREATE VIEW dash.stage_latency AS
    SELECT hour, class, stage::text AS stage, sum(n)::bigint AS tasks, sum(gpu_ms) / sum(n) AS mean_ms,
           -- the middle of the bucket that the quantile falls into
           min(power(10, (bucket + 0.5) / 20)) FILTER (WHERE upto >= 0.50 * of_all) AS p50_ms,
           min(power(10, (bucket + 0.5) / 20)) FILTER (WHERE upto >= 0.95 * of_all) AS p95_ms
    FROM (SELECT hour, class, stage, bucket, n, gpu_ms,
                 sum(n) OVER (PARTITION BY hour, class, stage ORDER BY bucket) AS upto,
                 sum(n) OVER (PARTITION BY hour, class, stage) AS of_all
          FROM stage_hours) AS h
    GROUP BY hour, class, stage;
COMMENT ON VIEW dash.stage_latency IS 'a row for each hour, class of workers and stage: tensor work of one task';
COMMENT ON COLUMN dash.stage_latency.hour IS 'the hour''s beginning';
COMMENT ON COLUMN dash.stage_latency.class IS 'class of the workers';
COMMENT ON COLUMN dash.stage_latency.stage IS 'invert, train or edit';
COMMENT ON COLUMN dash.stage_latency.tasks IS 'tasks that ended; those of one batch count as equally long';
COMMENT ON COLUMN dash.stage_latency.mean_ms IS 'arithmetic mean, milliseconds';
COMMENT ON COLUMN dash.stage_latency.p50_ms IS 'half took no longer, to an eighth of the value';
COMMENT ON COLUMN dash.stage_latency.p95_ms IS '95 of 100 took no longer, to an eighth of the value';

-- ---------------------------------------------------------------- who used what

CREATE VIEW dash.project_spend AS
    SELECT p.name AS project, u.hour, u.charge_ms / 1000 AS gpu_seconds, p.quota_ms_per_day / 1000 AS quota_gpu_seconds_per_day
    FROM project_usage u JOIN projects p ON p.id = u.project;
COMMENT ON VIEW dash.project_spend IS 'a row for each project and hour: GPU time charged';
COMMENT ON COLUMN dash.project_spend.project IS 'the project''s name';
COMMENT ON COLUMN dash.project_spend.hour IS 'the hour''s beginning';
COMMENT ON COLUMN dash.project_spend.gpu_seconds IS 'charged in it: estimates at hand-out, corrected when they end, so it may be negative';
COMMENT ON COLUMN dash.project_spend.quota_gpu_seconds_per_day IS 'what the project may use in 24 hours, as of now; null: no quota';

CREATE VIEW dash.model_usage AS
    SELECT j.pack_name AS pack, encode(j.pack_digest, 'hex') AS pack_digest, p.name AS project, count(*) AS jobs,
           sum(c.tasks)::bigint AS tasks, sum(c.gpu_seconds) AS gpu_seconds, max(j.created_at) AS last_used
    FROM jobs j JOIN projects p ON p.id = j.project
    CROSS JOIN LATERAL (
        SELECT COALESCE(sum(n) FILTER (WHERE state = 'succeeded'), 0) AS tasks, COALESCE(sum(gpu_ms), 0) / 1000 AS gpu_seconds
        FROM (SELECT state, n, gpu_ms FROM job_rollups WHERE job_seq = j.seq
              UNION ALL SELECT state, n, gpu_ms FROM count_deltas WHERE job_seq = j.seq) AS both_parts) AS c
    GROUP BY 1, 2, 3;
COMMENT ON VIEW dash.model_usage IS 'a row for each pack and project that used it';
COMMENT ON COLUMN dash.model_usage.pack IS 'the pack''s name';
COMMENT ON COLUMN dash.model_usage.pack_digest IS 'SHA-256 over its manifest with the digest of every file';
COMMENT ON COLUMN dash.model_usage.project IS 'the project''s name';
COMMENT ON COLUMN dash.model_usage.jobs IS 'jobs on it';
COMMENT ON COLUMN dash.model_usage.tasks IS 'tasks of theirs that succeeded';
COMMENT ON COLUMN dash.model_usage.gpu_seconds IS 'tensor work of theirs';
COMMENT ON COLUMN dash.model_usage.last_used IS 'when the last of them was submitted';

CREATE VIEW dash.operator_actions AS
    SELECT at, actor, action, subject, detail FROM audit_log;
COMMENT ON VIEW dash.operator_actions IS 'what people did: the audit log';
COMMENT ON COLUMN dash.operator_actions.at IS 'when';
COMMENT ON COLUMN dash.operator_actions.actor IS 'who';
COMMENT ON COLUMN dash.operator_actions.action IS 'what, for example job.cancel';
COMMENT ON COLUMN dash.operator_actions.subject IS 'to what: a job, a project, ...';
COMMENT ON COLUMN dash.operator_actions.detail IS 'the rest, a JSON object';

-- ---------------------------------------------------------------- who may read

-- Roles belong to the whole server: another database's migration may have made it, or be making it. Where a migration may not make roles,
-- an administrator does, and runs the grants below again.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cfx_reader') THEN
        BEGIN
            CREATE ROLE cfx_reader NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'the role cfx_reader cannot be made here; dash is readable by its owner alone until it is';
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cfx_reader') THEN
        GRANT USAGE ON SCHEMA dash TO cfx_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA dash TO cfx_reader;
        ALTER DEFAULT PRIVILEGES IN SCHEMA dash GRANT SELECT ON TABLES TO cfx_reader;
    END IF;
END $$;
