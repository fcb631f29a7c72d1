-- Single tasks can be paused. While two versions of the coordinator run, the older one cannot read a job that has paused tasks: pause
-- none before the upgrade is done.
ALTER TYPE task_state ADD VALUE 'paused' BEFORE 'succeeded';
