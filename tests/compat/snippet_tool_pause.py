"""Seed 000, "Tool Pause and Resume".

Mended: it is an excerpt, so what it leaves out (imports, `get_user_details`, the graph, the client, the state, edges)
stands around it, and its awaits are in a function. The storage is the argument; the second argument is what a person
decides.
"""
# ruff: noqa  (the seed's own layout)
# fmt: off

import asyncio
import sys
import time
from typing import Dict, Any
from ropewalk.compat.primegraph import START, END
from ropewalk.compat.primegraph.graph.llm_tools import tool, ToolGraph, ToolState, LLMMessage
from ropewalk.compat.primegraph.graph.llm_clients import OpenAIClient

storage, decision = sys.argv[1:]

# Define tools that pause before or after execution
@tool("Process payment", pause_before_execution=True)
async def process_payment(order_id: str, amount: float) -> Dict[str, Any]:
    """Process a payment for an order, pausing before execution for input verification"""
    print("EFFECT: paid")
    return {
        "order_id": order_id,
        "amount": amount,
        "status": "processed",
        "transaction_id": f"TX-{order_id}-{int(time.time())}"
    }

@tool("Update account", pause_after_execution=True)
async def update_account(user_id: str, new_email: str) -> Dict[str, Any]:
    """Update a user account, pausing after execution for result verification"""
    print("EFFECT: updated")
    return {
        "user_id": user_id,
        "email": new_email,
        "status": "updated",
        "timestamp": int(time.time())
    }


@tool("Get user details")
async def get_user_details(user_id: str) -> Dict[str, Any]:
    return {"user_id": user_id, "name": "Ann"}


graph = ToolGraph("accounts", state_class=ToolState, checkpoint_storage=storage)
llm_client = OpenAIClient(api_key="your-api-key-here", api="responses")

# Add to graph
tool_node = graph.add_tool_node(
    name="account_processor",
    tools=[process_payment, update_account, get_user_details],
    llm_client=llm_client
)

graph.add_edge(START, tool_node.name)
graph.add_edge(tool_node.name, END)
initial_state = ToolState(messages=[LLMMessage(role="user", content="Pay order 7, then change my address.")])


async def check_pause():
    # Check if paused before execution
    if graph.state.is_paused and not graph.state.paused_after_execution:
        print("Paused before execution")
        print(f"Tool: {graph.state.paused_tool_name}")
        print(f"Arguments: {graph.state.paused_tool_arguments}")

        # Resume with execution (approve) or skip (reject)
        if decision == "approve":
            await graph.resume(execute_tool=True)  # approve
        else:
            await graph.resume(execute_tool=False)  # reject

    # Check if paused after execution
    elif graph.state.is_paused and graph.state.paused_after_execution:
        print("Paused after execution")
        print(f"Tool: {graph.state.paused_tool_name}")
        print(f"Result: {graph.state.paused_tool_result.result['status']}")

        # Resume execution with the existing result
        await graph.resume(execute_tool=True)


async def main():
    # Execute the graph - will pause before/after tool execution depending on configuration
    await graph.execute(initial_state)
    await check_pause()
    await check_pause()
    print(graph.chain_status, graph.state.is_paused, graph.state.final_output)
    print([(call.tool_name, call.success) for call in graph.state.tool_calls])


asyncio.run(main())
