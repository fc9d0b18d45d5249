"""A schedule as bytes and back: a cache of the fold, so that recovery need not read a long log from its beginning.

A checksum stands in front: what a failing disk has changed must not be taken for what happened.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic_core import from_json

from ropewalk.codec import RawJson, dump_json
from ropewalk.core.facts import Paused, Route, RunStopped, route_data, route_of
from ropewalk.core.places import Arrival, Firing, PauseState, Scope, Step
from ropewalk.core.schedule import Schedule
from ropewalk.core.state import EMPTY, Values
from ropewalk.core.versions import IS_EDIT, Version

FORMAT = 2
_CHECKSUM_LENGTH = 8


def dump_snapshot(schedule: Schedule) -> bytes:
    """Return everything that `load_snapshot` needs to go on from the schedule's entry."""
    body = dump_json(
        {
            "format": FORMAT,
            "plan": schedule.plan.digest,
            "number": schedule.number,
            "status": schedule.status,
            "limit": schedule.max_iterations,
            "held": schedule.held,
            "failure": schedule.failure and list(schedule.failure),
            "stopped": schedule.stopped and list(schedule.stopped),
            "active_seconds": schedule.active_seconds,
            "last_at": schedule.last_at,
            "usage": schedule.usage,
            "final": schedule.final and schedule.final.number,
            "first": schedule.first.number,
            "edits": [edit.number for edit in schedule.versions.edits],
            "versions": [_version(schedule, version) for version in _past_of(_versions(schedule))],
            "count": schedule.versions.count,
            "root": _scope(schedule.root),
            "steps": [_step(step) for step in schedule.steps.values()],
            "chosen": [[key, _chosen(chosen)] for key, chosen in schedule.chosen.items()],
            "undecided": list(schedule.undecided),
            "unannounced": [firing.id for firing in schedule.unannounced],
            "pauses": [_pause(key, pause, key in schedule.open_pauses) for key, pause in schedule.pauses.items()],
        }
    )
    return _checksum(body) + body


def load_snapshot(schedule: Schedule, body: bytes) -> bool:
    """Make a fresh schedule what it was; return False, and leave it fresh, when the snapshot is damaged, or of another
    plan or format.
    """
    body, checksum = body[_CHECKSUM_LENGTH:], body[:_CHECKSUM_LENGTH]
    if checksum != _checksum(body):
        return False
    data = from_json(body)
    if data.get("format") != FORMAT or data.get("plan") != schedule.plan.digest:
        return False
    _Loader(schedule, data).load()
    return True


def _checksum(body: bytes) -> bytes:
    return b"%08x" % zlib.crc32(body)


def _versions(schedule: Schedule) -> Iterator[Version]:
    yield schedule.first
    yield from schedule.versions.edits
    if schedule.final is not None:
        yield schedule.final
    for scope in _scopes(schedule.root):
        for arrivals in (*scope.waiting.values(), scope.ended):
            yield from (arrival.version for arrival in arrivals)
        for firing in scope.active.values():
            yield from (version for version in (firing.version, firing.out, *firing.results) if version is not None)


def _scopes(scope: Scope) -> Iterator[Scope]:
    yield scope
    for firing in scope.active.values():
        for inner in firing.scopes.values():
            yield from _scopes(inner)


def _past_of(versions: Iterable[Version]) -> list[Version]:
    """Return the versions and all they descend from, parents first."""
    found: set[Version] = set()
    walk = list(versions)
    while walk:
        version = walk.pop()
        if version not in found:
            found.add(version)
            walk.extend(version.parents)
    return sorted(found, key=lambda version: version.number)


def _version(schedule: Schedule, version: Version) -> dict[str, Any]:
    shape = schedule.shape
    data: dict[str, Any] = {"number": version.number, "edits": version.edits, "refs": version.refs}
    if version.writes:
        data["writes"] = shape.raw_writes(version.writes)
        data["squash_due"] = version.squash_due  # floats come out otherwise where other writes become one
    if version.parents:
        data["parents"] = [parent.number for parent in version.parents]
        if (sums := _rounded(version)) is not None:  # several writes may be one by now, which rounds otherwise
            data["values"] = shape.raw_writes(shape.set_all(sums))
    elif version.edits != IS_EDIT:
        data["values"] = shape.raw_writes(shape.set_all(version.values))
    return data


