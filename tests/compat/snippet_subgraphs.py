"""Seed 000, "Subgraphs". Mended: `state = ...` is a state."""
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
main_graph = Graph(state=state)


@main_graph.node()
def load_documents(state):
    return {"processed_files": "document1.txt", "current_status": "loading", "number_of_executed_steps": 1}


@main_graph.subgraph()
def validation_subgraph():
    subgraph = Graph(state=state)

    @subgraph.node()
    def check_format(state):
        return {"current_status": "checking_format"}

    @subgraph.node()
    def verify_content(state):
        return {"current_status": "verifying_content"}

    subgraph.add_edge(START, "check_format")
    subgraph.add_edge("check_format", "verify_content")
    subgraph.add_edge("verify_content", END)

    return subgraph


@main_graph.node()
def pre_process_documents(state):
    return {"current_status": "pre_processed", "number_of_executed_steps": 1}


@main_graph.node()
def conclude_documents(state):
    return {"current_status": "completed", "number_of_executed_steps": 1}


# Connect nodes
main_graph.add_edge(START, "load_documents")
main_graph.add_edge("load_documents", "validation_subgraph")
main_graph.add_edge("load_documents", "pre_process_documents")
main_graph.add_edge("validation_subgraph", "conclude_documents")
main_graph.add_edge("pre_process_documents", "conclude_documents")
main_graph.add_edge("conclude_documents", END)

main_graph.compile()


async def run_subgraph():
    await main_graph.execute()
    print(state)
    main_graph.visualize()


asyncio.run(run_subgraph())
