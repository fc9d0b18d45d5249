"""How workers share runs: limits, turns, losses, code that does not fit, and what the store's trouble does to them."""

import asyncio
import logging
import time
from collections import Counter
from contextlib import asynccontextmanager

import psycopg
import pytest

from ropewalk import END, START, Context, Graph, GraphState, History, LastValue
from ropewalk.errors import NotStorable, RunFailed, RunTaken, StoreFull, StoreUnavailable
from ropewalk.runtime import RunStatus, open_store, stuck_runs
from ropewalk.workers import Worker, driving, misfits
from ropewalk.workers import worker as worker_module


class Work(GraphState):
    log: History[str]
    word: LastValue[str] = ""


class Gate:
    """Nodes that wait here until they are let through."""

    def __init__(self):
        self.inside = Counter()
        self.most = 0
        self.cancelled = 0
        self.opened = asyncio.Event()

    def graph(self, store, name="work", nodes=("work",), **settings):
        graph = Graph(Work, store=store, name=name, **settings)
        last = START
        for node in nodes:
            graph.add_node(self.node(name, node), name=node).add_edge(last, node)
            last = node
        return graph.add_edge(last, END)

    def node(self, name, node):
        async def run(ctx: Context):
            self.inside[name] += 1
            self.most = max(self.most, self.inside.total())
            try:
                await self.opened.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            finally:
                self.inside[name] -= 1
            return {"log": f"{node} {ctx.attempt}"}

        return run


@asynccontextmanager
async def opened(url):
    store = open_store(url)
    try:
        yield store
    finally:
        await store.close()


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def entries(run):
    return [entry.data.get("reason", entry.type) for entry in await run.history()]


def asked(url, statement):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement).fetchall()


def test_no_more_runs_than_allowed_are_driven_at_a_time(postgres_url):
    async def scenario():
        gate = Gate()
        async with opened(postgres_url) as store:
            graph = gate.graph(store)
            runs = [await graph.submit() for _ in range(9)]
            async with Worker(graph, concurrency=4):
                await until(lambda: gate.inside.total() == 4)
                await asyncio.sleep(0.3)
                assert gate.most == 4
                gate.opened.set()
                states = await asyncio.gather(*runs)
            assert [state.log for state in states] == [["work 1"]] * 9
            assert gate.most == 4

    asyncio.run(scenario())


def test_a_slot_that_is_freed_is_filled_while_others_go_on(postgres_url):
    async def scenario():
        slow, quick = Gate(), Gate()
        quick.opened.set()
        async with opened(postgres_url) as store:
            one, other = slow.graph(store, "slow"), quick.graph(store, "quick")
            await one.submit()
            async with Worker([one, other], concurrency=2):
                await until(lambda: slow.inside.total() == 1)
                runs = [await other.submit() for _ in range(20)]
                async with asyncio.timeout(10):
                    await asyncio.gather(*runs)
                slow.opened.set()

    asyncio.run(scenario())


