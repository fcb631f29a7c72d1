-- The trace that a job's submission belongs to, so that the work that comes of it is found in it.
ALTER TABLE jobs ADD COLUMN traceparent text CHECK (length(traceparent) <= 55);
COMMENT ON COLUMN jobs.traceparent IS 'W3C trace context of the request that submitted it; null where traces are not sent';
