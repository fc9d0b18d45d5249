"""Puts a server together: graphs, who may ask, limits and doors become one app on one socket."""

import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ropewalk.core.graph import Graph
from ropewalk.errors import PartMissing, PartUnknown
from ropewalk.live_bus import open_live
from ropewalk.settings import DoorSettings

if TYPE_CHECKING:
    from ropewalk.contracts.live_events import LiveEvents
    from ropewalk.server.listening import Listener


class Doors:
    """Graphs behind HTTP on one socket: `serve` until `stop`."""

    def __init__(
        self,
        graphs: Sequence[Graph[Any]],
        settings: DoorSettings,
        *,
        aliases: Mapping[str, str],
        live: "LiveEvents | None" = None,
    ) -> None:
        """Make the app; ``live`` brings the live events of runs that workers drive, else the bus of the settings does.

        Raises `PartMissing` without the extra, `PartUnknown`, ValueError for graphs that do not go together.
        """
        self._bus = None if settings.bus is None or live is not None else open_live(settings.bus, name="ropewalk serve")
        live = self._bus.live if self._bus is not None else live
        self.service, self.app, self._more, self._door = _app_of(graphs, settings, aliases, live)
        self.grace_seconds = 10.0
        """How long a stop waits for steps in flight; what does not end by then is done again at the next start."""
        self.taken_over = 0
        """How many runs that a dead process left behind were taken over."""
        self._settings = settings
        self._listener: Listener | None = None

    def open_socket(self, host: str, port: int) -> socket.socket:
        """Bind the socket; port 0 is any free one. Raises OSError."""
        from ropewalk.server.listening import open_socket  # noqa: PLC0415  the extra is loaded by who serves

        return open_socket(host, port)

    async def serve(self, listening: socket.socket) -> None:
        """Answer until `stop`, or a signal to this process; then let streams and runs come to rest."""
        from ropewalk.server.listening import Listener  # noqa: PLC0415  as above

        if not self._settings.for_workers:
            self.taken_over = await self.service.driving.take_over()
        await self._more.start()
        if self._bus is not None:
            self._bus.begin()
        self._listener = Listener(self._door, before_end=self._before_end)
        await self._listener.serve(sockets=[listening])

    async def _before_end(self) -> None:
        await self._more.close()
        await self.service.close(grace_seconds=self.grace_seconds)
        await self.app.state.keeper.limiter.close()
        if self._bus is not None:
            await self._bus.close()

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.should_exit = True


def _app_of(
    graphs: Sequence[Graph[Any]], settings: DoorSettings, aliases: Mapping[str, str], live: "LiveEvents | None"
) -> tuple[Any, Any, Any, Any]:
    """Return the service, its app, the other doors on that, and what stands before it on the socket."""
    try:  # the extra is loaded by who serves
        from ropewalk.server.gateway import create_app  # noqa: PLC0415
    except ImportError as error:
        raise PartMissing("The HTTP server", "server") from error
    from ropewalk.server.bodies import BodyLimits  # noqa: PLC0415
    from ropewalk.server.more_doors import MoreDoors  # noqa: PLC0415
    from ropewalk.server.policy import policy_of  # noqa: PLC0415
    from ropewalk.server.room import RunLimits  # noqa: PLC0415
    from ropewalk.server.runs import RunService  # noqa: PLC0415
    from ropewalk.server.short_way import ShortWay  # noqa: PLC0415

    limits = RunLimits(runs_per_user=settings.runs_per_user)
    service = RunService(graphs, aliases=aliases, for_workers=settings.for_workers, limits=limits, live=live)
    policy = policy_of(settings.allowed_hosts, settings.allowed_origins, checks_hosts=not settings.asks_who)
    body_limits = BodyLimits(bytes=settings.max_body_bytes)
    app = create_app(
        service,
        authenticate=authenticator_of(settings),
        policy=policy,
        limiter=limiter_of(settings),
        body_limits=body_limits,
    )
    more = MoreDoors(app, service, settings, body_limits=body_limits, worker_of=_worker_of_deliveries)
    door = ShortWay(app, service, app.state.keeper, policy, body_limits, more.answered)
    return service, app, more, door


def limiter_of(settings: DoorSettings) -> Any:
    """Return what counts requests: here, or for all servers together. Raises `PartUnknown` and `PartMissing`."""
    from ropewalk.server.limits import Limiter, RequestLimits  # noqa: PLC0415  the extra is loaded by who serves

    asked = RequestLimits(requests_per_second=settings.requests_per_second, streams_per_user=settings.streams_per_user)
    if settings.limits is None:
        return Limiter(asked)
    if urlsplit(settings.limits).scheme not in ("redis", "rediss", "unix"):
        raise PartUnknown("limits", settings.limits, ["redis://localhost:6379"])
    from ropewalk.messaging.redis.async_client import AsyncRedisClient  # noqa: PLC0415  as above
    from ropewalk.messaging.redis.config import RedisConfig  # noqa: PLC0415
    from ropewalk.messaging.redis.throttle import RedisThrottle  # noqa: PLC0415

    return Limiter(asked, throttle=RedisThrottle(AsyncRedisClient(RedisConfig(settings.limits))))


def authenticator_of(settings: DoorSettings) -> Any:
    """Return what finds out who asks."""
    from ropewalk.server.auth import ApiKeys, let_anybody_in  # noqa: PLC0415  the extra is loaded by who serves

    keys = ApiKeys(settings.api_keys) if settings.api_keys else None
    if settings.jwks is None:
        return keys or let_anybody_in
    from ropewalk.server.tokens import Tokens  # noqa: PLC0415  as above

    return Tokens(settings.jwks, issuer=settings.jwt_issuer, audience=settings.jwt_audience, otherwise=keys)


def _worker_of_deliveries(graph: Graph[Any]) -> Any:
    from ropewalk.workers import Worker  # noqa: PLC0415  as above

    return Worker(graph, concurrency=16, grace=1.0)


def part_of_the_server(name: str) -> Any:
    """Return a public name that needs the extra ``server``. Raises `PartMissing`."""
    try:
        from ropewalk.server import graph_service, seed_routes  # noqa: PLC0415  loaded when somebody asks for it
    except ImportError as error:
        raise PartMissing("Serving graphs", "server") from error
    return getattr(graph_service, name, None) or getattr(seed_routes, name)