def test_graphs_take_turns_at_a_worker(postgres_url):
    async def scenario():
        gate = Gate()
        async with opened(postgres_url) as store:
            many, few = gate.graph(store, "many"), gate.graph(store, "few")
            for _ in range(20):
                await many.submit()
            for _ in range(2):
                await few.submit()
            async with Worker([many, few], concurrency=4):
                await until(lambda: gate.inside.total() == 4)
                assert gate.inside == {"many": 2, "few": 2}
                gate.opened.set()

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_thousand_paused_runs_cost_nothing(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            graph = Graph(Work, store=store, name="asking")

            @graph.node
            async def ask(ctx: Context):
                return {"log": await ctx.ask("?")}

            graph.add_edge(START, "ask").add_edge("ask", END)
            runs = [await graph.submit() for _ in range(1000)]
            async with Worker(graph, concurrency=50) as worker:
                async with asyncio.timeout(50):
                    while len(await store.runs(statuses=["PAUSED"], limit=1000)) < 1000:
                        await asyncio.sleep(0.1)
                await until(lambda: not worker.driving)
                tasks = len(asyncio.all_tasks())
                assert tasks < 10
                assert asked(postgres_url, "SELECT count(*) FROM ropewalk.work") == [(0,)]
                run = runs[500]
                assert await run.wait() is RunStatus.PAUSED
                await run.answer(run.pauses[0], "yes")
                assert (await run).log == ["yes"]
            assert await stuck_runs(store, for_seconds=0) == []

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_worker_that_cannot_prolong_its_leases_stops_its_nodes_before_they_run_out(own_postgres, caplog):
    async def scenario():
        gate = Gate()
        async with opened(own_postgres.url) as store:
            graph = gate.graph(store)
            run = await graph.submit()
            async with Worker(graph, lease=2) as worker:
                await until(lambda: gate.inside.total() == 1)
                await asyncio.sleep(2.5)
                assert gate.cancelled == 0  # its lease is prolonged
                own_postgres.freeze()
                frozen = time.monotonic()
                await until(lambda: gate.cancelled == 1)
                assert time.monotonic() - frozen < 2
                assert worker.driving == []
                gate.opened.set()
                own_postgres.thaw()
                async with asyncio.timeout(20):
                    assert (await run).log == ["work 2"]
            assert await entries(run) == ["run_started", "interrupted", "step_finished", "run_done"]

    asyncio.run(scenario())
    assert "could not be prolonged in time" in caplog.text


@pytest.mark.slow
def test_a_database_that_restarts_loses_no_run(own_postgres):
    async def scenario():
        gate = Gate()
        async with opened(own_postgres.url) as store:
            graph = gate.graph(store, nodes=[f"n{i}" for i in range(5)])
            runs = [await graph.submit() for _ in range(20)]
            async with Worker(graph, lease=10):
                await until(lambda: gate.inside.total() == 20)
                await asyncio.to_thread(own_postgres.restart)
                gate.opened.set()
                async with asyncio.timeout(40):
                    states = await asyncio.gather(*runs)
            assert [state.log for state in states] == [[f"n{i} 1" for i in range(5)]] * 20
            assert await stuck_runs(store, for_seconds=0) == []

    asyncio.run(scenario())


def test_a_store_that_cannot_be_reached_is_told_at_once_and_given_up_soon(monkeypatch, caplog):
    monkeypatch.setattr(worker_module, "_STARTING_SECONDS", 1.5)

    async def scenario():
        async with opened("postgresql://nobody:secret@127.0.0.1:1/none") as store:
            working = asyncio.create_task(Worker(Gate().graph(store)).run())
            await until(lambda: "could not be reached" in caplog.text, seconds=1)
            with pytest.raises(StoreUnavailable) as trouble:
                await working
            assert "secret" not in str(trouble.value) + caplog.text

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_worker_that_starts_before_its_database_waits_for_it(own_postgres):
    async def scenario():
        gate = Gate()
        gate.opened.set()
        async with opened(own_postgres.url) as store, opened(own_postgres.url) as another:
            run = await gate.graph(another).submit()
            own_postgres.stop()
            async with Worker(gate.graph(store)):
                await asyncio.sleep(1.5)
                await asyncio.to_thread(own_postgres.start)
                async with asyncio.timeout(15):
                    assert (await run).log == ["work 1"]

    asyncio.run(scenario())


def test_an_answer_takes_the_run_from_a_worker_for_no_longer_than_it_needs(postgres_url):
    async def scenario():
        gate = Gate()
        async with opened(postgres_url) as store, opened(postgres_url) as elsewhere:

            def both(store):
                graph = gate.graph(store, "both")

                @graph.node
                async def ask(ctx: Context):
                    return {"word": await ctx.ask("?")}

                return graph.add_edge(START, "ask").add_edge("ask", END)

            graph = both(store)
            run = both(elsewhere).open((await graph.submit()).run_id)
            async with Worker(graph, lease=60):
                await until(lambda: gate.inside.total() == 1)
                pause = (await paused(both(elsewhere), run.run_id)).id
                await run.answer(pause, "yes")
                await until(lambda: gate.cancelled == 1)  # the branch at work began again
                gate.opened.set()
                async with asyncio.timeout(10):  # far less than a lease
                    state = await run
            assert (state.word, state.log) == ("yes", ["work 2"])
            assert "taken_over" not in await entries(run)

    async def paused(graph, run_id):
        async with asyncio.timeout(5):
            while True:
                pauses = graph.open(run_id).pauses
                if pauses:
                    return pauses[0]
                await asyncio.sleep(0.05)

    asyncio.run(scenario())


def test_what_nobody_has_begun_is_edited_without_a_mark_on_it(postgres_url):
    async def scenario():
        gate = Gate()
        gate.opened.set()
        async with opened(postgres_url) as store:
            graph = gate.graph(store)
            run = await graph.submit()
            await run.edit({"word": "early"})
            async with Worker(graph):
                state = await run
            assert (state.word, state.log) == ("early", ["work 1"])
            assert await entries(run) == ["run_started", "state_edited", "step_finished", "run_done"]

    asyncio.run(scenario())


def test_writers_and_workers_that_want_the_same_run_all_come_through(postgres_url):
    async def scenario():
        gate = Gate()
        async with opened(postgres_url) as store, opened(postgres_url) as elsewhere:
            graph = gate.graph(store, nodes=("a", "b", "c"))
            run = await graph.submit()
            others = [gate.graph(elsewhere, nodes=("a", "b", "c")).open(run.run_id) for _ in range(4)]
            async with Worker(graph, lease=10):
                await asyncio.gather(*[other.edit({"log": f"edit {i}"}) for i, other in enumerate(others)])
                gate.opened.set()
                async with asyncio.timeout(10):
                    state = await run
            log = [word for word in state.log if word.startswith("edit")]
            assert sorted(log) == [f"edit {i}" for i in range(4)]
            assert [word[0] for word in state.log if not word.startswith("edit")] == ["a", "b", "c"]

    asyncio.run(scenario())


def test_many_readers_follow_one_run_and_each_sees_every_entry_once(postgres_url):
    async def scenario():
        gate = Gate()
        gate.opened.set()
        async with opened(postgres_url) as store, opened(postgres_url) as elsewhere:
            graph = gate.graph(store, nodes=[f"n{i}" for i in range(30)])
            run = await gate.graph(elsewhere, nodes=[f"n{i}" for i in range(30)]).submit()

            async def read():
                return [event.id async for event in run.events()]

            readers = [asyncio.create_task(read()) for _ in range(5)]
            waiters = [asyncio.create_task(run.wait()) for _ in range(5)]
            async with Worker(graph):
                assert await asyncio.gather(*readers) == [[str(n + 1) for n in range(32)]] * 5
                assert await asyncio.gather(*waiters) == ["DONE"] * 5

    asyncio.run(scenario())


def test_time_in_the_queue_is_no_time_under_way(postgres_url):
    async def scenario():
        gate = Gate()
        gate.opened.set()
        async with opened(postgres_url) as store:
            graph = Graph(Work, store=store, name="asking", execution_timeout=1.2)

            @graph.node
            async def ask(ctx: Context):
                return {"log": await ctx.ask("?")}

            graph.add_edge(START, "ask").add_edge("ask", END)
            run = await graph.submit()
            await asyncio.sleep(1.5)
            async with Worker(graph):
                assert await run.wait() is RunStatus.PAUSED
            await run.answer(run.pauses[0], "late")
            await asyncio.sleep(1.5)
            async with Worker(graph):
                assert (await run).log == ["late"]

    asyncio.run(scenario())


def changed(store, node):
    """The graph as it was drawn, or after a node was renamed."""
    graph = Graph(Work, store=store, name="changing")

    @graph.node(name=node)
    async def ask(ctx: Context):
        return {"log": await ctx.ask("?")}

    graph.add_node(lambda: {"log": "end"}, name="end")
    return graph.add_edge(START, node).add_edge(node, "end").add_edge("end", END)


@asynccontextmanager
async def answered_under_old_code(url):
    async with opened(url) as store:
        graph = changed(store, "ask")
        run = await graph.submit()
        async with Worker(graph):
            assert await run.wait() is RunStatus.PAUSED
        await run.answer(run.pauses[0], "yes")
        yield store, graph, run


def test_a_run_that_new_code_does_not_fit_is_left_to_a_worker_that_has_the_old(postgres_url, caplog):
    async def scenario():
        async with answered_under_old_code(postgres_url) as (_, graph, run), opened(postgres_url) as new:
            async with Worker(changed(new, "question"), lease=60) as worker:
                await until(lambda: "is left to another worker" in caplog.text)
                await until(lambda: not worker.driving)
                assert "'ask'" in caplog.text  # the very node that is missing
                (due,) = asked(postgres_url, "SELECT worker, wake_at <= clock_timestamp() FROM ropewalk.work")
                assert due == (None, True)
                async with asyncio.timeout(5), Worker(graph):
                    assert (await run).log == ["yes", "end"]
                assert caplog.text.count("left to another worker") == 1
            assert "reset" not in await entries(run)


@pytest.mark.parametrize("why", ["its log has grown", "a while has gone by"])
def test_a_run_that_did_not_fit_is_tried_again_when(postgres_url, monkeypatch, why):
    monkeypatch.setattr(misfits, "_AGAIN_SECONDS", 60 if why == "its log has grown" else 0.3)

    async def scenario():
        async with answered_under_old_code(postgres_url) as (store, _, run), opened(postgres_url) as new:

            async def is_tried_after(epoch):
                async with asyncio.timeout(8):
                    while (await store.look(run.run_id)).epoch <= epoch:
                        await asyncio.sleep(0.02)

            async with Worker(changed(new, "question")) as worker:
                await is_tried_after((await store.look(run.run_id)).epoch)
                await until(lambda: not worker.driving)
                if why == "its log has grown":
                    await run.edit({"word": "another"})
                await is_tried_after((await store.look(run.run_id)).epoch)

    asyncio.run(scenario())


def test_when_a_worker_has_no_room_to_remember_another_misfit_the_run_is_set_for_later(postgres_url, monkeypatch):
    monkeypatch.setattr(misfits, "_MOST", 0)

    async def scenario():
        async with (
            answered_under_old_code(postgres_url),
            opened(postgres_url) as new,
            Worker(changed(new, "question")) as worker,
        ):
            later = "SELECT wake_at - clock_timestamp() BETWEEN '3 s' AND '5 s' FROM ropewalk.work"
            await until(lambda: asked(postgres_url, later) == [(True,)])
            await until(lambda: not worker.driving)

    asyncio.run(scenario())


def test_a_run_that_new_code_does_not_fit_fails_where_that_is_wanted_and_goes_on_with_the_old(postgres_url):
    async def scenario():
        async with answered_under_old_code(postgres_url) as (_, graph, run), opened(postgres_url) as new:
            async with Worker(changed(new, "question"), on_mismatch="fail"):
                with pytest.raises(RunFailed, match="'ask'") as failed:
                    await run
                assert failed.value.reason == "graph_changed"
            async with Worker(graph):
                assert await run.resume() is RunStatus.DONE
            assert (await run).log == ["yes", "end"]

    asyncio.run(scenario())


def test_code_that_changed_and_still_fits_goes_on(postgres_url, caplog):
    caplog.set_level(logging.INFO)

    async def scenario():
        async with answered_under_old_code(postgres_url) as (_, _, run), opened(postgres_url) as new:
            graph = changed(new, "ask")
            longer = Graph(Work, store=new, name="changing")
            for node in graph.drawing.nodes.values():
                longer.add_node(node.fn, name=node.name)
            longer.add_node(lambda: {"log": "after"}, name="after")
            longer.add_edge(START, "ask").add_edge("ask", "end").add_edge("end", "after").add_edge("after", END)
            async with Worker(longer):
                async with asyncio.timeout(10):
                    while (await new.look(run.run_id)).status != "DONE":
                        await asyncio.sleep(0.05)
                assert longer.open(run.run_id).state.log == ["yes", "end", "after"]
            assert "another drawing" in caplog.text

    asyncio.run(scenario())


def test_a_worker_that_was_relieved_stops_its_nodes_and_takes_other_runs(postgres_url):
    async def scenario():
        gate = Gate()
        async with opened(postgres_url) as store, opened(postgres_url) as elsewhere:
            graph = gate.graph(store)
            run = await graph.submit()
            async with Worker(graph, lease=1.5):
                await until(lambda: gate.inside.total() == 1)
                record = await elsewhere.claim(run.run_id)
                await until(lambda: gate.cancelled == 1, seconds=1.5)
                gate.opened.set()
                with pytest.raises(RunTaken):
                    await elsewhere.append(
                        run.run_id, epoch=record.epoch - 1, after=1, bodies=[b"x"], status="RUNNING", at=0
                    )
                async with asyncio.timeout(10):
                    assert (await (await graph.submit())).log == ["work 1"]
                    assert (await run).log  # when the lease that nobody prolongs is over

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": True}, "concurrency is .*; not True"),
        ({"concurrency": 2.5}, r"concurrency is .*; not 2\.5"),
        ({"lease": 0}, "lease is seconds, above 0; not 0"),
        ({"lease": "x"}, "lease is seconds, above 0; not 'x'"),
        ({"grace": -1}, "grace is seconds, 0 or more; not -1"),
        ({"on_mismatch": "explode"}, "leave"),
    ],
)
def test_a_worker_refuses_what_cannot_be_meant(postgres_url, settings, told):
    async def scenario():
        async with opened(postgres_url) as store, opened(postgres_url) as another:
            graph = Gate().graph(store)
            with pytest.raises((ValueError, TypeError), match=told):
                Worker(graph, **settings)
            with pytest.raises(ValueError, match="none was given"):
                Worker([])
            with pytest.raises(ValueError, match="share one"):
                Worker([graph, Gate().graph(another, "other")])
            with pytest.raises(ValueError, match="are named 'work'"):
                Worker([graph, Gate().graph(store)])

    asyncio.run(scenario())


