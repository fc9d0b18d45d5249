-- Every statement of the PostgreSQL store. A line "-- name: x" begins the statement x; what follows it there says what it
-- is for.

-- name: append
-- Many appends, each fenced by itself: an answer is the place of an append that was written, and whether its run now
-- waits for a worker. All bodies are one value, cut here: arrays of them cost the client twice as much (measured).
WITH asked AS (
    SELECT * FROM unnest(
        %(place)s::int[], %(run_id)s::text[], %(epoch)s::int[], %(after)s::int[], %(last)s::int[], %(status)s::text[],
        %(at)s::float8[]
    ) AS asked (place, run_id, epoch, after, last, status, at)
), moved AS (
    UPDATE ropewalk.run SET last = asked.last, status = asked.status, updated = asked.at
    FROM asked
    WHERE run.run_id = asked.run_id AND run.epoch = asked.epoch AND run.last = asked.after
    RETURNING run.key, run.graph, run.status, run.epoch, run.for_workers, asked.place
), written AS (
    INSERT INTO ropewalk.entry (run, number, body)
    SELECT moved.key, entry.number, substring(%(bodies)s::bytea FROM entry.start FOR entry.length)
    FROM unnest(%(of)s::int[], %(number)s::int[], %(start)s::int[], %(length)s::int[])
        AS entry (place, number, start, length)
    JOIN moved USING (place)
), woken AS (
    INSERT INTO ropewalk.work (run, graph, wake_at)
    SELECT key, graph, clock_timestamp() FROM moved WHERE for_workers AND status = 'RUNNING'
    ON CONFLICT (run) DO NOTHING
    RETURNING run
), freed AS (  -- somebody else, who answered say, has taken it from a worker: the rest of the lease is not waited for
    UPDATE ropewalk.work SET worker = NULL, wake_at = clock_timestamp() FROM moved
    WHERE work.run = moved.key AND moved.for_workers AND moved.status = 'RUNNING'
        AND work.worker IS NOT NULL AND work.epoch <> moved.epoch
    RETURNING work.run
), rested AS (
    DELETE FROM ropewalk.work USING moved
    WHERE work.run = moved.key AND moved.for_workers AND moved.status <> 'RUNNING'
)
SELECT moved.place, CASE WHEN due.run IS NOT NULL THEN moved.graph END
FROM moved LEFT JOIN (SELECT run FROM woken UNION ALL SELECT run FROM freed) AS due ON due.run = moved.key

-- name: last_turn
SELECT turn FROM ropewalk.run
WHERE session = %(session)s AND coalesce('=' || owner, '') = coalesce('=' || %(owner)s::text, '') AND turn IS NOT NULL
ORDER BY turn DESC LIMIT 1

-- name: whose_turn
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn
FROM ropewalk.run
WHERE session = %(session)s AND coalesce('=' || owner, '') = coalesce('=' || %(owner)s::text, '')
    AND turn IS NOT NULL AND status = 'RUNNING'
ORDER BY turn LIMIT 1

-- name: session_stands
-- The newest run of an owner's session, then the RUNNING ones: at least one row, with nulls when there are none. Beside
-- them stand the last turn, and how many runs of the owner are RUNNING. A session is short; an owner may have many runs.
SELECT found.*, about.last_turn, about.running
FROM (
    SELECT coalesce((
        SELECT turn FROM ropewalk.run
        WHERE session = %(session)s AND coalesce('=' || owner, '') = '=' || %(owner)s::text AND turn IS NOT NULL
        ORDER BY turn DESC LIMIT 1
    ), 0) AS last_turn, (
        SELECT count(*) FROM (
            SELECT FROM ropewalk.run WHERE owner = %(owner)s AND status = 'RUNNING' LIMIT %(most)s
        ) AS of_owner
    ) AS running
) AS about LEFT JOIN (
    (
        SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn,
            true AS is_newest
        FROM ropewalk.run
        WHERE session = %(session)s AND coalesce('=' || owner, '') = '=' || %(owner)s::text
        ORDER BY created DESC, run_id DESC LIMIT 1
    ) UNION ALL (
        SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn, false
        FROM ropewalk.run
        WHERE owner = %(owner)s AND status = 'RUNNING' AND session = %(session)s
        ORDER BY created DESC, run_id DESC LIMIT %(limit)s
    )
) AS found ON true

