-- least: 1
-- Runs, their logs, caches of their folds, and the tags people find them by.

-- One row a run. `key` stands for it in the other tables, so that their rows stay small; it grows with time, so that
-- what is written together lies together and old entries are pruned from the old end of the index.
-- parent and fork_at are what the run was admitted with. base and shared say where its first entries lie now: entries
-- 1..shared are those of the run `base` (and of its base, and so on), later ones its own. base changes when a parent goes.
-- What every append changes (last, updated) is in no index and the pages keep room: such an update touches one page.
CREATE TABLE ropewalk.run (
    key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created double precision NOT NULL,
    updated double precision NOT NULL,
    base bigint,
    shared integer NOT NULL,
    epoch integer NOT NULL,
    last integer NOT NULL,
    fork_at integer NOT NULL,
    for_workers boolean NOT NULL DEFAULT false,
    run_id text COLLATE "C" NOT NULL UNIQUE,
    graph text COLLATE "C" NOT NULL,
    plan text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    parent text COLLATE "C"
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX run_newest ON ropewalk.run (created, run_id);
CREATE INDEX run_newest_of_graph ON ropewalk.run (graph, created, run_id);
CREATE INDEX run_newest_of_status ON ropewalk.run (status, created, run_id);
CREATE INDEX run_newest_of_graph_and_status ON ropewalk.run (graph, status, created, run_id);
CREATE INDEX run_forks ON ropewalk.run (base, shared) WHERE base IS NOT NULL;

-- The logs. One index finds an entry and deletes a run's.
CREATE TABLE ropewalk.entry (
    run bigint NOT NULL,
    number integer NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (run, number)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

CREATE TABLE ropewalk.snapshot (
    run bigint NOT NULL,
    number integer NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (run, number)
);

-- created and run_id are the run's: a tag's runs are read in the order of the listing.
CREATE TABLE ropewalk.tag (
    tag text COLLATE "C" NOT NULL,
    created double precision NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    run bigint NOT NULL,
    PRIMARY KEY (tag, created, run_id)
);

CREATE INDEX tag_of_run ON ropewalk.tag (run);
