-- Many admissions and appends as one statement: the writing thread gives Python's lock away once for all of them, not
-- twice for each, and a busy event loop gives it back only every few milliseconds.

-- A row inserted into this view is the first entry of an append (none: `last` is below its number), after which the
-- run's last entry is `last`; or, without an epoch, a further entry of the append before.
CREATE TEMP VIEW appending AS
SELECT '' AS run_id, 0 AS epoch, 0 AS number, 0 AS last, '' AS status, 0.0 AS at, x'' AS body;

-- The status is set by itself: it seldom changes, so its index is not written by every append.
-- A row without run_id fills the statement up to a number of rows that is prepared already. One refused row undoes it.
CREATE TEMP TRIGGER append INSTEAD OF INSERT ON appending WHEN NEW.epoch IS NOT NULL
BEGIN
    UPDATE run SET status = NEW.status
    WHERE run_id = NEW.run_id AND epoch = NEW.epoch AND last = NEW.number - 1 AND status <> NEW.status;
    UPDATE run SET last = NEW.last, updated = NEW.at
    WHERE run_id = NEW.run_id AND epoch = NEW.epoch AND last = NEW.number - 1;
    SELECT RAISE(ABORT, 'refused') WHERE changes() = 0;
    INSERT INTO entry (run, number, body)
    SELECT key, NEW.number, NEW.body FROM run WHERE run_id = NEW.run_id AND NEW.last >= NEW.number;
END;

CREATE TEMP TRIGGER append_further INSTEAD OF INSERT ON appending WHEN NEW.epoch IS NULL AND NEW.run_id IS NOT NULL
BEGIN
    INSERT INTO entry (run, number, body) SELECT key, NEW.number, NEW.body FROM run WHERE run_id = NEW.run_id;
END;

-- A row inserted into this one is the same; where it names a graph, it is a run to admit, with its first entry if there
-- is one.
CREATE TEMP VIEW writing AS
SELECT '' AS run_id, 0 AS epoch, 0 AS number, 0 AS last, '' AS status, 0.0 AS at, x'' AS body,
    '' AS graph, '' AS plan, '' AS owner, '' AS session, 0 AS turn;

CREATE TEMP TRIGGER write_append INSTEAD OF INSERT ON writing WHEN NEW.run_id IS NOT NULL AND NEW.graph IS NULL
BEGIN
    INSERT INTO appending VALUES (NEW.run_id, NEW.epoch, NEW.number, NEW.last, NEW.status, NEW.at, NEW.body);
END;

-- A run or a turn that is there already undoes the statement by its index.
CREATE TEMP TRIGGER write_admission INSTEAD OF INSERT ON writing WHEN NEW.graph IS NOT NULL
BEGIN
    INSERT INTO run (run_id, graph, plan, status, epoch, last, created, updated, fork_at, owner, session, turn, shared)
    VALUES (NEW.run_id, NEW.graph, NEW.plan, NEW.status, NEW.epoch, NEW.last, NEW.at, NEW.at, 0, NEW.owner, NEW.session,
        NEW.turn, 0);
    INSERT INTO entry (run, number, body) SELECT last_insert_rowid(), 1, NEW.body WHERE NEW.last > 0;
END;
