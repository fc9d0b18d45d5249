"""The sockets: one Protocol a file, its guarantees in its docstring."""

from ropewalk.contracts.run_store import NewRun, RunRecord, RunStore

__all__ = ["NewRun", "RunRecord", "RunStore"]
