-- How much memory a worker has, as it last said.
ALTER TABLE workers ADD COLUMN memory_bytes bigint;
COMMENT ON COLUMN workers.memory_bytes IS 'resident memory of the process; null where it does not say';
