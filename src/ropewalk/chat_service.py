"""Puts the chat service together: a pod, a worker, or both in one process."""

import asyncio
import contextlib
import socket
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ropewalk.chat_parts import ChatParts
from ropewalk.chat_settings import ChatSettings
from ropewalk.contracts import RunRecord
from ropewalk.core.engine import Engine
from ropewalk.errors import PartMissing
from ropewalk.runtime import Graph
from ropewalk.settings import DoorSettings

if TYPE_CHECKING:
    from ropewalk.chat.answering import Answering
    from ropewalk.chat.desk import ChatDesk
    from ropewalk.chat.outlet import Ways
    from ropewalk.contracts.live_events import LiveEvents
    from ropewalk.server.listening import Listener
    from ropewalk.workers.broadcasting import Broadcasting


def demo_graph() -> Graph[Any]:
    """Return the graph that answers where none is served."""
    from ropewalk.chat.demo import MODEL, DemoChat, demo  # noqa: PLC0415  loads what is used, no more
    from ropewalk.core.plan import END, START  # noqa: PLC0415

    graph: Graph[Any] = Graph(DemoChat, name=MODEL)
    graph.add_node(demo, "answer").add_edge(START, "answer").add_edge("answer", END)
    return graph.compile()


@dataclass(frozen=True, kw_only=True)
class _Chat:
    """What a pod and a worker have in common."""

    service: Any
    desk: "ChatDesk"
    ways: "Ways"
    closing: Any


def _chat_of(
    graphs: Sequence[Graph[Any]], parts: ChatParts, settings: ChatSettings, aliases: Mapping[str, str], runs: int
) -> _Chat:
    try:  # the extra is loaded by who serves
        from ropewalk.chat.closing import Closing  # noqa: PLC0415
        from ropewalk.chat.desk import ChatDesk, ChatRules  # noqa: PLC0415
        from ropewalk.chat.outlet import Told, Ways  # noqa: PLC0415
        from ropewalk.chat.whereabouts import Whereabouts  # noqa: PLC0415
        from ropewalk.server.runs import RunLimits, RunService  # noqa: PLC0415
    except ImportError as error:
        raise PartMissing("The chat service", "server") from error
    service = RunService(graphs, aliases=aliases, for_workers=True, limits=RunLimits(runs_per_user=runs))
    ways = Ways(log=parts.log, bus=parts.bus, whereabouts=Whereabouts(parts.registry), told=Told())
    rules = ChatRules(on_busy=settings.on_busy, models=settings.models)
    return _Chat(
        service=service, desk=ChatDesk(service, parts.registry, rules), ways=ways, closing=Closing(service, ways)
    )


def _keeper_of(doors: DoorSettings) -> Any:
    from ropewalk.doors import authenticator_of, limiter_of  # noqa: PLC0415  loads what is used, no more
    from ropewalk.server.routes import Doorkeeper  # noqa: PLC0415

    return Doorkeeper(authenticator_of(doors), None, limiter_of(doors))


def may_chat(graphs: Sequence[Graph[Any]]) -> bool:
    """Tell whether one of the graphs has messages to answer with."""
    return any("messages" in graph.desk.shape.fields for graph in graphs)


