"""Seed 000, "Repeatable Nodes". Mended: the graph is given the state that its nodes take and that is printed."""
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


@graph.node()
def validate_documents(state):
    return {"current_status": "validating", "number_of_executed_steps": 1}


@graph.node()
def process_documents(state):
    return {"current_status": "processing", "number_of_executed_steps": 1}


@graph.node()
def repeating_process_batch(state):
    return {"processed_files": f"batch_{state.number_of_executed_steps}", "number_of_executed_steps": 1}


@graph.node()
def conclude_documents(state):
    return {"current_status": "completed", "number_of_executed_steps": 1}


# Connect nodes
graph.add_edge(START, "load_documents")
graph.add_edge("load_documents", "validate_documents")
graph.add_edge("validate_documents", "process_documents")

# Add repeating edge for processing multiple batches
graph.add_repeating_edge("process_documents", "repeating_process_batch", "conclude_documents", repeat=3, parallel=True)
graph.add_edge("conclude_documents", END)

graph.compile()


async def run_repeatable():
    await graph.execute()
    print(state)
    graph.visualize()


asyncio.run(run_repeatable())
