-- least: 1
-- Whose runs they are, and which conversation they belong to.

-- Programs that know nothing of the columns go on: they name the columns they write. Runs of nobody cost the indexes nothing.
ALTER TABLE ropewalk.run ADD COLUMN owner text COLLATE "C";
ALTER TABLE ropewalk.run ADD COLUMN session text COLLATE "C";

CREATE INDEX run_newest_of_owner ON ropewalk.run (owner, created, run_id) WHERE owner IS NOT NULL;
CREATE INDEX run_newest_of_owner_and_status ON ropewalk.run (owner, status, created, run_id) WHERE owner IS NOT NULL;
CREATE INDEX run_newest_of_session ON ropewalk.run (session, created, run_id) WHERE session IS NOT NULL;