-- name: why_refused
-- The epoch and last entry of those runs that are there.
SELECT run_id, epoch, last FROM ropewalk.run WHERE run_id = ANY(%(run_ids)s)

-- name: create
-- Many admissions, each refused by itself: an answer is a run that was admitted. A fork comes alone: what it shares with
-- its parent is told once.
WITH asked AS (
    SELECT * FROM unnest(
        %(place)s::int[], %(run_id)s::text[], %(graph)s::text[], %(plan)s::text[], %(status)s::text[], %(last)s::int[],
        %(at)s::float8[], %(for_workers)s::boolean[], %(owner)s::text[], %(session)s::text[], %(turn)s::int[]
    ) AS asked (place, run_id, graph, plan, status, last, at, for_workers, owner, session, turn)
), made AS (
    INSERT INTO ropewalk.run
        (run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, base, shared, for_workers,
        owner, session, turn)
    SELECT run_id, graph, plan, status, 1, last, at, at, %(parent)s::text, %(fork_at)s::int, %(base)s::bigint,
        %(shared)s::int, for_workers, owner, session, turn
    FROM asked
    ON CONFLICT DO NOTHING
    RETURNING key, run_id, graph, status, for_workers
), written AS (
    INSERT INTO ropewalk.entry (run, number, body)
    SELECT made.key, entry.number, substring(%(bodies)s::bytea FROM entry.start FOR entry.length)
    FROM unnest(%(of)s::int[], %(number)s::int[], %(start)s::int[], %(length)s::int[])
        AS entry (place, number, start, length)
    JOIN asked USING (place) JOIN made USING (run_id)
), woken AS (
    INSERT INTO ropewalk.work (run, graph, wake_at)
    SELECT key, graph, clock_timestamp() FROM made WHERE for_workers AND status = 'RUNNING'
)
SELECT run_id FROM made

-- name: line
-- A run and those that hold its first entries, down to the one that holds entry fork_at.
WITH RECURSIVE line (depth, key, last, base, shared) AS (
    SELECT 0, key, last, base, shared FROM ropewalk.run WHERE run_id = %(run_id)s
    UNION ALL
    SELECT line.depth + 1, run.key, run.last, run.base, run.shared
    FROM line JOIN ropewalk.run ON run.key = line.base
    WHERE %(fork_at)s <= line.shared
)
SELECT key, last FROM line ORDER BY depth

-- name: claim
UPDATE ropewalk.run SET epoch = epoch + 1 WHERE run_id = %(run_id)s
RETURNING run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn

-- name: record
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn
FROM ropewalk.run WHERE run_id = %(run_id)s

-- name: read
-- The newest entry's number and the entries asked for: at least one row, with nulls when there are none.
WITH RECURSIVE head AS (
    SELECT key, last, base, shared FROM ropewalk.run WHERE run_id = %(run_id)s
), stretch (key, base, shared, high) AS (
    SELECT key, base, shared, least(last, %(up_to)s::int) FROM head
    UNION ALL
    SELECT run.key, run.base, run.shared, least(stretch.high, stretch.shared)
    FROM stretch JOIN ropewalk.run ON run.key = stretch.base
    WHERE least(stretch.high, stretch.shared) > %(after)s::int
)
SELECT head.last, found.number, found.body
FROM head LEFT JOIN (
    SELECT entry.number, entry.body
    FROM stretch JOIN ropewalk.entry ON entry.run = stretch.key
        AND entry.number > greatest(stretch.shared, %(after)s::int) AND entry.number <= stretch.high
) AS found ON true
ORDER BY found.number

-- name: copy
WITH RECURSIVE head AS (
    SELECT * FROM ropewalk.run WHERE run_id = %(run_id)s
), stretch (key, base, shared, high) AS (
    SELECT key, base, shared, last FROM head
    UNION ALL
    SELECT run.key, run.base, run.shared, least(stretch.high, stretch.shared)
    FROM stretch JOIN ropewalk.run ON run.key = stretch.base
    WHERE least(stretch.high, stretch.shared) > 0
), made AS (
    INSERT INTO ropewalk.run (run_id, graph, plan, status, epoch, last, created, updated, fork_at, shared,
        owner, session)
    SELECT %(new_run_id)s, graph, plan, status, 1, last, created, updated, 0, 0, owner, session FROM head
    ON CONFLICT (run_id) DO NOTHING
    RETURNING key
), written AS (
    INSERT INTO ropewalk.entry (run, number, body)
    SELECT made.key, entry.number, entry.body
    FROM made, stretch JOIN ropewalk.entry ON entry.run = stretch.key
        AND entry.number > stretch.shared AND entry.number <= stretch.high
)
SELECT (SELECT count(*) FROM head), (SELECT count(*) FROM made)

