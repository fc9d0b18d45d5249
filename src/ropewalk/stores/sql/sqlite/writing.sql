-- Many admissions and appends as one statement: the writing thread gives Python's lock away once for all of them, not
-- twice for each, and a busy event loop gives it back only every few milliseconds.

-- A row inserted into this view is an entry to append, the new status of an append without entries (last is after), or,
-- where it names a graph, a run to admit with its first entry (last is 1; 0 for one without entries).
CREATE TEMP VIEW writing AS
SELECT '' AS run_id, 0 AS epoch, 0 AS after, 0 AS last, '' AS status, 0.0 AS at, x'' AS body,
    '' AS graph, '' AS plan, '' AS owner, '' AS session, 0 AS turn;

-- The status is set by itself: it seldom changes, so its index is not written by every append.
-- A row without run_id fills the statement up to a width that is prepared already. One refused row undoes the statement.
CREATE TEMP TRIGGER append INSTEAD OF INSERT ON writing WHEN NEW.run_id IS NOT NULL AND NEW.graph IS NULL
BEGIN
    UPDATE run SET status = NEW.status
    WHERE run_id = NEW.run_id AND epoch = NEW.epoch AND last = NEW.after AND status <> NEW.status;
    UPDATE run SET last = NEW.last, updated = NEW.at
    WHERE run_id = NEW.run_id AND epoch = NEW.epoch AND last = NEW.after;
    SELECT RAISE(ABORT, 'refused') WHERE changes() = 0;
    INSERT INTO entry (run, number, body)
    SELECT key, NEW.last, NEW.body FROM run WHERE run_id = NEW.run_id AND NEW.last > NEW.after;
END;

-- A run or a turn that is there already undoes the statement by its index.
CREATE TEMP TRIGGER admit INSTEAD OF INSERT ON writing WHEN NEW.run_id IS NOT NULL AND NEW.graph IS NOT NULL
BEGIN
    INSERT INTO run (run_id, graph, plan, status, epoch, last, created, updated, fork_at, owner, session, turn, shared)
    VALUES (NEW.run_id, NEW.graph, NEW.plan, NEW.status, NEW.epoch, NEW.last, NEW.at, NEW.at, 0, NEW.owner, NEW.session,
        NEW.turn, 0);
    INSERT INTO entry (run, number, body) SELECT last_insert_rowid(), NEW.last, NEW.body WHERE NEW.last > 0;
END;
