-- redrive_dry
-- $1 job, $2 reason or NULL for all: what the slices would revive, by reason
WITH chosen AS (
    SELECT reason, stage, key FROM tasks
    WHERE job_seq = $1 AND state = 'dead' AND reason <> 'producer_dead' AND ($2::text IS NULL OR reason = $2))
SELECT reason, count(*) FROM chosen GROUP BY reason
UNION ALL
SELECT 'producer_dead', count(*) FROM tasks t
WHERE t.job_seq = $1 AND t.state = 'dead' AND t.reason = 'producer_dead' AND (
    $2 IS NULL OR $2 = 'producer_dead'
    OR ((EXISTS (SELECT FROM stage_artifacts a WHERE a.key = t.needs AND a.state IN ('pending', 'done'))
            OR t.needs IN (SELECT key FROM chosen WHERE stage = 'invert'))
        AND EXISTS (
            SELECT FROM job_edits e WHERE e.job_seq = $1 AND e.edit_no = t.edit_no
                AND (e.gate <> 'dead' OR e.mapper_key IN (SELECT key FROM chosen WHERE stage = 'train')))))
HAVING count(*) > 0
