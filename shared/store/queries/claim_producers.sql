-- claim_producers
-- $1 job, $2 number of the slice's first task, $3 keys in their order, $4 whether each is a training, $5 places in the slice
-- Single flight: whoever inserts a key produces it. In order of keys, so that two jobs' slices wait for each other one way round.
INSERT INTO stage_artifacts (key, stage, state, producer_job, producer_no)
SELECT key, CASE WHEN train THEN 'train' ELSE 'invert' END::task_stage, 'pending', $1, $2 + pos
FROM unnest($3::bytea[], $4::boolean[], $5::integer[]) AS wanted (key, train, pos)
