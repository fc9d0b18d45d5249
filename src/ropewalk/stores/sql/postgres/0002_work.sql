-- least: 1
-- What waits for a worker, or is held by one.

-- A run that was submitted has a row here exactly as long as its status is RUNNING; the statement that changes the
-- status sees to it. wake_at is when a worker should take it: at once, at a due time, or, while `worker` holds it, when
-- that lease ends. epoch is the one the lease was given with: when the run's is newer, somebody else took it.
CREATE TABLE ropewalk.work (
    run bigint PRIMARY KEY,
    wake_at timestamptz NOT NULL,
    epoch integer NOT NULL DEFAULT 0,
    graph text COLLATE "C" NOT NULL,
    worker text COLLATE "C"
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);

CREATE INDEX work_due ON ropewalk.work (graph, wake_at);
