-- What waits, where, and for how much work?
-- Much blocked and little ready: inversions or trainings are behind. With the rate of workers, backlog_gpu_seconds says how many are missing.
SELECT project, stage, ready, blocked, retrying, paused, running, round(backlog_gpu_seconds::numeric / 3600, 2) AS backlog_gpu_hours
FROM dash.queue_depth
ORDER BY backlog_gpu_seconds DESC NULLS LAST, project, stage;
