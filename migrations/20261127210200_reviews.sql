-- What people say of results. Results are append only and a judge's verdict stays as it is: a review stands beside it.

CREATE TABLE reviews (
    job_seq  bigint NOT NULL,
    no       integer NOT NULL,
    decision text NOT NULL CHECK (decision IN ('flagged', 'rejected', 'approved')),
    note     text NOT NULL DEFAULT '' CHECK (length(note) <= 2000),
    reviewer text NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_seq, no),
    FOREIGN KEY (job_seq, no) REFERENCES results
);
COMMENT ON TABLE reviews IS 'the latest word of a reviewer on a result; earlier ones are in audit_log';
COMMENT ON COLUMN reviews.decision IS 'flagged: somebody should look; rejected: not to be used, whatever the verdict; approved: looked at and good';
COMMENT ON COLUMN reviews.reviewer IS 'who, as in audit_log.actor';
CREATE INDEX reviews_of_decision ON reviews (job_seq, decision, no);
