-- Who did what yesterday and today?
SELECT at, actor, action, subject, detail
FROM dash.operator_actions
WHERE at > now() - interval '2 days'
ORDER BY at DESC
LIMIT 200;
