"""Seed 000, "Persistence".

Mended: the names it takes for granted (Graph, state) are there, and a SQLite store at the path of the first
argument stands in for PostgreSQL. The two prints show what the seed only promises.
"""
# ruff: noqa: I001, E402  (the seed's own layout)

import sys
from ropewalk.compat.primegraph import Graph
from ropewalk.compat.primegraph.models import GraphState
from ropewalk.compat.primegraph.buffer import LastValue
from ropewalk.stores.sqlite import SqliteRunStore


class DocumentState(GraphState):
    current_status: LastValue[str]


state = DocumentState(current_status="initializing")

# Configure storage
storage = SqliteRunStore(sys.argv[1])

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
    await storage.close()


import asyncio

asyncio.run(run_with_checkpoint())