def _rounded(version: Version) -> Values | None:
    """Return the values that the version's writes have added floats to."""
    plain = version.values.plain
    added = {write.field for write in version.writes if isinstance(write.value, float)}
    return Values({field: plain[field] for field in added if field in plain}, {}) if added else None


def _scope(scope: Scope) -> dict[str, Any]:
    return {
        "waiting": [[place, list(map(_arrival, arrivals))] for place, arrivals in scope.waiting.items()],
        "ended": list(map(_arrival, scope.ended)),
        "counts": [[place, count] for place, count in scope.counts.items()],
        "active": list(map(_firing, scope.active.values())),
        "item": _item(scope.item),
    }


def _arrival(arrival: Arrival) -> list[Any]:
    return [arrival.edge, arrival.source, arrival.version.number, _items(arrival.items)]


def _items(items: tuple[RawJson | None, ...] | None) -> list[Any] | None:
    return None if items is None else list(map(_item, items))


def _item(item: RawJson | None) -> list[RawJson] | None:
    """Return the item in a list, so that one that is null differs from none at all."""
    return None if item is None else [item]


def _firing(firing: Firing) -> dict[str, Any]:
    return {
        "place": firing.place.index,
        "number": firing.number,
        "version": firing.version.number,
        "items": _items(firing.items),
        "results": [result and result.number for result in firing.results],
        "remaining": firing.remaining,
        "routes": [[index, list(map(route_data, routes))] for index, routes in firing.routes.items()],
        "out": firing.out and firing.out.number,
        "held": firing.held,
        "pause": firing.pause,
        "scopes": [[index, _scope(scope)] for index, scope in firing.scopes.items()],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "id": step.id,
        "firing": step.firing.id,
        "index": step.index,
        "item": _item(step.item),
        "status": step.status,
        "counts": [step.failures, step.spent, step.takeovers, step.deaths],
        "retry_at": step.retry_at,
        "records": [[name, nth, value] for (name, nth), value in step.records.items()],
        "answers": [[name, nth, value] for (name, nth), value in step.answers.items()],
        "asked": [[name, nth, pause] for (name, nth), pause in step.asked.items()],
    }


def _pause(key: str, pause: PauseState, is_open: bool) -> dict[str, Any]:
    fact = pause.fact
    return {
        "fact": [key, fact.kind, fact.node, fact.step, fact.payload, fact.name, fact.nth],
        "expiry": None if fact.expires_at is None else [fact.expires_at, fact.otherwise],
        "firing": pause.firing.id if is_open and pause.firing else None,
        "step": pause.step.id if is_open and pause.step else None,
        "open": is_open,
        "answered": [pause.answered_at, pause.answered_by],
    }


def _chosen(chosen: dict[int, tuple[Route, ...]]) -> list[Any]:
    return [[way, list(map(route_data, routes))] for way, routes in chosen.items()]


