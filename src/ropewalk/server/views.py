"""Runs, entries and events as callers read them: plain JSON data, the same at every door."""

from collections.abc import Mapping
from typing import Any

from ropewalk.contracts import RunRecord
from ropewalk.core.standing import Pause, Standing
from ropewalk.events import Entry, Event


def record_data(record: RunRecord) -> dict[str, Any]:
    """Return what a list of runs tells of one."""
    return {
        "run_id": record.run_id,
        "graph": record.graph,
        "status": record.status,
        "session": record.session,
        "created": record.created,
        "updated": record.updated,
        "entries": record.last,
        "parent": record.parent,
        "fork_at": record.fork_at if record.parent is not None else None,
    }


def run_data(record: RunRecord, standing: Standing) -> dict[str, Any]:
    """Return all that is told of one run; status and state are of the same entry."""
    failed = standing.status in ("FAILED", "CANCELLED")
    return record_data(record) | {
        "status": str(standing.status),
        "entries": standing.number,
        "state": standing.state,
        "pauses": [] if standing.status in ("CANCELLED", "DONE") else [pause_data(pause) for pause in standing.pauses],
        "usage": standing.usage,
        "error": {"code": standing.code, "node": standing.node, "message": standing.message} if failed else None,
    }


def pause_data(pause: Pause) -> dict[str, Any]:
    """Return what is told of a pause, wherever it is told; without ``expires_at`` it can always be answered."""
    return {
        "id": pause.id,
        "kind": pause.kind,
        "node": pause.node,
        "payload": pause.payload,
        "expires_at": pause.expires_at,
    }


def entry_data(entry: Entry) -> dict[str, Any]:
    return {"number": entry.number, "type": entry.type, "node": entry.node, "data": entry.data, "at": entry.at}


def event_data(run_id: str, event: Event) -> dict[str, Any]:
    """Return the object that streams carry."""
    return {"run_id": run_id, "id": event.id, "type": event.type, "node": event.node, "data": event.data}


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what changed from one state to the next, field by field.

    ``op`` is ``add`` (the field is new), ``append`` (a list has the same beginning; ``value`` is what came on top),
    ``replace`` or ``remove``.
    """
    found: list[dict[str, Any]] = []
    for field, value in after.items():
        if field not in before:
            found.append({"field": field, "op": "add", "value": value})
        elif value != before[field]:
            found.append(_changed(field, before[field], value))
    return found + [{"field": field, "op": "remove"} for field in before if field not in after]


def _changed(field: str, old: Any, new: Any) -> dict[str, Any]:
    if isinstance(old, list) and isinstance(new, list) and new[: len(old)] == old:  # pyright: ignore[reportUnknownArgumentType]
        return {"field": field, "op": "append", "value": new[len(old) :]}  # pyright: ignore[reportUnknownArgumentType]
    return {"field": field, "op": "replace", "before": old, "value": new}
