-- Whose runs they are, and which conversation they belong to.

-- Programs that know nothing of the columns go on: they name the columns they write. Runs of nobody cost the indexes nothing.
ALTER TABLE run ADD COLUMN owner TEXT;
ALTER TABLE run ADD COLUMN session TEXT;

CREATE INDEX run_newest_of_owner ON run (owner, created, run_id) WHERE owner IS NOT NULL;
CREATE INDEX run_newest_of_owner_and_status ON run (owner, status, created, run_id) WHERE owner IS NOT NULL;
CREATE INDEX run_newest_of_session ON run (session, created, run_id) WHERE session IS NOT NULL;
