-- How do scores change with the strength, edit by edit?
-- Parameter: job. A good strength reaches the target and keeps the rest.
SELECT edit, strength, metric, n, round(mean::numeric, 4) AS mean, round(stddev::numeric, 4) AS stddev,
       round(least::numeric, 4) AS least, round(most::numeric, 4) AS most
FROM dash.metric_summary
WHERE job = :'job'
ORDER BY metric, edit, strength;
