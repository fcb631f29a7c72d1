-- How fast was it, minute by minute, in the last hour?
SELECT minute, stage, sum(succeeded) AS succeeded, sum(dead) AS dead, sum(retried) AS retried, round(sum(gpu_seconds)::numeric, 1) AS gpu_seconds
FROM dash.throughput_1m
WHERE minute > now() - interval '1 hour'
GROUP BY minute, stage
ORDER BY minute, stage;