-- name: save_snapshot
-- Keep the newest two.
WITH found AS (
    SELECT key, epoch, last FROM ropewalk.run WHERE run_id = %(run_id)s
), kept AS (
    INSERT INTO ropewalk.snapshot (run, number, body)
    SELECT key, %(number)s, %(body)s FROM found
    WHERE epoch = %(epoch)s AND last >= %(number)s
        AND 2 > (SELECT count(*) FROM ropewalk.snapshot AS newer WHERE newer.run = key AND newer.number > %(number)s)
    ON CONFLICT (run, number) DO UPDATE SET body = EXCLUDED.body
    RETURNING run
), dropped AS (
    DELETE FROM ropewalk.snapshot USING kept
    WHERE snapshot.run = kept.run AND snapshot.number <> %(number)s AND 2 <= (
        (snapshot.number < %(number)s)::int + (
            SELECT count(*) FROM ropewalk.snapshot AS newer
            WHERE newer.run = kept.run AND newer.number > snapshot.number AND newer.number <> %(number)s
        )
    )
)
SELECT key FROM found

-- name: snapshot
SELECT found.number, found.body
FROM ropewalk.run LEFT JOIN LATERAL (
    SELECT number, body FROM ropewalk.snapshot
    WHERE snapshot.run = run.key AND number <= coalesce(%(at)s::int, run.last) ORDER BY number DESC LIMIT 1
) AS found ON true
WHERE run.run_id = %(run_id)s

-- name: place
-- Where a run stands in the listing.
SELECT created, run_id FROM ropewalk.run WHERE run_id = %(run_id)s

-- name: newest
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn
FROM ropewalk.run
WHERE (created, run_id) < (%(created)s, %(run_id)s) AND created >= %(since)s
ORDER BY created DESC, run_id DESC LIMIT %(limit)s

-- name: newest_of_graph
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn
FROM ropewalk.run
WHERE graph = %(graph)s AND (created, run_id) < (%(created)s, %(run_id)s) AND created >= %(since)s
ORDER BY created DESC, run_id DESC LIMIT %(limit)s

-- name: newest_of_statuses
-- Each status is read from its own place in the index, whatever other runs there are.
SELECT found.* FROM unnest(%(statuses)s::text[]) AS wanted (status) CROSS JOIN LATERAL (
    SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn
FROM ropewalk.run
    WHERE run.status = wanted.status AND (created, run_id) < (%(created)s, %(run_id)s) AND created >= %(since)s
    ORDER BY created DESC, run_id DESC LIMIT %(limit)s
) AS found
ORDER BY found.created DESC, found.run_id DESC LIMIT %(limit)s

-- name: newest_of_graph_and_statuses
SELECT found.* FROM unnest(%(statuses)s::text[]) AS wanted (status) CROSS JOIN LATERAL (
    SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn
FROM ropewalk.run
    WHERE run.graph = %(graph)s AND run.status = wanted.status AND (created, run_id) < (%(created)s, %(run_id)s)
        AND created >= %(since)s
    ORDER BY created DESC, run_id DESC LIMIT %(limit)s
) AS found
ORDER BY found.created DESC, found.run_id DESC LIMIT %(limit)s

-- name: newest_of_owner
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn
FROM ropewalk.run
WHERE owner = %(owner)s AND (created, run_id) < (%(created)s, %(run_id)s) AND created >= %(since)s
    AND (%(graph)s::text IS NULL OR graph = %(graph)s) AND (%(session)s::text IS NULL OR session = %(session)s)
ORDER BY created DESC, run_id DESC LIMIT %(limit)s

-- name: newest_of_owner_and_statuses
SELECT found.* FROM unnest(%(statuses)s::text[]) AS wanted (status) CROSS JOIN LATERAL (
    SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn
    FROM ropewalk.run
    WHERE run.owner = %(owner)s AND run.status = wanted.status AND (created, run_id) < (%(created)s, %(run_id)s)
        AND created >= %(since)s
        AND (%(graph)s::text IS NULL OR graph = %(graph)s) AND (%(session)s::text IS NULL OR session = %(session)s)
    ORDER BY created DESC, run_id DESC LIMIT %(limit)s
) AS found
ORDER BY found.created DESC, found.run_id DESC LIMIT %(limit)s

