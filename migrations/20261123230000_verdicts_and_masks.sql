-- Verdicts as figures: why outputs were rejected, and per edit how many were accepted. Masks: where a source's image may change.

-- ---------------------------------------------------------------- verdicts

ALTER TABLE results
    ADD COLUMN rejected_for text[] NOT NULL DEFAULT '{}',
    ADD CHECK (rejected_for = '{}' OR verdict IS NOT DISTINCT FROM 'reject');
COMMENT ON COLUMN results.verdict IS 'accept: every rule of its edit is met; reject: one is missed; null: no rule applies';
COMMENT ON COLUMN results.rejected_for IS 'the rules that were missed, by the names of domain::accept::RejectReason';
CREATE INDEX results_of_verdict ON results (job_seq, verdict, no);

CREATE TYPE verdict_kind AS ENUM ('accepted', 'rejected', 'unjudged');

CREATE TABLE verdict_deltas (
    job_seq bigint NOT NULL,
    edit_no smallint NOT NULL,
    verdict verdict_kind NOT NULL,
    reason  text NOT NULL DEFAULT '',
    n       bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE verdict_deltas IS 'appended by the statement that adds results, folded into edit_rollups by the leader: no hot row';
COMMENT ON COLUMN verdict_deltas.reason IS
    'empty: outputs of this verdict, each once; else those rejected for this reason, among others perhaps';
CREATE INDEX verdict_deltas_job ON verdict_deltas (job_seq);

CREATE TABLE edit_rollups (
    job_seq bigint NOT NULL,
    edit_no smallint NOT NULL,
    verdict verdict_kind NOT NULL,
    reason  text NOT NULL,
    n       bigint NOT NULL,
    PRIMARY KEY (job_seq, edit_no, verdict, reason)
) WITH (fillfactor = 50);

CREATE VIEW edit_verdicts AS
    SELECT job_seq, edit_no, verdict, reason, sum(n)::bigint AS n
    FROM (SELECT job_seq, edit_no, verdict, reason, n FROM edit_rollups
          UNION ALL
          SELECT job_seq, edit_no, verdict, reason, n FROM verdict_deltas) AS both_parts
    GROUP BY job_seq, edit_no, verdict, reason;
COMMENT ON VIEW edit_verdicts IS 'exact at every snapshot: what is folded plus what is not yet';

-- A trigger, and not part of the statement that adds results: while two versions of the coordinator run, the older one's results
-- are counted too.
CREATE FUNCTION note_verdicts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO verdict_deltas (job_seq, edit_no, verdict, reason, n)
    SELECT job_seq, edit_no,
           (CASE verdict WHEN 'accept' THEN 'accepted' WHEN 'reject' THEN 'rejected' ELSE 'unjudged' END)::verdict_kind,
           '', count(*)
    FROM added GROUP BY 1, 2, 3
    UNION ALL
    SELECT job_seq, edit_no, 'rejected', reason, count(*)
    FROM added CROSS JOIN unnest(rejected_for) AS reason GROUP BY 1, 2, 4;
    RETURN NULL;
END $$;
CREATE TRIGGER results_verdicts AFTER INSERT ON results
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION note_verdicts();

-- what was there before; creating the trigger has locked out writers until this is committed
INSERT INTO edit_rollups (job_seq, edit_no, verdict, reason, n)
SELECT job_seq, edit_no,
       (CASE verdict WHEN 'accept' THEN 'accepted' WHEN 'reject' THEN 'rejected' ELSE 'unjudged' END)::verdict_kind,
       '', count(*)
FROM results GROUP BY 1, 2, 3;

-- ---------------------------------------------------------------- masks

CREATE TABLE source_masks (
    dataset uuid NOT NULL,
    ordinal bigint NOT NULL,
    name    text NOT NULL,
    sha256  digest NOT NULL,
    PRIMARY KEY (dataset, ordinal, name),
    FOREIGN KEY (dataset, ordinal) REFERENCES sources
);
COMMENT ON TABLE source_masks IS
    'images that are white where their source may change; one of a name never changes, because stage keys are made of it';

ALTER TABLE datasets ADD COLUMN masks jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN datasets.masks IS 'how many sources have a mask of each name; adding takes this row''s lock';
