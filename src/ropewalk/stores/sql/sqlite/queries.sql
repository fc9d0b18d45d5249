-- Every statement of the SQLite store. A line "-- name: x" begins the statement x; what follows it there says what it is for.

-- name: add_run
-- Admit a run with epoch 1.
INSERT INTO run (run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session,
    turn, base, shared)
VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: turn
-- Who has a turn.
SELECT run_id FROM run
WHERE session = ? AND coalesce('=' || owner, '') = coalesce('=' || ?, '') AND turn = ? AND turn IS NOT NULL

-- name: last_turn
SELECT turn FROM run
WHERE session = ? AND coalesce('=' || owner, '') = coalesce('=' || ?, '') AND turn IS NOT NULL
ORDER BY turn DESC LIMIT 1

-- name: whose_turn
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn FROM run
WHERE session = ? AND coalesce('=' || owner, '') = coalesce('=' || ?, '') AND turn IS NOT NULL AND status = 'RUNNING'
ORDER BY turn LIMIT 1

-- name: fence
UPDATE run SET last = ?, status = ?, updated = ? WHERE run_id = ? AND epoch = ? AND last = ?

-- name: add_entry
INSERT INTO entry (run, number, body) VALUES (?, ?, ?)

-- name: key
SELECT key FROM run WHERE run_id = ?

-- name: claim
UPDATE run SET epoch = epoch + 1 WHERE run_id = ?

-- name: record
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn FROM run WHERE run_id = ?

-- name: extent
-- Where the entries of a run lie.
SELECT key, last, base, shared FROM run WHERE run_id = ?

-- name: base
SELECT base, shared FROM run WHERE key = ?

-- name: entries
SELECT number, body FROM entry WHERE run = ? AND number > ? AND number <= ? ORDER BY number

-- name: copy_run
INSERT INTO run (run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session,
    base, shared)
SELECT ?, graph, plan, status, 1, last, created, updated, NULL, 0, owner, session, NULL, 0 FROM run WHERE key = ?

-- name: copy_entries
INSERT INTO entry (run, number, body)
SELECT ?, number, body FROM entry WHERE run = ? AND number > ? AND number <= ? ORDER BY number

-- name: heir
-- The fork that shares most of a run's entries: it receives them when the run goes.
SELECT key, shared FROM run WHERE base = ? ORDER BY shared DESC LIMIT 1

-- name: move_entries
UPDATE entry SET run = ? WHERE run = ? AND number <= ?

-- name: rebase_forks
UPDATE run SET base = ? WHERE base = ?

-- name: rebase_heir
UPDATE run SET (base, shared) = (SELECT base, shared FROM run WHERE key = ?) WHERE key = ?

-- name: delete_entries
DELETE FROM entry WHERE run = ?

-- name: delete_snapshots
DELETE FROM snapshot WHERE run = ?

-- name: delete_run
DELETE FROM run WHERE key = ?

-- name: stale
-- Runs to prune. Forks have larger keys than their parents, so they come first and need not inherit.
SELECT key, last - shared FROM run
WHERE key < ? AND updated < ? AND status IN (SELECT value FROM json_each(?))
ORDER BY key DESC LIMIT ?

-- name: still_stale
SELECT 1 FROM run WHERE key = ? AND updated < ? AND status IN (SELECT value FROM json_each(?))

-- name: save_snapshot
INSERT OR REPLACE INTO snapshot (run, number, body)
SELECT key, ?, ? FROM run WHERE run_id = ? AND epoch = ? AND last >= ?

-- name: drop_snapshots
-- Keep the newest two.
DELETE FROM snapshot
WHERE run = ? AND number < (SELECT number FROM snapshot WHERE run = ? ORDER BY number DESC LIMIT 1 OFFSET 1)

-- name: snapshot
SELECT number, body FROM snapshot WHERE run = ? AND number <= ? ORDER BY number DESC LIMIT 1

-- name: place
-- Where a run stands in the listing.
SELECT created, run_id FROM run WHERE run_id = ?

-- name: newest
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn FROM run
WHERE (created, run_id) < (?, ?) ORDER BY created DESC, run_id DESC LIMIT ?

-- name: newest_of_graph
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn FROM run
WHERE graph = ? AND (created, run_id) < (?, ?) ORDER BY created DESC, run_id DESC LIMIT ?

-- name: newest_of_status
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn FROM run
WHERE status = ? AND (created, run_id) < (?, ?) ORDER BY created DESC, run_id DESC LIMIT ?

-- name: newest_of_graph_and_status
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn FROM run
WHERE graph = ? AND status = ? AND (created, run_id) < (?, ?) ORDER BY created DESC, run_id DESC LIMIT ?

-- name: newest_of_owner
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn FROM run
WHERE owner = :owner AND (:graph IS NULL OR graph = :graph) AND (:session IS NULL OR session = :session)
    AND (created, run_id) < (:created, :run_id) ORDER BY created DESC, run_id DESC LIMIT :limit

-- name: newest_of_owner_and_status
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn FROM run
WHERE owner = :owner AND status = :status AND (:graph IS NULL OR graph = :graph)
    AND (:session IS NULL OR session = :session)
    AND (created, run_id) < (:created, :run_id) ORDER BY created DESC, run_id DESC LIMIT :limit

-- name: newest_of_session
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn FROM run
WHERE session = :session AND (:graph IS NULL OR graph = :graph) AND (:status IS NULL OR status = :status)
    AND (created, run_id) < (:created, :run_id) ORDER BY created DESC, run_id DESC LIMIT :limit
