"""Seed 000, "PostgreSQL Checkpoint with Tool Pauses": paused in one process, approved in another.

Mended: it is an excerpt, so what it leaves out stands around it; the storage is that of the arguments (a SQLite file
where the host is a path); what the seed writes below "In a separate session or process" is in one. `pause` prints the
chain id, `approve` takes it.
"""
# ruff: noqa  (the seed's own layout)
# fmt: off

import asyncio
import sys
from typing import Dict, Any
from ropewalk.compat.primegraph import START, END
from ropewalk.compat.primegraph.graph.llm_tools import tool, ToolGraph, ToolState, LLMMessage
from ropewalk.compat.primegraph.graph.llm_clients import OpenAIClient
from ropewalk.compat.primegraph.checkpoint.postgresql import PostgreSQLStorage, PostgreSQLConfig

host, port, database, user, password, what, *chain = sys.argv[1:]
llm_client = OpenAIClient(api_key="your-api-key-here")
initial_state = ToolState(messages=[LLMMessage(role="user", content="Pay order 7.")])


@tool("Process payment", pause_before_execution=True)
async def process_payment(order_id: str, amount: float) -> Dict[str, Any]:
    print("EFFECT: paid", order_id, amount)
    return {"order_id": order_id, "status": "processed"}


@tool("Update account", pause_after_execution=True)
async def update_account(user_id: str, new_email: str) -> Dict[str, Any]:
    return {"user_id": user_id, "email": new_email}


@tool("Get user details")
async def get_user_details(user_id: str) -> Dict[str, Any]:
    print("EFFECT: looked up", user_id)
    return {"user_id": user_id, "name": "Ann"}


if "/" in host:
    postgres_storage = f"sqlite:///{host}"
else:
    # Configure PostgreSQL storage
    postgres_storage = PostgreSQLStorage.from_config(
        host=host,
        port=int(port),
        user=user,
        password=password,
        database=database,
    )


async def pause():
    # Create a tool graph with PostgreSQL storage
    graph = ToolGraph(
        "payment_processing",
        state_class=ToolState,
        checkpoint_storage=postgres_storage  # Use PostgreSQL for checkpoints
    )

    # Add tools and node to graph
    node = graph.add_tool_node(
        name="payment_agent",
        tools=[process_payment, update_account, get_user_details],
        llm_client=llm_client
    )

    # Connect nodes
    graph.add_edge(START, node.name)
    graph.add_edge(node.name, END)

    # Run the graph - it will pause when a tool with pause flag is triggered
    await graph.execute(initial_state)
    chain_id = graph.chain_id  # Store this to load checkpoint later
    print(chain_id)


async def approve(chain_id):
    # In a separate session or process, load the paused state
    new_graph = ToolGraph(
        "payment_processing",
        state_class=ToolState,
        checkpoint_storage=postgres_storage
    )

    # Add the same tools and structure
    node = new_graph.add_tool_node(
        name="payment_agent",
        tools=[process_payment, update_account, get_user_details],
        llm_client=llm_client
    )
    new_graph.add_edge(START, node.name)
    new_graph.add_edge(node.name, END)

    # Load the checkpoint
    new_graph.load_from_checkpoint(chain_id)
    print(new_graph.chain_status, new_graph.state.paused_tool_name, new_graph.state.paused_tool_arguments)

    # Check if graph is paused
    if new_graph.state.is_paused:
        # Resume execution from the paused state
        await new_graph.resume(execute_tool=True)  # approve
    print(new_graph.chain_status, new_graph.state.final_output)


asyncio.run(pause() if what == "pause" else approve(*chain))
