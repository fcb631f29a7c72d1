-- Which worker is slow, or idle, or away?
-- Compared with the median of its class. A low busy share with work waiting: look at waits_for, and at the network.
SELECT worker, class, device, state, running_tasks, waits_for, round(busy_share::numeric, 2) AS busy_share,
       round(images_per_busy_second::numeric, 2) AS images_per_busy_second,
       round((images_per_busy_second / NULLIF(median, 0))::numeric, 2) AS of_its_class, round(seconds_since_seen::numeric) AS silent_seconds
FROM dash.worker_status
LEFT JOIN (SELECT class, percentile_cont(0.5) WITHIN GROUP (ORDER BY images_per_busy_second) AS median
           FROM dash.worker_status WHERE state = 'live' GROUP BY class) AS classes USING (class)
WHERE state IN ('live', 'draining', 'lost')
ORDER BY of_its_class NULLS LAST, worker
LIMIT 100;
