-- Where do attempts fail or get lost, and on which worker?
SELECT hour, worker, class, outcome, reason, sum(attempts) AS attempts
FROM dash.retry_heat
WHERE outcome <> 'yielded'
GROUP BY hour, worker, class, outcome, reason
ORDER BY attempts DESC, hour DESC
LIMIT 50;
