"""A real MCP server, for the tests: over stdio, or over HTTP on the port that is its first argument.

What its tools do to the world is a line in the file that ROPEWALK_TEST_NOTES names.
"""

import asyncio
import os
import sys

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("notes")


def note(line: str) -> None:
    with open(os.environ["ROPEWALK_TEST_NOTES"], "a") as out:
        out.write(line + "\n")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def whoami() -> int:
    """Tell the id of the server's process."""
    return os.getpid()


@server.tool()
def add(a: int, b: int = 2) -> str:
    """Add two numbers."""
    note(f"add {a}")
    return str(a + b)


@server.tool(name="say.it", annotations=ToolAnnotations(idempotent_hint=True))
def say(text: str) -> dict[str, str]:
    """Say something."""
    return {"said": text}


@server.tool()
def fail(why: str) -> str:
    """Fail."""
    from mcp.server.mcpserver.exceptions import ToolError

    raise ToolError(f"no: {why}")


@server.tool()
async def hang(ctx: Context) -> str:
    """Begin, and never end."""
    note("hang")
    await ctx.report_progress(1, 2, "half way")
    await asyncio.sleep(60)
    return "never"


@server.tool(annotations=ToolAnnotations(idempotent_hint=True))
async def hang_once() -> str:
    """Hang the first time, whatever process that is."""
    note("hang_once")
    with open(os.environ["ROPEWALK_TEST_NOTES"]) as read:
        first = read.read().count("hang_once") == 1
    if first:
        await asyncio.sleep(60)
    return "done"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run()