-- name: newest_of_session
-- A session is short: the other filters pick from it.
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn
FROM ropewalk.run
WHERE session = %(session)s AND (created, run_id) < (%(created)s, %(run_id)s) AND created >= %(since)s
    AND (%(graph)s::text IS NULL OR graph = %(graph)s) AND (%(statuses)s::text[] IS NULL OR status = ANY(%(statuses)s))
ORDER BY created DESC, run_id DESC LIMIT %(limit)s

-- name: newest_of_tag
-- The tag's runs in order; the other filters pick from them.
SELECT run.run_id, graph, plan, status, epoch, last, run.created, updated, parent, fork_at, owner, session, turn
FROM ropewalk.tag JOIN ropewalk.run ON run.key = tag.run
WHERE tag.tag = %(tag)s AND (tag.created, tag.run_id) < (%(created)s, %(run_id)s) AND tag.created >= %(since)s
    AND (%(graph)s::text IS NULL OR graph = %(graph)s) AND (%(statuses)s::text[] IS NULL OR status = ANY(%(statuses)s))
    AND (%(owner)s::text IS NULL OR owner = %(owner)s) AND (%(session)s::text IS NULL OR session = %(session)s)
ORDER BY tag.created DESC, tag.run_id DESC LIMIT %(limit)s

-- name: tag
-- Give a run exactly these tags.
WITH found AS (
    SELECT key, created, run_id FROM ropewalk.run WHERE run_id = %(run_id)s
), gone AS (
    DELETE FROM ropewalk.tag USING found WHERE tag.run = found.key AND tag.tag <> ALL(%(tags)s::text[])
), added AS (
    INSERT INTO ropewalk.tag (tag, created, run_id, run)
    SELECT tag, created, run_id, key FROM found, unnest(%(tags)s::text[]) AS tag
    ON CONFLICT DO NOTHING
)
SELECT key FROM found

-- name: one_at_a_time
-- Runs that share entries are taken apart by one at a time.
SELECT pg_advisory_xact_lock(%(first)s::int, %(second)s::int)

-- name: not_meanwhile
-- Nobody takes runs apart while one is forked.
SELECT pg_advisory_xact_lock_shared(%(first)s::int, %(second)s::int)

-- name: stale
-- Runs to prune. Forks have larger keys than their parents, so they come first and need not inherit.
SELECT key, last - shared FROM ropewalk.run
WHERE key < %(below)s AND updated < %(before)s AND status = ANY(%(statuses)s)
    AND (%(graph)s::text IS NULL OR graph = %(graph)s)
ORDER BY key DESC LIMIT %(limit)s

-- name: lock
-- Hold runs that are about to go, so that nobody appends to them meanwhile.
SELECT key FROM ropewalk.run WHERE run_id = %(run_id)s FOR UPDATE

-- name: lock_stale
-- The same for those that nobody has touched since they were listed.
SELECT key FROM ropewalk.run
WHERE key = ANY(%(keys)s) AND updated < %(before)s AND status = ANY(%(statuses)s)
ORDER BY key FOR UPDATE SKIP LOCKED

-- name: parents
SELECT DISTINCT base FROM ropewalk.run WHERE base = ANY(%(keys)s)

-- name: heir
-- The fork that shares most of a run's entries: it receives them when the run goes.
SELECT key, shared FROM ropewalk.run WHERE base = %(key)s ORDER BY shared DESC LIMIT 1

-- name: move_entries
UPDATE ropewalk.entry SET run = %(heir)s WHERE run = %(key)s AND number <= %(shared)s

-- name: rebase_heir
UPDATE ropewalk.run SET (base, shared) = (SELECT gone.base, gone.shared FROM ropewalk.run AS gone WHERE gone.key = %(key)s)
WHERE key = %(heir)s

-- name: rebase_forks
UPDATE ropewalk.run SET base = %(heir)s WHERE base = %(key)s

-- name: delete
WITH entries AS (
    DELETE FROM ropewalk.entry WHERE run = ANY(%(keys)s)
), snapshots AS (
    DELETE FROM ropewalk.snapshot WHERE run = ANY(%(keys)s)
), tags AS (
    DELETE FROM ropewalk.tag WHERE run = ANY(%(keys)s)
), works AS (
    DELETE FROM ropewalk.work WHERE run = ANY(%(keys)s)
)
DELETE FROM ropewalk.run WHERE key = ANY(%(keys)s)

