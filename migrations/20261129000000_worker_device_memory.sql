-- How much memory of its GPU is taken, as a worker last said. Columns of the view are added at the end.
ALTER TABLE workers
    ADD COLUMN device_memory_used_bytes bigint,
    ADD COLUMN device_memory_total_bytes bigint,
    ADD CHECK ((device_memory_used_bytes IS NULL) = (device_memory_total_bytes IS NULL));
COMMENT ON COLUMN workers.device_memory_used_bytes IS 'memory of its GPU, or part of one, that is taken by all processes together; null on a CPU and where the driver does not tell';
COMMENT ON COLUMN workers.device_memory_total_bytes IS 'memory that its GPU, or part of one, has; null as above';

CREATE OR REPLACE VIEW dash.worker_status AS
    SELECT w.name AS worker, w.boot, w.class, w.device, w.version, w.state::text AS state, jsonb_array_length(w.running) AS running_tasks,
           w.waits_for, w.images, w.busy_ms / 1000.0 AS busy_seconds,
           LEAST(1, w.busy_ms / NULLIF(1000 * extract(epoch FROM w.last_seen - w.first_seen), 0))::float8 AS busy_share,
           w.images / NULLIF(w.busy_ms / 1000.0, 0)::float8 AS images_per_busy_second, w.first_seen, w.last_seen,
           extract(epoch FROM now() - w.last_seen)::float8 AS seconds_since_seen, w.running, w.memory_bytes,
           w.device_memory_used_bytes, w.device_memory_total_bytes
    FROM workers w;
COMMENT ON COLUMN dash.worker_status.device_memory_used_bytes IS 'memory of its GPU, or part of one, that is taken by all processes together; null on a CPU and where the driver does not tell';
COMMENT ON COLUMN dash.worker_status.device_memory_total_bytes IS 'memory that its GPU, or part of one, has; null as above';
