"""Seed 000, "Router Nodes". Mended: the graph is given the state that its nodes take and that is printed."""
# ruff: noqa: I001, E402, F811  (the seed's own layout)

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
    return {"current_status": "completed", "number_of_executed_steps": 1}


@graph.node()
def route_documents(state):
    if "invoice" in state.current_status:
        return "process_invoice"
    return "cancel_invoice"


@graph.node()
def process_invoice(state):
    return {"current_status": "invoice_processed"}


@graph.node()
def cancel_invoice(state):
    return {"current_status": "invoice_cancelled"}


# Connect nodes and define router edges
graph.add_edge(START, "load_documents")
graph.add_edge("load_documents", "validate_documents")
graph.add_edge("validate_documents", "process_documents")

# Router node is connected as edge from process_documents
graph.add_router_edge("process_documents", "route_documents")
graph.add_edge("process_invoice", END)
graph.add_edge("cancel_invoice", END)

# Compile and execute
graph.compile()


async def run_router():
    await graph.execute()
    print(state)
    graph.visualize()


import asyncio

asyncio.run(run_router())
