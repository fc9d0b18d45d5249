"""A PostgreSQL store in trouble: tries again where that is safe, else tells it in our words; nothing is lost."""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import psycopg
import pytest

from ropewalk.errors import RopewalkError, RunExists, RunTaken, StoreReadOnly, StoreUnavailable, TurnTaken
from ropewalk.stores.postgres import PostgresRunStore
from ropewalk.stores.postgres_server import Session
from ropewalk.testing.store_checks import admit, log, new_run, write


@asynccontextmanager
async def opened(url, **options):
    asked = "&".join(f"{name}={value}" for name, value in options.items())
    store = PostgresRunStore(f"{url}{'?' if asked else ''}{asked}")
    try:
        yield store
    finally:
        await store.close()


async def asked(url, statement, *parameters):
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement, parameters or None)
        return await cursor.fetchall() if cursor.description else []


async def until(condition):
    while not await condition():
        await asyncio.sleep(0.01)


class Wire:
    """Stands between the store and its server; ``deaf`` loses what the server answers, once, and hangs up."""

    def __init__(self, url):
        self.host, self.port = urlsplit(url).hostname, urlsplit(url).port
        self.url = url
        self.deaf = self.dead = False
        self.cut = 0
        self.wires = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.connect, "127.0.0.1")
        port = self.server.sockets[0].getsockname()[1]
        parts = urlsplit(self.url)
        self.url = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()
        return self

    def hang_up(self):
        for writer in self.wires:
            writer.close()

    async def __aexit__(self, *_):
        self.server.close()
        self.hang_up()
        await asyncio.sleep(0.05)

    async def connect(self, reader, writer):
        if self.dead:
            writer.close()
            return
        there, out = await asyncio.open_connection(self.host, self.port)
        self.wires |= {writer, out}
        await asyncio.gather(self.carry(reader, out, False), self.carry(there, writer, True))

    async def carry(self, reader, writer, answers):
        try:
            while data := await reader.read(65536):
                if answers and self.deaf:
                    self.deaf = False
                    self.cut += 1
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        for end in (writer, getattr(reader, "_transport", writer)):
            end.close()


def test_an_append_whose_acknowledgement_was_lost_is_found_written(postgres_url):
    async def scenario():
        async with Wire(postgres_url) as wire, opened(wire.url) as store:
            await admit(store, "r", [])
            await write(store, "r", b"0", after=0)
            for i in range(1, 6):
                wire.deaf = True
                await write(store, "r", b"%d" % i, b"and more", after=2 * i - 1)
                assert wire.cut == i
            wire.deaf = True
            await write(store, "r", after=11, status="PAUSED")
            assert (await log(store, "r"))[-2:] == [b"5", b"and more"]
            record = await store.look("r")
            assert (record.last, record.status) == (11, "PAUSED")

    asyncio.run(scenario())


def test_of_two_owners_one_is_refused_though_its_connection_broke(postgres_url):
    async def scenario():
        async with Wire(postgres_url) as wire, opened(wire.url) as store, opened(postgres_url) as other:
            await admit(store, "r", [])
            await write(store, "r", b"0", after=0)
            await other.claim("r")
            await write(other, "r", b"the other's", after=1, epoch=2)
            wire.deaf = True
            with pytest.raises(RunTaken):
                await write(store, "r", b"mine", after=1)
            assert wire.cut == 1
            assert await log(store, "r") == [b"0", b"the other's"]

    asyncio.run(scenario())


def test_what_is_written_besides_appends_is_found_written_too(postgres_url):
    async def scenario():
        async with Wire(postgres_url) as wire, opened(wire.url) as store:
            await admit(store, "first")
            calls = [
                lambda: store.create(new_run("r"), [b"a", b"b"]),
                lambda: store.create(new_run("f", parent="r", fork_at=1), [b"c"]),
                lambda: store.copy("r", "copied"),
                lambda: store.save_snapshot("r", epoch=1, number=2, body=b"s"),
                lambda: store.delete("first"),
            ]
            for cut, call in enumerate(calls, 1):
                wire.deaf = True
                await call()
                assert wire.cut == cut
            assert [await log(store, name) for name in ("r", "f", "copied")] == [
                [b"a", b"b"],
                [b"a", b"c"],
                [b"a", b"b"],
            ]
            assert await store.snapshot("r") == (2, b"s")
            await admit(store, "s", [b"another's"])
            wire.deaf = True
            with pytest.raises(RunExists):
                await store.create(new_run("s"), [b"mine"])

    asyncio.run(scenario())