class Refusing:
    """A store that takes no finished step: what is wrong with it, nobody knows, or its disk is full."""

    def __init__(self, store, trouble):
        self.store = store
        self.trouble = trouble
        self.times = 0

    def __getattr__(self, name):
        return getattr(self.store, name)

    async def append(self, run_id, **append):
        if self.trouble and any(b"step_finished" in body for body in append["bodies"]):
            self.times += 1
            raise self.trouble
        await self.store.append(run_id, **append)


def test_a_run_that_the_engine_cannot_go_on_with_is_not_tried_for_ever(postgres_url, monkeypatch):
    monkeypatch.setattr(driving, "_AGAIN_SECONDS", 0.01)

    async def scenario():
        gate = Gate()
        gate.opened.set()
        async with opened(postgres_url) as store:
            broken = Refusing(store, ValueError("this can be kept nowhere"))
            graph = gate.graph(broken)
            run = await graph.submit()
            async with Worker(graph):
                with pytest.raises(RunFailed, match="kept nowhere") as failed:
                    await run
                assert failed.value.reason == "poisoned"
                assert broken.times == 5
                broken.trouble = None
                assert await run.resume() is RunStatus.DONE

    asyncio.run(scenario())


def test_a_run_whose_step_could_not_be_written_is_given_back_and_goes_on_when_the_store_is_well(
    postgres_url, monkeypatch
):
    monkeypatch.setattr(driving, "_AGAIN_SECONDS", 0.3)

    async def scenario():
        gate = Gate()
        gate.opened.set()
        async with opened(postgres_url) as store:
            broken = Refusing(store, StoreFull("no room"))
            graph = gate.graph(broken)
            run = await graph.submit()
            async with Worker(graph):
                await until(lambda: broken.times == 2)
                broken.trouble = None
                assert (await run).log == ["work 3"]
            assert await entries(run) == ["run_started", "interrupted", "interrupted", "step_finished", "run_done"]

    asyncio.run(scenario())


def test_who_takes_a_run_from_a_worker_and_has_nothing_to_write_hands_it_on(postgres_url):
    async def scenario():
        gate = Gate()
        async with opened(postgres_url) as store, opened(postgres_url) as elsewhere:

            def both(store):
                graph = gate.graph(store, "both")

                @graph.node
                async def ask(ctx: Context):
                    return {"word": await ctx.ask("?")}

                return graph.add_edge(START, "ask").add_edge("ask", END)

            graph = both(store)
            run = await graph.submit()
            async with Worker(graph, lease=60):
                await until(lambda: gate.inside.total() == 1)
                other = both(elsewhere).open(run.run_id)
                async with asyncio.timeout(5):
                    while not other.pauses:
                        other = await reopened(both(elsewhere), run.run_id)
                with pytest.raises(NotStorable):
                    await other.answer(other.pauses[0], object())
                await until(lambda: gate.cancelled == 1)
                gate.opened.set()
                async with asyncio.timeout(10):  # far less than a lease
                    while (await store.look(run.run_id)).status != "PAUSED":
                        await asyncio.sleep(0.05)

    async def reopened(graph, run_id):
        await asyncio.sleep(0.05)
        return graph.open(run_id)

    asyncio.run(scenario())
