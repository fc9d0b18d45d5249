"""Seed 000, "Async Support". Mended: the graph and state that it takes for granted are there, and it prints."""
# ruff: noqa: I001  (the seed's own layout)

import asyncio
from ropewalk.compat.primegraph import Graph
from ropewalk.compat.primegraph.models import GraphState
from ropewalk.compat.primegraph.buffer import History, LastValue


class DocumentState(GraphState):
    processed_files: History[str]
    current_status: LastValue[str]


state = DocumentState(processed_files=[], current_status="initializing")
graph = Graph(state=state)


@graph.node()
async def async_document_process(state):
    await asyncio.sleep(1)  # Simulate async processing
    return {"processed_files": "async_processed", "current_status": "async_complete"}


# Execute the async graph
async def run_async():
    await graph.execute()
    # Resume if execution was paused
    await graph.resume()
    print(state)


asyncio.run(run_async())
