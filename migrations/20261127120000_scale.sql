-- What a million tasks showed. Producers are looked up by their key, which is the primary key; entering each of them into an index
-- by job and number as well, in another order than they are written in, cost a quarter of their insert. A coordinator of the
-- version before works without it, only its cancels read more.
DROP INDEX stage_artifacts_pending;
