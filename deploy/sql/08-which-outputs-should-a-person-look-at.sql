-- Which accepted outputs should a person look at first?
-- Parameter: job. Those that kept least of the rest; they lie at /v1/blobs/SHA256.
SELECT task, source_uri, edit, strength, round((metrics ->> 'preservation')::numeric, 3) AS preservation,
       round((metrics ->> 'outside_change')::numeric, 2) AS outside_change, image_sha256
FROM dash.pair_export
WHERE job = :'job' AND verdict = 'accept'
ORDER BY (metrics ->> 'preservation')::float8 NULLS LAST, task
LIMIT 50;
