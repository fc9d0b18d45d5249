-- Runs, their logs, and caches of their folds.

-- One row a run. `key` stands for it in the other tables, so that their rows stay small.
-- parent and fork_at are what the run was admitted with. base and shared say where its first entries lie now: entries
-- 1..shared are those of the run `base` (and of its base, and so on), later ones its own. base changes when a parent goes.
CREATE TABLE run (
    key INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    graph TEXT NOT NULL,
    plan TEXT NOT NULL,
    status TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    last INTEGER NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    parent TEXT,
    fork_at INTEGER NOT NULL,
    base INTEGER,
    shared INTEGER NOT NULL
) STRICT;

CREATE INDEX run_newest ON run (created, run_id);
CREATE INDEX run_newest_of_graph ON run (graph, created, run_id);
CREATE INDEX run_newest_of_status ON run (status, created, run_id);
CREATE INDEX run_forks ON run (base, shared) WHERE base IS NOT NULL;

-- The logs. Rows lie in the order of their arrival and the index finds them: a batch of appends to a hundred runs then
-- fills a few pages. Clustered by run (WITHOUT ROWID) it would change a page for each, at 1.6 times the cost (measured).
CREATE TABLE entry (
    run INTEGER NOT NULL,
    number INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run, number)
) STRICT;

CREATE TABLE snapshot (
    run INTEGER NOT NULL,
    number INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run, number)
) STRICT;
