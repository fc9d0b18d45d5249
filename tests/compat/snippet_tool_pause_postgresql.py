"""Seed 000, "PostgreSQL Checkpoint with Tool Pauses": paused in one process, approved in another.

Mended: the storage is that of the arguments; until the tool layer is there, `ToolGraph` is `Graph` and the paused tool
is a node that asks for approval; what the seed writes below "In a separate session or process" is in one. `pause`
prints the chain id, `approve` takes it.
"""
# ruff: noqa: I001, E402  (the seed's own layout)

import sys
from ropewalk import Context
from ropewalk.compat.primegraph import END, START, Graph
from ropewalk.compat.primegraph.buffer import History, LastValue
from ropewalk.compat.primegraph.models import GraphState
from ropewalk.compat.primegraph.checkpoint.postgresql import PostgreSQLStorage, PostgreSQLConfig

host, port, database, user, password, what, *chain = sys.argv[1:]
assert PostgreSQLConfig


class PaymentState(GraphState):
    order_id: LastValue[str]
    amount: LastValue[float]
    steps: History[str]
    transaction: LastValue[str] = ""


initial_state = PaymentState(order_id="ORDER-7", amount=12.5, steps=[])

# Configure PostgreSQL storage
postgres_storage = PostgreSQLStorage.from_config(
    host=host,
    port=int(port),
    user=user,
    password=password,
    database=database,
)


def with_nodes(graph):
    # Add tools and node to graph
    @graph.node()
    def look_up(state):
        return {"steps": "looked up"}

    @graph.node()
    async def payment_agent(state, ctx: Context):
        arguments = {"order_id": state.order_id, "amount": state.amount}
        approved = await ctx.ask({"tool": "process_payment", "arguments": arguments}, kind="approval")
        if not approved:
            return {"steps": "payment skipped"}
        return {"steps": "paid", "transaction": f"TX-{state.order_id}"}

    # Connect nodes
    graph.add_edge(START, "look_up")
    graph.add_edge("look_up", "payment_agent")
    graph.add_edge("payment_agent", END)


import asyncio


async def pause():
    # Create a graph with PostgreSQL storage
    graph = Graph(
        state=initial_state,
        name="payment_processing",
        checkpoint_storage=postgres_storage,  # Use PostgreSQL for checkpoints
    )
    with_nodes(graph)
    # Run the graph - it will pause when a tool with pause flag is triggered
    await graph.execute()
    print(graph.chain_id)  # Store this to load checkpoint later


async def approve(chain_id):
    # In a separate session or process, load the paused state
    new_graph = Graph(state=PaymentState, name="payment_processing", checkpoint_storage=postgres_storage)
    with_nodes(new_graph)

    # Load the checkpoint
    new_graph.load_from_checkpoint(chain_id)
    print(new_graph.chain_status, new_graph.state.steps)

    # Check if graph is paused
    run = new_graph.open(chain_id)
    await run.wait()
    for pause in run.pauses:
        print(pause.kind, pause.payload)
        # Resume execution from the paused state
        await run.answer(pause.id, True, by="Ann")  # approve
    print((await run).transaction, run.state.steps)


asyncio.run(pause() if what == "pause" else approve(*chain))
