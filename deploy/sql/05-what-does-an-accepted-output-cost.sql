-- What does an accepted output cost, job by job?
-- Failures, rejects, inversions and trainings are paid for too; what other jobs' results saved is told beside it.
SELECT project, name, job, outputs, accepted, round((accepted::float8 / NULLIF(outputs, 0))::numeric, 3) AS accepted_share,
       round(gpu_seconds::numeric, 1) AS gpu_seconds, round(gpu_seconds_saved::numeric, 1) AS saved,
       round(gpu_seconds_per_accepted::numeric, 3) AS gpu_seconds_per_accepted
FROM dash.job_cost
WHERE created_at > now() - interval '31 days'
ORDER BY gpu_seconds DESC
LIMIT 50;
