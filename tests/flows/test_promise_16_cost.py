"""Promise 16, cost: bytes and time per step depend on what changed and was read, not on history, state or graph."""

import asyncio
import gc
import itertools
import statistics
import time

import pytest

from ropewalk import END, START, Graph, GraphState, History, Incremental, LastValue
from ropewalk.stores.memory import MemoryRunStore


class Weighing(MemoryRunStore):
    """Notes the bytes of every append and snapshot, and the CPU time at which it came."""

    def __init__(self):
        super().__init__()
        self.appended = []
        self.snapshots = []
        self.times = []

    async def append(self, run_id, *, bodies, **rest):
        self.appended.append(sum(map(len, bodies)))
        self.times.append(time.process_time())
        await super().append(run_id, bodies=bodies, **rest)

    async def save_snapshot(self, run_id, *, body, **rest):
        self.snapshots.append(len(body))
        await super().save_snapshot(run_id, body=body, **rest)


class Chat(GraphState):
    messages: History[dict[str, str]]
    count: Incremental[int] = 0
    last: LastValue[str] = ""
    archive: LastValue[list[dict[str, str]]] = []


def looping(store, rounds, write):
    graph = Graph(Chat, store=store, max_node_iterations=rounds + 1)

    @graph.node
    async def turn(state):
        return write(state)

    graph.add_edge(START, "turn")
    return graph.add_router_edge("turn", lambda s: END if s.count >= rounds else "turn", routes=["turn", END])


def median_time(times, at, width=400):
    """Return the median CPU seconds of the steps around the one with the number ``at``."""
    window = times[at : at + width]
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(window))


def test_step_10_000_costs_what_step_10_costs():
    """Promise 16: a loop whose history grows by a message a step."""

    async def main():
        store = Weighing()
        message = {"role": "user", "content": "x" * 50}
        await looping(store, 10_000, lambda state: {"messages": message, "count": 1}).start()
        assert len(store.appended) == 10_000
        early, late = statistics.median(store.appended[10:110]), statistics.median(store.appended[-110:-10])
        assert late <= early * 1.1
        assert late < 400
        assert median_time(store.times, 9_500) < 3 * median_time(store.times, 10)

    asyncio.run(main())


def test_snapshots_are_a_bounded_share_of_what_was_written():
    """Promise 16: recovery is short, and it is not paid for with the state at every step."""

    async def main():
        store = Weighing()
        message = {"role": "user", "content": "x" * 500}
        await looping(store, 3_000, lambda state: {"messages": message, "count": 1}).start()
        assert store.snapshots
        assert sum(store.snapshots) <= sum(store.appended)

    asyncio.run(main())


@pytest.mark.parametrize("size", [1_000])
def test_a_thousand_messages_in_the_history_make_a_step_no_larger(size):
    """Promise 16: at most 1.2 times an empty one's, and at most 1 KB and the change."""

    async def main():
        message = {"role": "user", "content": "x" * 200}
        sizes = []
        for count in (0, size):
            store = Weighing()
            state = Chat(messages=[message] * count)
            await looping(store, 50, lambda state: {"messages": message, "count": 1}).start(state)
            sizes.append(statistics.mean(store.appended))
        assert sizes[1] <= 1.2 * sizes[0]
        assert sizes[1] <= 1024 + len(str(message))

    asyncio.run(main())


@pytest.mark.parametrize("touch", ["nothing", "small", "append in place"])
def test_a_step_that_does_not_read_a_large_field_does_not_pay_for_it(touch):
    """Promise 16: 20,000 messages that are not touched; in bytes and in time."""

    def write(state):
        if touch == "small":
            return {"last": "x", "count": 1}
        state.count += 1
        return {}

    async def main():
        message = {"role": "user", "content": "x" * 50}
        costs = []
        for count in (0, 20_000):
            store = Weighing()
            state = Chat(messages=[message] * count, archive=[message] * count)
            await looping(store, 1_000, write).start(state)
            costs.append((statistics.mean(store.appended), median_time(store.times, 100, 800)))
        assert costs[1][0] <= 1.1 * costs[0][0]
        assert costs[1][1] <= 3 * costs[0][1]

    asyncio.run(main())


def test_what_a_step_writes_in_place_to_a_long_history_is_only_what_it_added():
    """Promise 16."""

    async def main():
        store = Weighing()
        message = {"role": "user", "content": "x" * 50}

        def write(state):
            state.messages.append(message)
            return {"count": 1}

        await looping(store, 20, write).start(Chat(messages=[message] * 2_000))
        assert max(store.appended[:-1]) < 500

    asyncio.run(main())


def test_the_cost_of_a_step_does_not_grow_with_the_graph():
    """Promise 16: a chain of 2,000 nodes against one of 200."""

    def chain(length, store):
        graph = Graph(Chat, store=store)
        names = [f"n{number}" for number in range(length)]
        for name in names:

            async def node():
                return {"count": 1}

            graph.add_node(node, name=name)
        graph.add_edge(START, names[0]).add_edge(names[-1], END)
        for one, other in itertools.pairwise(names):
            graph.add_edge(one, other)
        return graph.compile()

    async def main():
        costs = []
        for length in (200, 2_000):
            store = Weighing()
            await chain(length, store).start()
            costs.append((statistics.mean(store.appended), median_time(store.times, 20, 150)))
        assert costs[1][0] <= 1.1 * costs[0][0]
        assert costs[1][1] <= 3 * costs[0][1]

    asyncio.run(main())


def test_the_cost_of_an_item_does_not_grow_with_the_map():
    """Promise 16: 5,000 items against 500."""

    async def seconds(graph, count):
        began = time.process_time()
        assert (await graph.start()).count == count
        return time.process_time() - began

    async def main():
        costs = []
        for count in (500, 5_000):
            store = Weighing()
            graph = Graph(Chat, store=store)

            async def work(item):
                return {"count": 1}

            graph.add_node(work).add_node(lambda: None, name="end").add_edge("end", END)
            graph.add_map_edge(START, "work", "end", over=lambda count=count: range(count))
            costs.append(min([await seconds(graph, count) for _ in range(5)]) / count)
        assert costs[1] <= 5 * costs[0]  # a cost that grew with the map would be ten times as high

    gc.disable()  # a collection walks all that the tests before have left behind
    try:
        asyncio.run(main())
    finally:
        gc.enable()


def test_the_memory_of_a_long_loop_stays_flat():
    """Promise 16: 16,000 rounds of a loop without a store keep nothing but the newest entries."""
    import tracemalloc

    async def main():
        sizes = []
        graph = Graph(Chat, max_node_iterations=20_000)

        @graph.node
        async def turn(state):
            if state.count in (11_000, 16_000):
                sizes.append(tracemalloc.get_traced_memory()[0])
            return {"last": "x", "count": 1}

        graph.add_edge(START, "turn")
        graph.add_router_edge("turn", lambda s: END if s.count > 16_000 else "turn", routes=["turn", END])
        tracemalloc.start()
        try:
            await graph.start()
        finally:
            tracemalloc.stop()
        assert sizes[1] - sizes[0] < 1_000_000

    asyncio.run(main())
