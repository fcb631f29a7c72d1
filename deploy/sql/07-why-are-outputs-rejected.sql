-- Why are a job's outputs rejected, edit by edit?
-- Parameter: job.
SELECT y.edit, y.text, y.outputs, y.accepted, round(y.accepted_share::numeric, 3) AS accepted_share, r.reason, r.outputs AS missed_it
FROM dash.edit_yield y
LEFT JOIN dash.reject_reasons r USING (job, project, edit)
WHERE y.job = :'job'
ORDER BY y.edit, missed_it DESC NULLS LAST;
