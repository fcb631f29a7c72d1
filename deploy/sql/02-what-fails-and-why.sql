-- What fails for good, and why?
-- `cfx job retry JOB --reason REASON --dry-run` says what another try would take up.
SELECT project, name, job, stage, reason, dead
FROM dash.failure_reasons
ORDER BY dead DESC, project, job
LIMIT 50;
