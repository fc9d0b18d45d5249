"""Seed 000, "Persistence", on PostgreSQL.

Mended: the names it takes for granted (Graph, state) are there; host, port, database, user and password are the
arguments. The two prints show what the seed only promises.
"""
# ruff: noqa: I001, E402  (the seed's own layout)

import sys
from ropewalk.compat.primegraph import Graph
from ropewalk.compat.primegraph.models import GraphState
from ropewalk.compat.primegraph.buffer import LastValue
from ropewalk.compat.primegraph.checkpoint.postgresql import PostgreSQLStorage

host, port, database, user, password = sys.argv[1:]


class DocumentState(GraphState):
    current_status: LastValue[str]


state = DocumentState(current_status="initializing")

# Configure storage
storage = PostgreSQLStorage.from_config(
    host=host,
    port=int(port),
    database=database,
    user=user,
    password=password,
)

# Create graph with checkpoint storage
graph = Graph(state=state, checkpoint_storage=storage)


@graph.node(interrupt="before")
def validate_documents(state):
    return {"current_status": "needs_review"}


# Execute graph and save checkpoint
async def run_with_checkpoint():
    chain_id = await graph.execute()
    # Later, load and resume from checkpoint
    graph.load_from_checkpoint(chain_id)
    print(graph.chain_status, state)
    await graph.resume()
    print(graph.chain_status, state)


import asyncio

asyncio.run(run_with_checkpoint())
