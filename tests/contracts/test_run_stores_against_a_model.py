"""Run stores answer like a small model, whatever is done to them in whatever order by two owners."""

import asyncio
import tempfile
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ropewalk.contracts import NewRun, RunRecord
from ropewalk.errors import RunError, RunExists, RunNotFound, RunTaken, TurnTaken
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore

HOUR = timedelta(hours=1)
NOW = time.time()


@dataclass
class Run:
    record: RunRecord
    log: list[bytes]
    snapshots: dict[int, bytes] = field(default_factory=dict)


class Model:
    def __init__(self):
        self.all: dict[str, Run] = {}

    def find(self, run_id):
        if run_id not in self.all:
            raise RunNotFound(run_id)
        return self.all[run_id]

    def create(self, run, bodies):
        if run.run_id in self.all:
            raise RunExists(run.run_id)
        log = self.find(run.parent).log[: run.fork_at] if run.parent else []
        if len(log) < run.fork_at:
            raise RunNotFound(run.parent)
        if run.turn is not None and run.turn in self.turns(run.owner, run.session):
            raise TurnTaken(run.run_id, run.session, run.turn)
        told = {name: getattr(run, name) for name in TOLD}
        last = len(log) + len(bodies)
        self.all[run.run_id] = Run(
            RunRecord(**told, epoch=1, last=last, created=run.at, updated=run.at), [*log, *bodies]
        )
        return 1

    def turns(self, owner, session):
        records = [run.record for run in self.all.values() if run.record.turn is not None]
        return {record.turn: record for record in records if (record.owner, record.session) == (owner, session)}

    def last_turn(self, *, owner, session):
        return max(self.turns(owner, session), default=0)

    def whose_turn(self, *, owner, session):
        return next((one for _, one in sorted(self.turns(owner, session).items()) if one.status == "RUNNING"), None)

    def append(self, run_id, *, epoch, after, bodies, status, at):
        run = self.find(run_id)
        if (epoch, after) != (run.record.epoch, len(run.log)):
            raise RunTaken(run_id)
        run.log += bodies
        run.record = replace(run.record, last=len(run.log), status=status, updated=at)

    def claim(self, run_id):
        run = self.find(run_id)
        run.record = replace(run.record, epoch=run.record.epoch + 1)
        return run.record

    def look(self, run_id):
        return self.find(run_id).record

    def read(self, run_id, *, after=0, limit=None):
        return [*enumerate(self.find(run_id).log, 1)][after:][:limit]

    def runs(self, *, graph=None, statuses=None, after=None, limit=100):
        key = lambda record: (record.created, record.run_id)  # noqa: E731
        records = sorted((run.record for run in self.all.values()), key=key, reverse=True)
        records = [record for record in records if after is None or key(record) < key(self.look(after))]
        records = [record for record in records if graph in (None, record.graph)]
        return [record for record in records if statuses is None or record.status in statuses][:limit]

    def save_snapshot(self, run_id, *, epoch, number, body):
        run = self.find(run_id)
        if epoch == run.record.epoch and number <= len(run.log):
            run.snapshots = dict(sorted((run.snapshots | {number: body}).items())[-2:])

    def snapshot(self, run_id, *, at=None):
        kept = [item for item in self.find(run_id).snapshots.items() if at is None or item[0] <= at]
        return max(kept, default=None)

    def copy(self, run_id, new_run_id):
        run = self.find(run_id)
        if new_run_id in self.all:
            raise RunExists(new_run_id)
        record = replace(run.record, run_id=new_run_id, epoch=1, parent=None, fork_at=0, turn=None)
        self.all[new_run_id] = Run(record, [*run.log])

    def delete(self, run_id):
        self.find(run_id)
        del self.all[run_id]

    def prune(self, older_than, statuses=None):
        wanted = ("DONE", "FAILED", "CANCELLED") if statuses is None else statuses
        before = NOW - older_than.total_seconds()
        stale = [name for name, run in self.all.items() if run.record.updated < before and run.record.status in wanted]
        for name in stale:
            del self.all[name]
        return len(stale)


TOLD = ("run_id", "graph", "plan", "status", "parent", "fork_at", "owner", "session", "turn")
ids = st.sampled_from("abcde")
ages = st.sampled_from([0.0, 60.0, 7200.0, 9000.0])
statuses = st.sampled_from(["RUNNING", "PAUSED", "DONE", "FAILED"])
bodies = st.lists(st.binary(max_size=4), max_size=4)
numbers = st.integers(0, 7)
people = st.sampled_from([None, "ann"])
turns = st.integers(1, 3)