def test_a_submission_whose_acknowledgement_was_lost_is_ours_though_a_worker_has_it_by_now(postgres_url):
    async def scenario():
        async with Wire(postgres_url) as wire, opened(wire.url) as store, opened(postgres_url) as other:
            await admit(store, "first")
            wire.deaf = wire.dead = True
            submitting = asyncio.create_task(store.queue().submit(new_run("r"), [b"mine"]))

            async def claimed():
                return await other.queue().claim("w", graphs=["g"], ttl_seconds=30)

            await until(claimed)
            await write(other, "r", b"of the worker", after=1, epoch=2, status="DONE")
            wire.dead = False
            assert await submitting == 1
            with pytest.raises(RunExists):
                await store.create(new_run("r"), [b"mine"])

    asyncio.run(scenario())


def test_of_many_admissions_whose_acknowledgement_was_lost_each_is_judged_by_itself(postgres_url):
    async def scenario():
        async with Wire(postgres_url) as wire, opened(wire.url) as store, opened(postgres_url) as other:
            await admit(other, "run3", [b"theirs"])
            await admit(store, "first")
            wire.deaf = True
            tries = [admit(store, f"run{i}", [b"mine"] * (1 + i % 3)) for i in range(20)]
            results = await asyncio.gather(*tries, return_exceptions=True)
            assert wire.cut == 1
            assert [i for i in range(20) if results[i] is not None] == [3]
            assert isinstance(results[3], RunExists)
            assert [await log(store, f"run{i}") for i in range(20) if i != 3] == [
                [b"mine"] * (1 + i % 3) for i in range(20) if i != 3
            ]

    asyncio.run(scenario())


def test_a_turn_whose_acknowledgement_was_lost_is_ours_and_another_creators_is_not(postgres_url):
    async def scenario():
        async with Wire(postgres_url) as wire, opened(wire.url) as store, opened(postgres_url) as other:
            await admit(store, "theirs", session="s1", turn=1)
            wire.deaf = True
            tries = [admit(store, f"run{i}", [b"mine"], session=f"s{i}", turn=1) for i in range(4)]
            results = await asyncio.gather(*tries, return_exceptions=True)
            assert wire.cut == 1
            assert [i for i in range(4) if results[i] is not None] == [1]
            assert isinstance(results[1], TurnTaken)
            assert {record.run_id for record in await other.runs()} == {"theirs", "run0", "run2", "run3"}

    asyncio.run(scenario())


def test_a_server_that_does_not_come_back_is_told_with_what_may_be_there(postgres_url):
    async def scenario():
        async with Wire(postgres_url) as wire, opened(wire.url, patience=0.5) as store:
            await admit(store, "r", [])
            await write(store, "r", b"0", after=0)
            wire.deaf = wire.dead = True
            with pytest.raises(StoreUnavailable, match="may have been carried out"):
                await write(store, "r", b"1", after=1)
            wire.hang_up()
            with pytest.raises(StoreUnavailable, match="Nothing of this call was written"):
                await store.read("r")
            wire.dead = False
            assert await log(store, "r") == [b"0", b"1"]

    asyncio.run(scenario())


async def drive(store, run_id, steps, done):
    """Append one by one like an owner who gives up at the first error that is not ours to survive."""
    for i in range(steps):
        await write(store, run_id, b"%s %d" % (run_id.encode(), i), after=i)
        done.append(run_id)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["restart", "kill"])
def test_runs_go_on_over_a_server_that_restarts_under_load(own_postgres, way):
    async def scenario():
        async with opened(own_postgres.url) as store:
            names = [f"run{i}" for i in range(50)]
            await asyncio.gather(*[admit(store, name, []) for name in names])
            done = []
            driving = asyncio.gather(*[drive(store, name, 60, done) for name in names])
            for share in (500, 1500):
                while len(done) < share:
                    await asyncio.sleep(0.005)
                if way == "kill":
                    await asyncio.to_thread(own_postgres.kill)
                    await asyncio.to_thread(own_postgres.start)
                else:
                    await asyncio.to_thread(own_postgres.restart)
            await driving
            for name in names:
                assert await log(store, name) == [b"%s %d" % (name.encode(), i) for i in range(60)]

    asyncio.run(scenario())


