-- What reviewers say, and what memory workers have, in the schema that people query. Columns are added at the end.

CREATE OR REPLACE VIEW dash.pair_export AS
    SELECT dash.job_id(j.id) AS job, p.name AS project, r.job_seq || '-' || r.no AS task, s.ordinal AS source_no, s.uri AS source_uri,
           s.labels, e.slug AS edit, e.spec ->> 'text' AS text, e.spec ->> 'neutral' AS neutral, e.method, r.strength, r.seed,
           r.verdict, r.rejected_for, r.metrics, encode(s.sha256, 'hex') AS source_sha256, encode(r.image, 'hex') AS image_sha256,
           encode(r.reconstruction, 'hex') AS reconstruction_sha256, encode(r.record, 'hex') AS record_sha256,
           r.gpu_ms / 1000 AS gpu_seconds, r.created_at,
           v.decision AS review, v.reviewer, v.note AS review_note
    FROM jobs j JOIN projects p ON p.id = j.project
    JOIN results r ON r.job_seq = j.seq
    JOIN job_edits e ON e.job_seq = r.job_seq AND e.edit_no = r.edit_no
    JOIN sources s ON s.dataset = j.dataset AND s.ordinal = r.ordinal
    LEFT JOIN reviews v ON v.job_seq = r.job_seq AND v.no = r.no;
COMMENT ON COLUMN dash.pair_export.review IS 'what a reviewer decided: flagged, rejected, approved; null: nobody looked';
COMMENT ON COLUMN dash.pair_export.reviewer IS 'who that was';
COMMENT ON COLUMN dash.pair_export.review_note IS 'what they noted';

CREATE OR REPLACE VIEW dash.worker_status AS
    SELECT w.name AS worker, w.boot, w.class, w.device, w.version, w.state::text AS state, jsonb_array_length(w.running) AS running_tasks,
           w.waits_for, w.images, w.busy_ms / 1000.0 AS busy_seconds,
           LEAST(1, w.busy_ms / NULLIF(1000 * extract(epoch FROM w.last_seen - w.first_seen), 0))::float8 AS busy_share,
           w.images / NULLIF(w.busy_ms / 1000.0, 0)::float8 AS images_per_busy_second, w.first_seen, w.last_seen,
           extract(epoch FROM now() - w.last_seen)::float8 AS seconds_since_seen, w.running, w.memory_bytes
    FROM workers w;
COMMENT ON COLUMN dash.worker_status.memory_bytes IS 'resident memory of the process; null where it does not say';

CREATE VIEW dash.review_summary AS
    SELECT dash.job_id(j.id) AS job, p.name AS project, e.slug AS edit, v.reviewer, v.decision, count(*) AS outputs, max(v.at) AS last_at
    FROM jobs j JOIN projects p ON p.id = j.project
    JOIN reviews v ON v.job_seq = j.seq
    JOIN results r ON r.job_seq = v.job_seq AND r.no = v.no
    JOIN job_edits e ON e.job_seq = r.job_seq AND e.edit_no = r.edit_no
    GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW dash.review_summary IS 'a row for each edit, reviewer and decision: outputs that people looked at';
COMMENT ON COLUMN dash.review_summary.job IS 'the job''s id, as cfx writes it';
COMMENT ON COLUMN dash.review_summary.project IS 'the project''s name';
COMMENT ON COLUMN dash.review_summary.edit IS 'the edit''s short name';
COMMENT ON COLUMN dash.review_summary.reviewer IS 'who decided';
COMMENT ON COLUMN dash.review_summary.decision IS 'flagged, rejected or approved';
COMMENT ON COLUMN dash.review_summary.outputs IS 'how many outputs stand so now';
COMMENT ON COLUMN dash.review_summary.last_at IS 'when the last of them was decided';