class ChatWorker:
    """A worker beside a bus: tells servers what the runs say that it drives, and sessions, where its graphs chat."""

    def __init__(
        self,
        graphs: Sequence[Graph[Any]],
        parts: ChatParts | None,
        settings: ChatSettings,
        *,
        live: "LiveEvents | None" = None,
        aliases: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        """``options`` are those of `Worker`. None for ``parts``: sessions are told nothing, and servers are over
        ``live``, where there is one. Raises what `Worker` raises.
        """
        from ropewalk.workers import Worker  # noqa: PLC0415  loads what is used, no more

        self.answering: Answering | None = None
        self.broadcasting: Broadcasting | None = None
        self.ways: Ways | None = None
        live = live if parts is None else parts.live
        if live is not None:
            from ropewalk.workers import broadcasting  # noqa: PLC0415  as above

            self.broadcasting = broadcasting.Broadcasting(live)
        if parts is not None and may_chat(graphs):
            chat = _chat_of(graphs, parts, settings, aliases or {}, 1_000_000)
            from ropewalk.chat import answering  # noqa: PLC0415  as above

            self.answering = answering.Answering(
                chat.desk, chat.ways, parts.requests, free=self._free, in_hand=self._in_hand
            )
            self.ways = chat.ways
        self.graphs = graphs
        opening = None if self.answering is None else self.answering.opening
        self.worker: Worker = Worker(graphs, opening=opening, on_drive=self._on_drive, **options)

    def _free(self) -> int:
        return self.worker.concurrency - len(self.worker.driving)

    async def _in_hand(self, run_id: str) -> RunRecord | None:
        return await self.worker.in_hand(run_id)

    def _on_drive(self, record: RunRecord, engine: Engine) -> None:
        if self.broadcasting is not None:
            self.broadcasting.on_drive(record, engine)
        if self.answering is not None:
            self.answering.on_drive(record, engine)

    async def run(self) -> None:
        """Work until `stop`; then hand everything over."""
        if self.broadcasting is not None:
            await self.broadcasting.start()
        if self.answering is not None:
            self.answering.start()
        try:
            await self.worker.run()
        finally:
            if self.answering is not None:
                await self.answering.close()
            if self.broadcasting is not None:
                await self.broadcasting.close()

    def stop(self, *, at_once: bool = False) -> None:
        self.worker.stop(at_once=at_once)


@contextlib.contextmanager
def serving_metrics(works: ChatWorker, host: str, port: int | None) -> Generator[None]:
    """Serve a worker's ``/metrics`` meanwhile; without a port nothing is. Raises `PartMissing` and OSError."""
    if port is None:
        yield
        return
    try:
        from ropewalk.chat.metrics import register, serve_metrics, told_series, worker_series  # noqa: PLC0415
        from ropewalk.server.metrics import Metrics, watch  # noqa: PLC0415
    except ImportError as error:
        raise PartMissing("Measuring", "metrics") from error
    metrics = Metrics(metadata.version("ropewalk"), looks_at_the_store=False)
    watch(works.graphs, metrics)
    if works.answering is not None and works.ways is not None:
        register(metrics.registry, worker_series(works.answering), told_series(works.ways.told, works.ways.bus))
    stop = serve_metrics(metrics.registry, host, port)
    try:
        yield
    finally:
        stop()


class Gateway:
    """A pod on one socket: `serve` until `stop`."""

    def __init__(
        self,
        graphs: Sequence[Graph[Any]],
        parts: ChatParts,
        settings: ChatSettings,
        doors: DoorSettings,
        *,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        """Make the app. Raises `PartMissing` without the extra, ValueError for graphs that do not go together."""
        chat = _chat_of(graphs, parts, settings, aliases or {}, doors.runs_per_user)
        from ropewalk.chat.app import create_pod_app  # noqa: PLC0415  loads what is used, no more
        from ropewalk.chat.ordering import OrderingLimits  # noqa: PLC0415
        from ropewalk.chat.pod import Pod  # noqa: PLC0415
        from ropewalk.chat.relay import Relay  # noqa: PLC0415
        from ropewalk.chat.routes import Announcing, ChatDoors  # noqa: PLC0415
        from ropewalk.chat.sweeping import Sweep  # noqa: PLC0415
        from ropewalk.server.bodies import BodyLimits  # noqa: PLC0415
        from ropewalk.server.policy import policy_of  # noqa: PLC0415

        limits = OrderingLimits(
            messages=settings.most_buffers,
            chunks=settings.most_chunks,
            max_age_seconds=settings.buffer_seconds,
            missing_seconds=settings.missing_seconds,
            cleanup_seconds=settings.cleanup_seconds,
        )
        self._settings = settings
        self._listener: Listener | None = None
        self.relay = Relay(settings.pod_id, chat.service, chat.ways, limits)
        self.pod = Pod(
            settings.pod_id,
            chat.desk,
            ways=chat.ways,
            registry=parts.registry,
            relay=self.relay,
            closing=chat.closing,
            sweep=Sweep(chat.service, parts.requests),
        )
        self.announcing = Announcing(parts.requests)
        self.service = chat.service
        self.parts = parts
        asked = ChatDoors(
            desk=chat.desk,
            pod=self.pod,
            relay=self.relay,
            closing=chat.closing,
            announcing=self.announcing,
            bus=parts.bus,
            keeper=_keeper_of(doors),
            limits=BodyLimits(bytes=doors.max_body_bytes),
            stuck_seconds=settings.write_seconds,
        )
        policy = policy_of(doors.allowed_hosts, doors.allowed_origins, checks_hosts=not doors.asks_who)
        self.app = create_pod_app(asked, policy)
        try:  # the extra is optional: a pod works without being measured
            from ropewalk.chat.metrics import pod_series, register, told_series  # noqa: PLC0415
            from ropewalk.server.metrics import add_metrics  # noqa: PLC0415
        except ImportError:
            return
        metrics = add_metrics(
            self.app, self.app.router, chat.service, asked.keeper, version=metadata.version("ropewalk")
        )
        register(metrics.registry, pod_series(self.pod, self.relay), told_series(chat.ways.told, parts.bus))

    def open_socket(self, host: str, port: int) -> socket.socket:
        """Bind the socket; port 0 is any free one. Raises OSError."""
        from ropewalk.server.listening import open_socket  # noqa: PLC0415  the extra is loaded by who serves

        return open_socket(host, port, dead_seconds=self._settings.write_seconds)

    async def serve(self, listening: socket.socket) -> None:
        """Answer until `stop`, or a signal to this process; then send the clients to other pods."""
        from ropewalk.server.listening import Listener  # noqa: PLC0415  as above

        await self.pod.start()
        self._listener = Listener(self.app, before_end=self._before_end, read_seconds=self._settings.read_seconds)
        await self._listener.serve(sockets=[listening])

    async def _before_end(self) -> None:
        await self.pod.close()
        await self.relay.close()
        await self.announcing.close()
        await self.service.close()
        await self.app.state.keeper.limiter.close()

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.should_exit = True


class Chat:
    """A pod and a worker in one process."""

    def __init__(
        self,
        graphs: Sequence[Graph[Any]],
        parts: ChatParts,
        settings: ChatSettings,
        doors: DoorSettings,
        *,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        """Raises what `Gateway` and `ChatWorker` raise."""
        self.gateway = Gateway(graphs, parts, settings, doors, aliases=aliases)
        self.worker = ChatWorker(graphs, parts, settings, aliases=aliases, grace=10.0)

    async def serve(self, listening: socket.socket) -> None:
        """Answer until a signal comes, or `stop`."""
        working = asyncio.create_task(self.worker.run(), name="ropewalk: the chat's worker")
        try:
            await self.gateway.serve(listening)
        finally:
            self.worker.stop()
            await working

    def stop(self) -> None:
        self.gateway.stop()