@pytest.mark.slow
def test_runs_go_on_though_their_sessions_are_ended_all_the_time(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            names = [f"run{i}" for i in range(20)]
            await asyncio.gather(*[admit(store, name, []) for name in names])
            driving = asyncio.gather(*[drive(store, name, 100, []) for name in names])
            ended = 0
            while not driving.done():
                rows = await asked(
                    postgres_url,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'ropewalk' AND datname = current_database()",
                )
                ended += len(rows)
                await asyncio.sleep(0.02)
            await driving
            assert ended > 3
            for name in names:
                assert await log(store, name) == [b"%s %d" % (name.encode(), i) for i in range(100)]

    asyncio.run(scenario())


def test_a_run_that_somebody_locks_keeps_nobody_else_waiting(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            await asyncio.gather(*[admit(store, f"run{i}", []) for i in range(10)])
            async with await psycopg.AsyncConnection.connect(postgres_url) as other:
                await other.execute("SELECT FROM ropewalk.run WHERE run_id = 'run3' FOR UPDATE")
                tasks = [asyncio.create_task(write(store, f"run{i}", b"x", after=0)) for i in range(10)]
                _, pending = await asyncio.wait(tasks, timeout=5)
                assert pending == {tasks[3]}
                second = asyncio.create_task(write(store, "run3", b"y", after=1))
                await write(store, "run4", b"y", after=1)
                await other.rollback()
            await asyncio.gather(*tasks, second)
            assert await log(store, "run3") == [b"x", b"y"]

    asyncio.run(scenario())


def test_an_admission_that_somebody_holds_up_keeps_nobody_else_waiting(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            await admit(store, "first")
            async with await psycopg.AsyncConnection.connect(postgres_url) as other:
                await other.execute(
                    "INSERT INTO ropewalk.run "
                    "(run_id, graph, plan, status, epoch, last, created, updated, fork_at, shared) "
                    "VALUES ('run3', 'g', 'p1', 'RUNNING', 1, 0, 0, 0, 0, 0)"
                )
                tasks = [asyncio.create_task(admit(store, f"run{i}", [b"x"])) for i in range(10)]
                _, pending = await asyncio.wait(tasks, timeout=5)
                assert pending == {tasks[3]}
                second = asyncio.create_task(admit(store, "run3", [b"y"]))
                await admit(store, "run10")
                await other.rollback()
            await tasks[3]
            with pytest.raises(RunExists):
                await second
            assert await log(store, "run3") == [b"x"]

    asyncio.run(scenario())


def test_a_lock_that_is_never_given_back_is_told(postgres_url):
    async def scenario():
        async with opened(postgres_url, patience=0.3) as store:
            await admit(store, "r", [])
            async with await psycopg.AsyncConnection.connect(postgres_url) as other:
                await other.execute("SELECT FROM ropewalk.run FOR UPDATE")
                with pytest.raises(StoreUnavailable, match="long transaction"):
                    await store.claim("r")
            assert (await store.claim("r")).epoch == 2

    asyncio.run(scenario())


def test_a_look_at_what_was_refused_that_is_cancelled_changes_nobodys_fate(postgres_url, monkeypatch):
    cancelled = []
    rows = Session.rows

    async def cancelled_once(self, name, **parameters):
        if name == "why_refused" and not cancelled:
            cancelled.append(name)
            await self.connection.execute("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)")
        return await rows(self, name, **parameters)

    monkeypatch.setattr(Session, "rows", cancelled_once)

    async def scenario():
        async with opened(postgres_url) as store:
            await asyncio.gather(*[admit(store, f"run{i}", []) for i in range(3)])
            tries = [write(store, f"run{i}", b"x", after=5 if i == 1 else 0) for i in range(3)]
            results = await asyncio.gather(*tries, return_exceptions=True)
            assert cancelled
            assert [type(result) for result in results] == [type(None), RunTaken, type(None)]
            assert [len(await log(store, f"run{i}")) for i in range(3)] == [1, 0, 1]

    asyncio.run(scenario())


def test_a_deadlock_is_tried_again(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            await admit(store, "a", [])
            await admit(store, "b", [])
            async with await psycopg.AsyncConnection.connect(postgres_url) as other:
                await other.execute("SET deadlock_timeout = '10s'")  # so that the store's side is the one to be undone
                await other.execute("SELECT FROM ropewalk.run WHERE run_id = 'b' FOR UPDATE")

                async def both(session):
                    async with session.connection.transaction():
                        await session.do("claim", run_id="a")
                        await session.do("claim", run_id="b")

                claiming = asyncio.create_task(store.do(both))

                async def waits():
                    return await asked(
                        postgres_url,
                        "SELECT 1 FROM pg_stat_activity "
                        "WHERE wait_event_type = 'Lock' AND application_name = 'ropewalk'",
                    )

                await until(waits)
                await other.execute("SELECT FROM ropewalk.run WHERE run_id = 'a' FOR UPDATE")
                await other.rollback()
            await claiming
            assert [(await store.look(name)).epoch for name in "ab"] == [2, 2]

    asyncio.run(scenario())


def test_of_owners_who_fight_over_many_runs_each_time_one_wins(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store, opened(postgres_url) as other:
            names = [f"run{i}" for i in range(60)]
            await asyncio.gather(*[admit(store, name, []) for name in names])
            for after in range(10):
                tries = [write(store, name, b"a", after=after) for name in names]
                tries += [write(other, name, b"b", after=after) for name in reversed(names)]
                results = await asyncio.gather(*tries, return_exceptions=True)
                for mine, theirs in zip(results[:60], reversed(results[60:]), strict=True):
                    assert {type(mine), type(theirs)} == {type(None), RunTaken}
            assert {len(await log(store, name)) for name in names} == {10}

    asyncio.run(scenario())


def test_a_serialization_failure_is_tried_again(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            await admit(store, "r", [])
            tries = 0

            async def once_too_early(session):
                nonlocal tries
                async with session.connection.transaction():
                    await session.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    await session.row("record", run_id="r")
                    tries += 1
                    if tries == 1:
                        await asked(postgres_url, "UPDATE ropewalk.run SET epoch = epoch + 1")
                    await session.do("claim", run_id="r")

            await store.do(once_too_early)
            assert tries == 2
            assert (await store.look("r")).epoch == 3

    asyncio.run(scenario())


def test_a_statement_timeout_is_told_when_it_stays(postgres_url):
    async def scenario():
        options = "-c%20statement_timeout=100"
        async with opened(postgres_url, patience=0.5, options=options) as store:
            await admit(store, "r", [])
            async with await psycopg.AsyncConnection.connect(postgres_url) as other:
                await other.execute("SELECT FROM ropewalk.run FOR UPDATE")
                with pytest.raises(StoreUnavailable, match="statement_timeout"):
                    await write(store, "r", b"x", after=0)
            await write(store, "r", b"x", after=0)
            assert await log(store, "r") == [b"x"]

    asyncio.run(scenario())


def test_calls_wait_in_line_for_a_connection_and_are_told_when_none_gets_free(postgres_url):
    async def scenario():
        async with opened(postgres_url, max_connections=4, patience=0.5) as store:
            await admit(store, "r")

            async def slow(session, seconds):
                await session.connection.execute("SELECT pg_sleep(%s)", (seconds,))

            await asyncio.gather(*[store.do(lambda session: slow(session, 0.05)) for _ in range(10)])
            busy = [asyncio.create_task(store.do(lambda session: slow(session, 1.5))) for _ in range(2)]
            await asyncio.sleep(0.1)
            with pytest.raises(StoreUnavailable, match="max_connections"):
                await store.look("r")
            await write(store, "r", b"x", after=1)  # appends have a connection of their own
            await asyncio.gather(*busy)
            assert (await store.look("r")).last == 2

    asyncio.run(scenario())


def test_a_database_that_may_only_be_read_is_read_and_refuses_writes(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            await admit(store, "r")
        options = "-c%20default_transaction_read_only=on"
        async with opened(postgres_url, patience=0.3, options=options) as store:
            assert await log(store, "r") == [b"started"]
            for call in (write(store, "r", b"x", after=1), store.claim("r")):
                with pytest.raises(StoreReadOnly, match="Name the primary"):
                    await call
            assert await log(store, "r") == [b"started"]

    asyncio.run(scenario())


def test_a_password_is_in_no_error(postgres_url, caplog):
    parts = urlsplit(postgres_url)
    where = parts.netloc.rpartition("@")[2]
    secret = "s3cret%40word"
    urls = [
        f"postgresql://nobody_known:{secret}@{where}{parts.path}",
        f"postgresql://nobody_known@{where}{parts.path}?password={secret}",
        f"postgresql://me:{secret}@127.0.0.1:1/db",
        f"postgresql://me:{secret}@{where}/no_such_database",
        f"postgresql://me:{secret}@{where}/db?no_such_option=1",
        f"postgresql://me:{secret}@[bad/db",
    ]

    async def scenario(url):
        store = PostgresRunStore(url)
        try:
            await store.look("r")
        finally:
            await store.close()

    for url in urls:
        with pytest.raises((RopewalkError, ValueError)) as told:
            asyncio.run(scenario(url))
        error = told.value
        while error is not None:
            assert "s3cret" not in f"{error!r} {error}", url
            error = error.__cause__ or error.__context__
    assert "s3cret" not in caplog.text


def test_a_wrong_port_is_told_at_once():
    async def scenario():
        async with opened("postgresql://me@127.0.0.1:1/db") as store:
            async with asyncio.timeout(5):
                with pytest.raises(StoreUnavailable, match="could not be reached"):
                    await store.look("r")
                with pytest.raises(StoreUnavailable, match="could not be reached"):
                    await write(store, "r", b"x", after=0)

    asyncio.run(scenario())
