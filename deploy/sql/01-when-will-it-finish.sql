-- When will each running job be done?
-- What is left, over the rate of the last minute or so. A stage that waits for another has no rate yet; look again when it has.
SELECT project, name, job, stage, succeeded, total - succeeded - dead - cancelled AS still_to_do, round(tasks_per_minute::numeric, 1) AS per_minute,
       now() + make_interval(mins => 1) * ((total - succeeded - dead - cancelled) / NULLIF(tasks_per_minute, 0)) AS done_at
FROM dash.job_progress
WHERE state IN ('accepting', 'active') AND total > succeeded + dead + cancelled
ORDER BY done_at NULLS LAST, project, job, stage;
