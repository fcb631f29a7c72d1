-- A worker that dies loses its connection at once, and its silence is noticed 45 s later. The queue that it hears control messages
-- from is its connection's own: when RabbitMQ knows of no such queue, the connection is gone.
ALTER TABLE workers
    ADD COLUMN control_queue     text,
    ADD COLUMN unreachable_since timestamptz;
COMMENT ON COLUMN workers.control_queue IS 'where it hears control messages; null if it does not say, or is just connecting again';
COMMENT ON COLUMN workers.unreachable_since IS 'since when no message can be routed to control_queue; null while one can';
