-- A job may be paused while its tasks are written. Coordinators of earlier versions know only the state: what they would do wrong
-- with such a job (resume it to active, cancel it without ending the writing) the check refuses them until they are replaced.
ALTER TABLE jobs
    ADD COLUMN unwritten boolean NOT NULL DEFAULT false,
    ADD CHECK (NOT unwritten OR state = 'paused');
COMMENT ON COLUMN jobs.unwritten IS 'it was paused before all of its tasks were written: the writing goes on, and until it is done the job neither settles nor resumes to active';
