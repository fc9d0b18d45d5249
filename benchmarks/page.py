"""Keep the table as a page of the documentation."""

from benchmarks import table
from benchmarks.case import Case
from benchmarks.cases import all_cases
from benchmarks.contest import ROOT, Record
from benchmarks.verdict import Verdict

PAGE = ROOT / "docs" / "benchmarks.md"

_TEXT = """# Benchmarks

Written by `./dev bench --write`; run `./dev bench` to see your own machine's. {machine}.

Every row is measured in one run: each contestant in a process of its own, all of them taking turns,
medians of the rounds, ratios taken within a round. CPU time is that of the whole process, threads
included. The floor is the same work with nothing between it and asyncio, SQLite or the PostgreSQL driver:
one asyncio task per node, `gather`, a writer thread that makes a fenced update and an insert durable (WAL,
`synchronous=FULL`) before the step counts as done, or one connection that sends the fenced updates and
inserts of all waiting runs as one statement. Everybody meets the same private PostgreSQL server
(`fsync=on`, `synchronous_commit=on`), each in a database of its own. LangGraph runs with durability "sync".
For Redis the floor is redis-py by hand: pipelines, a listener with a handler, scripts; all meet the same private Valkey
(`appendonly yes`, `appendfsync no`). taskiq-redis runs tasks in its own receiver; `limits` counts in its moving window.
For agents the floor is the loop written by hand over the bare openai SDK, with the same async tool. All ask the same
strict local provider by Chat Completions; it answers at once, in a process of its own whose time is nobody's. LangGraph
is LangChain's `create_agent`, durable with AsyncSqliteSaver; OpenAI Agents is durable with its SQLiteSession.
For the doors the floor is a bare Starlette server that sends the same bytes; LangGraph's own server is `langgraph dev`,
in memory. It answers a POST when the run is in its queue, from which its one worker takes it later; so runs are counted
both as they are answered and as they have ended.
For the chat the floor is a worker and a pod by hand: nats-py, redis-py's pipelined XADD, Starlette's StreamingResponse;
it publishes a chunk when the stream has it, because the bytes tell its place there. All are processes of their own over
private servers, PostgreSQL with `fsync=on`; the CPU time is that of worker and pod, by the kernel's clock.
Absolute times belong to the machine; the ratios are what the targets are about. What did not run is named
so, and counts as neither met nor missed. A run of some cases leaves the rows of the others as they were.

{rows}

{footer}
"""


def write(results: list[tuple[Case, list[Record], list[Verdict]]]) -> None:
    """Put the rows of what was run into the page; cases that took no part keep theirs."""
    before = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    kept = {_title(line): line for line in before.splitlines() if line.startswith("| ")}
    fresh = {_title(line): line for line in (table.row(*result) for result in results)}
    named = dict.fromkeys(case.title for quick in (False, True) for case in all_cases(quick=quick))
    rows = "\n".join([table.HEAD, *((kept | fresh)[title] for title in named if title in kept | fresh)])
    footer = table.footer([record for _, records, _ in results for record in records], before)
    PAGE.write_text(_TEXT.format(machine=table.machine(), rows=rows, footer=footer), encoding="utf-8")


def _title(row: str) -> str:
    return row.split(" | ", 1)[0].removeprefix("| ")