-- name: take
-- Give due runs to a worker, the longest waiting of each graph in turn. Whoever comes at the same time is passed over,
-- and so is what it does without. NOT IN is a hash that leaves the index in order; an anti join would read all that is due.
WITH due AS (
    SELECT waiting.*, wanted.graph
    FROM unnest(%(graphs)s::text[]) AS wanted (graph) CROSS JOIN LATERAL (
        SELECT work.run, work.wake_at, CASE WHEN work.epoch = run.epoch THEN work.worker END AS worker
        FROM ropewalk.work JOIN ropewalk.run ON run.key = work.run
        WHERE work.graph = wanted.graph AND work.wake_at <= statement_timestamp() AND (run.run_id, run.last) NOT IN (
            SELECT run_id, last FROM unnest(%(without)s::text[], %(lasts)s::int[]) AS without (run_id, last)
        )
        ORDER BY work.wake_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
    ) AS waiting
), chosen AS (
    SELECT run, worker FROM due
    ORDER BY row_number() OVER (PARTITION BY graph ORDER BY wake_at), wake_at LIMIT %(limit)s
), raised AS (
    UPDATE ropewalk.run SET epoch = epoch + 1 FROM chosen WHERE run.key = chosen.run
    RETURNING run.*, chosen.worker
), leased AS (
    UPDATE ropewalk.work
    SET worker = %(worker)s, epoch = raised.epoch, wake_at = clock_timestamp() + make_interval(secs => %(ttl)s)
    FROM raised WHERE work.run = raised.key
)
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn, worker,
    NOT EXISTS (
        SELECT FROM ropewalk.run AS ahead
        WHERE ahead.session = raised.session AND coalesce('=' || ahead.owner, '') = coalesce('=' || raised.owner, '')
            AND ahead.turn IS NOT NULL AND ahead.status = 'RUNNING' AND ahead.turn < raised.turn
    ),
    log.bodies
FROM raised LEFT JOIN LATERAL (  -- what is short comes along; as it was when the statement began: its length tells
    SELECT array_agg(entry.body ORDER BY entry.number) AS bodies FROM ropewalk.entry
    WHERE entry.run = raised.key AND raised.base IS NULL AND raised.last <= %(entries)s
    HAVING sum(octet_length(entry.body)) <= %(bytes)s
) AS log ON true

-- name: hold
-- Give one run to a worker, if it is due; of one that the worker has, prolong the lease. The run is locked before its
-- work, as an append does.
WITH found AS (
    SELECT key, epoch FROM ropewalk.run WHERE run_id = %(run_id)s FOR NO KEY UPDATE
), chosen AS (
    SELECT work.run, coalesce(work.worker = %(worker)s AND work.epoch = found.epoch, false) AS is_its_own,
        CASE WHEN work.epoch = found.epoch AND work.worker <> %(worker)s THEN work.worker END AS worker
    FROM found JOIN ropewalk.work ON work.run = found.key
    WHERE work.wake_at <= clock_timestamp() OR (work.worker = %(worker)s AND work.epoch = found.epoch)
    FOR NO KEY UPDATE OF work
), raised AS (
    UPDATE ropewalk.run SET epoch = epoch + (NOT chosen.is_its_own)::int FROM chosen WHERE run.key = chosen.run
    RETURNING run.*, chosen.worker
), leased AS (
    UPDATE ropewalk.work
    SET worker = %(worker)s, epoch = raised.epoch, wake_at = clock_timestamp() + make_interval(secs => %(ttl)s)
    FROM raised WHERE work.run = raised.key
)
SELECT run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn, worker
FROM raised

-- name: wake
-- Make a run due that was set for later.
UPDATE ropewalk.work SET wake_at = clock_timestamp()
FROM ropewalk.run
WHERE run.run_id = %(run_id)s AND work.run = run.key AND work.worker IS NULL AND work.wake_at > clock_timestamp()
RETURNING work.graph

