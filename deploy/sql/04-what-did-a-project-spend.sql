-- What did a project spend, day by day?
-- Parameter: project. The day is the session's time zone's.
SELECT date_trunc('day', hour)::date AS day, round(sum(gpu_seconds)::numeric / 3600, 2) AS gpu_hours,
       round(max(quota_gpu_seconds_per_day)::numeric / 3600, 2) AS quota_gpu_hours
FROM dash.project_spend
WHERE project = :'project' AND hour > now() - interval '31 days'
GROUP BY day
ORDER BY day;
