-- least: 1
-- Which of its session's runs a run is.

-- Programs that know nothing of the column go on: they name the columns they write. The expression keeps runs of nobody
-- apart from those of an owner without a name; nulls would all be different.
ALTER TABLE ropewalk.run ADD COLUMN turn integer;

CREATE UNIQUE INDEX run_turn ON ropewalk.run (session, coalesce('=' || owner, ''), turn) WHERE turn IS NOT NULL;
CREATE INDEX run_whose_turn ON ropewalk.run (session, coalesce('=' || owner, ''), turn)
WHERE turn IS NOT NULL AND status = 'RUNNING';
