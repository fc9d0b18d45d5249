"""Seed 000, "The Basics". Mended: a stray quote before `to simulate` is a comment."""
# ruff: noqa: I001  (the seed's own layout)

import asyncio
from ropewalk.compat.primegraph import Graph, START, END
from ropewalk.compat.primegraph.models import GraphState
from ropewalk.compat.primegraph.buffer import History, LastValue, Incremental


# Define your state with appropriate buffer types
class DocumentProcessingState(GraphState):
    processed_files: History[str]  # Stores all returned file names
    current_status: LastValue[str]  # Keeps the last status value
    number_of_executed_steps: Incremental[int]  # Increments with each step


# Initialize state
state = DocumentProcessingState(processed_files=[], current_status="initializing", number_of_executed_steps=0)

# Create a graph with the state
graph = Graph(state=state)


# Adding nodes to the graph
# to simulate the workflow
@graph.node()
def load_documents(state):
    return {"processed_files": "document1.txt", "current_status": "loading", "number_of_executed_steps": 1}


@graph.node()
def validate_documents(state):
    return {"current_status": "validating", "number_of_executed_steps": 1}


@graph.node()
def process_documents(state):
    return {"current_status": "completed", "number_of_executed_steps": 1}


# Connect nodes
graph.add_edge(START, "load_documents")
graph.add_edge("load_documents", "validate_documents")
graph.add_edge("validate_documents", "process_documents")
graph.add_edge("process_documents", END)

# Compile the graph
graph.compile()


# Execute the graph asynchronously using the new engine methods
async def run_graph():
    await graph.execute()
    print(state)
    graph.visualize()


asyncio.run(run_graph())
