-- The gallery in the order of a score, at any size and while results come in: an index for each score that it offers, entered by the
-- statement that adds the result. Results with the same edit, verdict and reasons are a run of such an index, in the order of the
-- score; a page is what the heads of the runs give that fit, so filters cost nothing, however rare what they leave is. An output that
-- has not a score has no entry for it.
--
-- Writers of results wait while this runs: some three seconds for each million of them and score.

-- Replaced when there are more reasons, with the next bit for each: results that are there keep their class, since none has the new one.
CREATE FUNCTION result_class(verdict text, reasons text[]) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE verdict
    WHEN 'accept' THEN 1
    WHEN 'reject' THEN 2
        + CASE WHEN 'target-missed' = ANY (reasons) THEN 4 ELSE 0 END
        + CASE WHEN 'target-unsure' = ANY (reasons) THEN 8 ELSE 0 END
        + CASE WHEN 'not-preserved' = ANY (reasons) THEN 16 ELSE 0 END
        + CASE WHEN 'identity-lost' = ANY (reasons) THEN 32 ELSE 0 END
        + CASE WHEN 'changed-too-much' = ANY (reasons) THEN 64 ELSE 0 END
        + CASE WHEN 'outside-changed' = ANY (reasons) THEN 128 ELSE 0 END
        + CASE WHEN 'second-clip-unmoved' = ANY (reasons) THEN 256 ELSE 0 END
    ELSE 0 END;
COMMENT ON FUNCTION result_class IS 'one number for each verdict with its reasons; 0 for results that no rule applies to';

CREATE INDEX results_by_target_probability ON results
    (job_seq, edit_no, result_class(verdict, rejected_for), ((metrics ->> 'target_probability')::float8), no)
    WHERE metrics ->> 'target_probability' IS NOT NULL;
CREATE INDEX results_by_preservation ON results
    (job_seq, edit_no, result_class(verdict, rejected_for), ((metrics ->> 'preservation')::float8), no)
    WHERE metrics ->> 'preservation' IS NOT NULL;
CREATE INDEX results_by_identity ON results
    (job_seq, edit_no, result_class(verdict, rejected_for), ((metrics ->> 'identity')::float8), no)
    WHERE metrics ->> 'identity' IS NOT NULL;
CREATE INDEX results_by_mean_change ON results
    (job_seq, edit_no, result_class(verdict, rejected_for), ((metrics ->> 'mean_change')::float8), no)
    WHERE metrics ->> 'mean_change' IS NOT NULL;
CREATE INDEX results_by_outside_change ON results
    (job_seq, edit_no, result_class(verdict, rejected_for), ((metrics ->> 'outside_change')::float8), no)
    WHERE metrics ->> 'outside_change' IS NOT NULL;
CREATE INDEX results_by_second_clip_gain ON results
    (job_seq, edit_no, result_class(verdict, rejected_for), ((metrics ->> 'second_clip_gain')::float8), no)
    WHERE metrics ->> 'second_clip_gain' IS NOT NULL;
CREATE INDEX results_by_strength ON results
    (job_seq, edit_no, result_class(verdict, rejected_for), ((metrics ->> 'strength')::float8), no)
    WHERE metrics ->> 'strength' IS NOT NULL;