-- name: wake_next
-- Make the runs due whose turn has come in the sessions of these, which have stopped.
UPDATE ropewalk.work SET wake_at = clock_timestamp()
FROM unnest(%(run_ids)s::text[]) AS stopped (run_id) JOIN ropewalk.run USING (run_id) CROSS JOIN LATERAL (
    SELECT following.key FROM ropewalk.run AS following
    WHERE following.session = run.session
        AND coalesce('=' || following.owner, '') = coalesce('=' || run.owner, '')
        AND following.turn IS NOT NULL AND following.status = 'RUNNING'
    ORDER BY following.turn LIMIT 1
) AS following
WHERE work.run = following.key AND following.key <> run.key
    AND work.worker IS NULL AND work.wake_at > clock_timestamp()
RETURNING work.graph

-- name: renew
-- Prolong leases that nobody has taken; an answer is one that the worker still has.
WITH held AS (
    SELECT work.run
    FROM unnest(%(run_ids)s::text[], %(epochs)s::int[]) AS claimed (run_id, epoch)
    JOIN ropewalk.run ON run.run_id = claimed.run_id AND run.epoch = claimed.epoch
    JOIN ropewalk.work ON work.run = run.key AND work.epoch = run.epoch AND work.worker = %(worker)s
    ORDER BY work.run FOR UPDATE OF work
), renewed AS (
    UPDATE ropewalk.work SET wake_at = clock_timestamp() + make_interval(secs => %(ttl)s)
    FROM held WHERE work.run = held.run
    RETURNING work.run
)
SELECT run.run_id FROM renewed JOIN ropewalk.run ON run.key = renewed.run

-- name: release
-- Give runs back, to be taken at once or later.
UPDATE ropewalk.work
SET worker = NULL, wake_at = clock_timestamp() + make_interval(secs => %(wake_in)s)
FROM unnest(%(run_ids)s::text[], %(epochs)s::int[]) AS claimed (run_id, epoch)
JOIN ropewalk.run ON run.run_id = claimed.run_id AND run.epoch = claimed.epoch
WHERE work.run = run.key AND work.epoch = run.epoch AND work.worker = %(worker)s
RETURNING work.graph

-- name: adopt
-- Leave a run to workers that was driven without them.
WITH found AS (
    UPDATE ropewalk.run SET for_workers = true WHERE run_id = %(run_id)s RETURNING key, graph, status
), woken AS (
    INSERT INTO ropewalk.work (run, graph, wake_at)
    SELECT key, graph, clock_timestamp() FROM found WHERE status = 'RUNNING'
    ON CONFLICT (run) DO NOTHING
)
SELECT graph FROM found

-- name: queued
-- Where a run that was left to workers stands in the queue.
SELECT run.run_id, run.graph, work.worker, extract(epoch FROM clock_timestamp() - work.wake_at)::float8
FROM ropewalk.run LEFT JOIN ropewalk.work ON work.run = run.key
WHERE run.run_id = %(run_id)s AND run.for_workers

-- name: overdue
-- Runs that have been due for so long, the longest waiting first. The queue holds what moves, so it is read whole.
SELECT run.run_id, run.graph, work.worker, extract(epoch FROM clock_timestamp() - work.wake_at)::float8
FROM ropewalk.work JOIN ropewalk.run ON run.key = work.run
WHERE work.wake_at < clock_timestamp() - make_interval(secs => %(seconds)s)
ORDER BY work.wake_at LIMIT %(limit)s

-- name: next_wake
-- Seconds until a run of these graphs is due, of those that `take` would not pass over.
SELECT extract(epoch FROM min(soonest.wake_at) - clock_timestamp())::float8
FROM unnest(%(graphs)s::text[]) AS wanted (graph) CROSS JOIN LATERAL (
    SELECT work.wake_at FROM ropewalk.work JOIN ropewalk.run ON run.key = work.run
    WHERE work.graph = wanted.graph AND (run.run_id, run.last) NOT IN (
        SELECT run_id, last FROM unnest(%(without)s::text[], %(lasts)s::int[]) AS without (run_id, last)
    )
    ORDER BY work.wake_at LIMIT 1
) AS soonest

-- name: stranded
-- Runs left to workers that have no reason to move.
SELECT run_id FROM ropewalk.run
WHERE status = 'RUNNING' AND for_workers AND NOT EXISTS (SELECT FROM ropewalk.work WHERE work.run = run.key)
ORDER BY created LIMIT %(limit)s

-- name: announce
SELECT pg_notify('ropewalk_work', left(graph, 200)) FROM unnest(%(graphs)s::text[]) AS graph