class StoreAndModel(RuleBasedStateMachine):
    """Each step is done to the model and, by one of two owners, to the store; both must answer the same."""

    def open(self):
        raise NotImplementedError

    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.model = Model()
        first = self.open()
        self.stores = [first, first if isinstance(first, MemoryRunStore) else self.open()]

    def both(self, of, call, /, *args, **kwargs):
        try:
            expected = getattr(self.model, call)(*args, **kwargs)
        except RunError as error:
            with pytest.raises(type(error)):
                self.do(of, call, *args, **kwargs)
        else:
            assert self.do(of, call, *args, **kwargs) == expected

    def do(self, of, call, /, *args, **kwargs):
        async def done():
            return await getattr(self.stores[of], call)(*args, **kwargs)

        return self.runner.run(done())

    owners = st.integers(0, 1)

    @rule(
        owner=owners,
        run_id=ids,
        bodies=bodies,
        status=statuses,
        age=ages,
        graph=st.sampled_from("gh"),
        whose=people,
        turn=st.none() | turns,
    )
    def create(self, owner, run_id, bodies, status, age, graph, whose, turn):
        told = {"graph": graph, "plan": "p", "status": status, "at": NOW - age, "owner": whose, "session": "s"}
        self.both(owner, "create", NewRun(run_id=run_id, turn=turn, **told), bodies)

    @rule(owner=owners, whose=people)
    def turns_of(self, owner, whose):
        self.both(owner, "last_turn", owner=whose, session="s")
        self.both(owner, "whose_turn", owner=whose, session="s")

    @rule(owner=owners, run_id=ids, parent=ids, fork_at=numbers, bodies=bodies, age=ages)
    def fork(self, owner, run_id, parent, fork_at, bodies, age):
        run = NewRun(run_id=run_id, graph="g", plan="p", status="DONE", at=NOW - age, parent=parent, fork_at=fork_at)
        self.both(owner, "create", run, bodies)

    @rule(owner=owners, run_id=ids, bodies=bodies, status=statuses, age=ages)
    def append(self, owner, run_id, bodies, status, age):
        epoch, after = 1, 0
        if run_id in self.model.all:
            epoch, after = self.model.look(run_id).epoch, self.model.look(run_id).last
        self.both(owner, "append", run_id, epoch=epoch, after=after, bodies=bodies, status=status, at=NOW - age)

    @rule(owner=owners, run_id=ids, epoch=st.integers(0, 4), after=numbers)
    def append_anywhere(self, owner, run_id, epoch, after):
        self.both(owner, "append", run_id, epoch=epoch, after=after, bodies=[b"?"], status="DONE", at=NOW)

    @rule(owner=owners, run_id=ids)
    def claim(self, owner, run_id):
        self.both(owner, "claim", run_id)

    @rule(owner=owners, run_id=ids, after=numbers, limit=st.none() | numbers)
    def read(self, owner, run_id, after, limit):
        self.both(owner, "read", run_id, after=after, limit=limit)

    @rule(
        owner=owners,
        run_id=ids,
        too_late=st.sampled_from([0, 0, 0, 1]),
        number=st.integers(1, 7),
        body=st.binary(max_size=2),
    )
    def save_snapshot(self, owner, run_id, too_late, number, body):
        epoch = self.model.look(run_id).epoch if run_id in self.model.all else 1
        self.both(owner, "save_snapshot", run_id, epoch=epoch - too_late, number=number, body=body)

    @rule(owner=owners, run_id=ids, at=st.none() | numbers)
    def snapshot(self, owner, run_id, at):
        self.both(owner, "snapshot", run_id, at=at)

    @rule(owner=owners, run_id=ids, new_run_id=ids)
    def copy(self, owner, run_id, new_run_id):
        self.both(owner, "copy", run_id, new_run_id)

    @rule(owner=owners, run_id=ids)
    def delete(self, owner, run_id):
        self.both(owner, "delete", run_id)

    @rule(owner=owners, wanted=st.none() | st.lists(statuses, max_size=3))
    def prune(self, owner, wanted):
        self.both(owner, "prune", HOUR, wanted)

    @rule(
        owner=owners,
        graph=st.sampled_from([None, "g", "h"]),
        wanted=st.none() | st.lists(statuses, max_size=3),
        after=st.none() | ids,
        limit=st.integers(0, 7),
    )
    def list(self, owner, graph, wanted, after, limit):
        if after is None or after in self.model.all:
            self.both(owner, "runs", graph=graph, statuses=wanted, after=after, limit=limit)

    @rule(owner=owners)
    def reopen(self, owner):
        if not isinstance(self.stores[owner], MemoryRunStore):
            self.do(owner, "close")
            self.stores[owner] = self.open()

    @invariant()
    def every_log_is_what_the_model_says(self):
        for run_id in self.model.all:
            self.both(1, "read", run_id)
            self.both(1, "snapshot", run_id)
        self.both(0, "runs")

    def teardown(self):
        if hasattr(self, "runner"):
            for owner in (0, 1):
                self.do(owner, "close")
            self.runner.close()
            self.folder.cleanup()


class MemoryAndModel(StoreAndModel):
    def open(self):
        return MemoryRunStore()


class SqliteAndModel(StoreAndModel):
    def open(self):
        return SqliteRunStore(Path(self.folder.name) / "runs.db", durability="normal")


@pytest.mark.slow
@pytest.mark.parametrize("machine", [MemoryAndModel, SqliteAndModel])
def test_a_store_and_the_model_answer_the_same(machine):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