class _Loader:
    def __init__(self, schedule: Schedule, data: dict[str, Any]) -> None:
        self._schedule = schedule
        self._data = data
        self._versions: dict[int, Version] = {}
        self._firings: dict[str, Firing] = {}
        self._starts: dict[str, Scope] = {}

    def load(self) -> None:
        schedule, data = self._schedule, self._data
        for stored in data["versions"]:
            self._load_version(stored)
        schedule.versions.count = data["count"]
        schedule.versions.edits = [self._versions[number] for number in data["edits"]]
        schedule.first = self._versions[data["first"]]
        schedule.final = self._versions[data["final"]] if data["final"] is not None else None
        schedule.number, schedule.status, schedule.held = data["number"], data["status"], data["held"]
        schedule.max_iterations = data["limit"]
        schedule.failure = RunStopped(*data["failure"]) if data["failure"] else None
        schedule.stopped = RunStopped(*data["stopped"]) if data["stopped"] else None
        schedule.active_seconds, schedule.last_at = data["active_seconds"], data["last_at"]
        schedule.usage = data.get("usage", {})
        self._load_scope(schedule.root, data["root"])
        for stored in data["steps"]:
            self._load_step(stored)
        departures = {**self._firings, **self._starts}
        schedule.undecided = {key: departures[key] for key in data["undecided"]}
        schedule.chosen = {
            key: {way: tuple(map(route_of, routes)) for way, routes in chosen} for key, chosen in data["chosen"]
        }
        schedule.unannounced = [self._firings[key] for key in data["unannounced"]]
        for stored in data["pauses"]:
            self._load_pause(stored)
        schedule.ready = schedule.pending()

    def _load_version(self, stored: dict[str, Any]) -> None:
        schedule = self._schedule
        shape, versions = schedule.shape, schedule.versions
        writes = shape.load(stored.get("writes", ()))
        parents = tuple(self._versions[number] for number in stored.get("parents", ()))
        values = shape.fold(versions.values_of(parents), writes) if parents else EMPTY
        values = shape.fold(values, shape.load(stored.get("values", ())))
        version = Version(stored["number"], parents, writes, values, stored["edits"])
        version.refs = stored["refs"]
        version.squash_due = stored.get("squash_due", 0)
        self._versions[version.number] = version

    def _load_scope(self, scope: Scope, stored: dict[str, Any]) -> None:
        self._starts[f"{scope.prefix}{scope.plan.places[0].name}"] = scope
        for place, arrivals in stored["waiting"]:
            scope.waiting[place] = list(map(self._arrival, arrivals))
            scope.waiting_bits |= 1 << place
        scope.ended = list(map(self._arrival, stored["ended"]))
        scope.counts = dict(stored["counts"])
        scope.item = _raw(stored["item"])
        for firing in stored["active"]:
            self._load_firing(scope, firing)

    def _arrival(self, stored: list[Any]) -> Arrival:
        edge, source, version, items = stored
        return Arrival(edge, source, self._versions[version], None if items is None else tuple(map(_raw, items)))

    def _load_firing(self, scope: Scope, stored: dict[str, Any]) -> None:
        place = scope.plan.places[int(stored["place"])]
        firing = Firing(place, scope, stored["number"], self._versions[stored["version"]])
        firing.items = None if stored["items"] is None else tuple(map(_raw, stored["items"]))
        firing.results = [None if number is None else self._versions[number] for number in stored["results"]]
        firing.remaining, firing.held, firing.pause = stored["remaining"], stored["held"], stored["pause"]
        firing.routes = {index: tuple(map(route_of, routes)) for index, routes in stored["routes"]}
        firing.out = self._versions[stored["out"]] if stored["out"] is not None else None
        scope.active[place.index] = firing
        scope.active_bits |= 1 << place.index
        self._firings[firing.id] = firing
        for index, inner in stored["scopes"]:
            assert place.plan is not None
            opened = firing.open_scope(place.plan, index)
            self._load_scope(opened, inner)

    def _load_step(self, stored: dict[str, Any]) -> None:
        step = Step(self._firings[stored["firing"]], stored["id"], stored["index"], _raw(stored["item"]))
        step.status, step.retry_at = stored["status"], stored["retry_at"]
        step.failures, step.spent, step.takeovers, step.deaths = stored["counts"]
        step.records = {(name, nth): _present(value) for name, nth, value in stored["records"]}
        step.answers = {(name, nth): _present(value) for name, nth, value in stored["answers"]}
        step.asked = {(name, nth): pause for name, nth, pause in stored["asked"]}
        self._schedule.steps[step.id] = step

    def _load_pause(self, stored: dict[str, Any]) -> None:
        key, kind, node, step_id, payload, name, nth = stored["fact"]
        expiry = stored.get("expiry")
        fact = Paused(key, kind, node, step_id, _present(payload), name, nth)
        if expiry:
            fact = fact._replace(expires_at=expiry[0], otherwise=_present(expiry[1]))
        firing = self._firings.get(stored["firing"]) if stored["firing"] else None
        step = self._schedule.steps.get(stored["step"]) if stored["step"] else None
        pause = PauseState(fact, firing, step)
        pause.answered_at, pause.answered_by = stored["answered"]
        self._schedule.pauses[key] = pause
        if stored["open"]:
            self._schedule.open_pauses[key] = pause


def _raw(stored: list[Any] | None) -> RawJson | None:
    return None if stored is None else _present(stored[0])


def _present(value: Any) -> RawJson:
    return RawJson(dump_json(value))
