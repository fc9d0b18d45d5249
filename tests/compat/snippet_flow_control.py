"""Seed 000, "Flow Control". Mended: `state = ...` is a state."""
# ruff: noqa: I001  (the seed's own layout)

import asyncio
from ropewalk.compat.primegraph import Graph, START, END
from ropewalk.compat.primegraph.models import GraphState
from ropewalk.compat.primegraph.buffer import History, LastValue, Incremental


class DocumentProcessingState(GraphState):
    processed_files: History[str]
    current_status: LastValue[str]
    number_of_executed_steps: Incremental[int]


state = DocumentProcessingState(processed_files=[], current_status="initializing", number_of_executed_steps=0)

graph = Graph(state=state)


@graph.node()
def load_documents(state):
    return {"processed_files": "document1.txt", "current_status": "loading", "number_of_executed_steps": 1}


# This node will interrupt execution before running
@graph.node(interrupt="before")
def review_documents(state):
    return {"current_status": "validating", "number_of_executed_steps": 1}


@graph.node()
def process_documents(state):
    return {"current_status": "completed", "number_of_executed_steps": 1}


# Connect nodes
graph.add_edge(START, "load_documents")
graph.add_edge("load_documents", "review_documents")
graph.add_edge("review_documents", "process_documents")
graph.add_edge("process_documents", END)

graph.compile()


async def run_flow():
    # Start execution; this will pause before 'review_documents'
    await graph.execute()
    print("State after interruption:", state)

    # Once ready, resume the execution
    await graph.resume()
    print("State after resuming:", state)
    graph.visualize()


asyncio.run(run_flow())
