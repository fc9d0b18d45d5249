"""What a pod bus promises, in memory and on NATS."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import nats
import pytest
import trustme
from tests.contracts.chat_places import process, run, unique, until
from tests.servers.jetstream import NatsServer

from ropewalk.errors import InvalidSession
from ropewalk.messaging.memory import MemoryPodBus, MemoryPodHub
from ropewalk.messaging.nats import NatsConnection, NatsPodBus
from ropewalk.messaging.nats.config import NatsConfig


class Place:
    def __init__(self, kind: str, url: str = "") -> None:
        self.kind, self.url = kind, url
        self.pod = unique("pod")

    def run(self, body: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        """Let three do something: each has a way to the others."""

        async def go() -> None:
            if self.kind == "memory":
                hub = MemoryPodHub()
                await body(*(MemoryPodBus(hub) for _ in range(3)))
                return
            async with connected(self.url) as one, connected(self.url) as two, connected(self.url) as three:
                buses = [NatsPodBus(connection) for connection in (one, two, three)]
                await body(*buses)
                for bus in buses:
                    await bus.close()

        run(go)


@asynccontextmanager
async def connected(url: str, **more: Any) -> Any:
    connection = NatsConnection(url, name="test", **more)
    try:
        assert await connection.within(5)
        yield connection
    finally:
        await connection.close()


async def settled(*buses: Any) -> None:
    """Return when the server knows of every subscription."""
    for bus in buses:
        if isinstance(bus, NatsPodBus):
            await bus._connection.flush(5)  # type: ignore[reportPrivateUsage]


@pytest.fixture(params=["memory", "nats"])
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param, request.getfixturevalue("nats_url") if request.param == "nats" else "")


def test_a_pod_hears_what_is_sent_to_it_and_every_broadcast(place: Place) -> None:
    async def go(worker: Any, pod: Any, other: Any) -> None:
        one, two = list[bytes](), list[bytes]()
        await pod.listen(place.pod, one.append)
        await other.listen(f"{place.pod}.example.com", two.append)
        await settled(pod, other)
        worker.publish([place.pod], b"1")
        worker.publish([place.pod, f"{place.pod}.example.com", unique()], b"2")
        worker.broadcast(unique(), b"3")
        worker.publish([], b"nobody")
        await until(lambda: len(one) == 3 and len(two) == 2)
        assert (one, two) == ([b"1", b"2", b"3"], [b"2", b"3"])
        assert worker.dropped == 0
        assert worker.is_connected

    place.run(go)


def test_what_one_process_sends_arrives_in_its_order(place: Place) -> None:
    async def go(worker: Any, pod: Any, other: Any) -> None:
        heard = list[bytes]()
        await pod.listen(place.pod, heard.append)
        await settled(pod)
        sent = [b"%d" % n + b"x" * (n % 700) for n in range(3000)]
        for n, body in enumerate(sent):
            if n % 7:
                worker.publish([place.pod], body)
            else:
                worker.broadcast("s", body)
            if n % 100 == 0:
                await asyncio.sleep(0)
        await until(lambda: len(heard) == len(sent))
        assert heard == sent

    place.run(go)


def test_a_listener_that_fails_does_not_keep_it_from_the_next_chunk(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async def go(worker: Any, pod: Any, other: Any) -> None:
        heard = list[bytes]()

        def hear(body: bytes) -> None:
            heard.append(body)
            if body == b"1":
                raise KeyError("mine")

        await pod.listen(place.pod, hear)
        await other.listen(place.pod, heard.append)
        await settled(pod, other)
        for body in (b"1", b"2"):
            worker.publish([place.pod], body)
        await until(lambda: len(heard) == 4)
        assert sorted(heard) == [b"1", b"1", b"2", b"2"]

    place.run(go)
    assert "KeyError" in caplog.text


def test_what_cannot_be_a_subject_is_dropped_or_refused(place: Place) -> None:
    async def go(worker: Any, pod: Any, other: Any) -> None:
        heard = list[bytes]()
        await pod.listen(place.pod, heard.append)
        await settled(pod)
        wrong = ["", "*", ">", "a b", "a..b", "a\r\nPUB x 1\r\n", "x" * 254]
        worker.publish([*wrong, place.pod], b"1")
        assert worker.dropped == len(wrong)
        for session in ("", "a.b", "*", "a\r\nb"):
            with pytest.raises(InvalidSession):
                worker.broadcast(session, b"2")
        with pytest.raises(InvalidSession):
            await other.listen("*", heard.append)
        await until(lambda: heard == [b"1"])

    place.run(go)


def test_after_close_nothing_is_heard_and_what_was_published_is_sent(place: Place) -> None:
    async def go(worker: Any, pod: Any, other: Any) -> None:
        heard, gone = list[bytes](), list[bytes]()
        await pod.listen(place.pod, heard.append)
        await other.listen(place.pod, gone.append)
        await settled(pod, other)
        await other.close()
        for n in range(200):
            worker.publish([place.pod], b"%d" % n)
        await worker.close()
        await until(lambda: len(heard) == 200)
        assert gone == []

    place.run(go)


# What only a server can do.


def test_strangers_hear_and_are_heard(nats_url: str) -> None:
    async def go() -> None:
        pod_id, heard, told = unique("pod"), list[bytes](), list[str]()
        stranger = await nats.connect(nats_url)

        async def tell(message: Any) -> None:
            told.append(message.subject)

        await stranger.subscribe("chat.>", cb=tell)
        await stranger.flush()
        async with connected(nats_url) as connection:
            bus = NatsPodBus(connection)
            await bus.listen(pod_id, heard.append)
            await settled(bus)
            await stranger.publish(f"chat.pod.{pod_id}.response", b"1")
            await stranger.publish("chat.session.any.broadcast", b"2", headers={"X": "y"})
            await stranger.publish("chat.pod.another.response", b"3")
            await stranger.flush()
            bus.publish([pod_id], b"4")
            bus.broadcast("s-1", b"5")
            await until(lambda: len(heard) == 4 and len(told) == 5)
            assert heard[:2] == [b"1", b"2"]
            assert told[-2:] == [f"chat.pod.{pod_id}.response", "chat.session.s-1.broadcast"]
        await stranger.close()

    run(go)


def test_a_server_that_is_away_costs_what_was_sent_meanwhile_and_nothing_else(own_nats: NatsServer) -> None:
    async def go() -> None:
        own_nats.stop()
        connection, heard = NatsConnection(own_nats.url, name="test"), list[bytes]()
        bus = NatsPodBus(connection)
        await bus.listen("pod", heard.append)  # at once
        bus.publish(["pod", "pod-2"], b"never")
        bus.broadcast("s", b"never")
        assert (bus.dropped, bus.is_connected) == (3, False)
        for turn in range(2):
            own_nats.start()
            await until(lambda: bus.is_connected)
            await settled(bus)
            bus.publish(["pod"], b"%d" % turn)
            await until(lambda: len(heard) == turn + 1)  # noqa: B023
            own_nats.kill()
            await until(lambda: not bus.is_connected)
            before = bus.dropped
            bus.publish(["pod"], b"never")
            assert bus.dropped == before + 1
        assert heard == [b"0", b"1"]
        await bus.close()
        await connection.close()

    run(go)


@pytest.mark.parametrize("most", [0, 2])
def test_a_connection_that_may_be_tried_so_often_is_given_up_then_and_says_so(
    own_nats: NatsServer, most: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        own_nats.stop()
        connection = NatsConnection(NatsConfig(own_nats.url, most, 0.05), name="test")
        bus, heard = NatsPodBus(connection), list[bytes]()
        await bus.listen("pod", heard.append)
        await asyncio.sleep(0.5)  # one that was never there is not lost
        own_nats.start()
        await until(lambda: bus.is_connected)
        if most:
            own_nats.kill()
            own_nats.start()
            await until(lambda: not caplog.records or bus.is_connected)
            await settled(bus)
            bus.publish(["pod"], b"x")
            await until(lambda: heard == [b"x"])
        own_nats.kill()
        await until(lambda: "is given up" in caplog.text)
        own_nats.start()
        assert await connection.within(1) is None
        await bus.close()
        await connection.close()
        assert f"NATS_MAX_RECONNECTS is {most}" in caplog.text

    run(go)


def test_a_client_that_the_driver_gave_up_is_followed_by_another(nats_url: str) -> None:
    async def go() -> None:
        async with connected(nats_url) as connection:
            bus, heard, first = NatsPodBus(connection), list[bytes](), connection.now()
            await bus.listen("pod-given-up", heard.append)
            await first.close()  # as it does by itself when a server takes back what it allowed
            assert not bus.is_connected
            await until(lambda: bus.is_connected)
            await settled(bus)
            bus.publish(["pod-given-up"], b"x")
            await until(lambda: heard == [b"x"])

    run(go)


def test_a_server_that_does_not_read_is_given_no_more_than_a_bound_and_left(own_nats: NatsServer) -> None:
    async def go() -> None:
        impatient = {"ping_seconds": 0.2}
        async with connected(own_nats.url, **impatient) as one, connected(own_nats.url, **impatient) as two:
            bus, pod, heard = NatsPodBus(one), NatsPodBus(two), list[bytes]()
            await pod.listen("pod", heard.append)
            await settled(pod)
            own_nats.freeze()
            sent = 0
            while not bus.dropped:
                bus.publish(["pod"], b"x" * 10_000)
                sent += 1
                assert sent < 5_000
                await asyncio.sleep(0)
            await until(lambda: not bus.is_connected, 10)  # nobody answers its pings
            own_nats.thaw()

            def fresh() -> bool:
                bus.publish(["pod"], b"fresh")
                return heard[-1:] == [b"fresh"]

            await until(fresh)

    run(go)


def test_a_killed_worker_leaves_whole_chunks(nats_url: str) -> None:
    script = """
        import asyncio, sys
        from ropewalk.messaging.nats import NatsConnection, NatsPodBus

        async def main():
            connection = NatsConnection(sys.argv[1], name="worker")
            await connection.within(5)
            bus = NatsPodBus(connection)
            while True:
                for _ in range(50):
                    bus.publish([sys.argv[2]], b"<" + b"x" * 5000 + b">")
                await asyncio.sleep(0)

        asyncio.run(main())
    """

    async def go() -> None:
        async with connected(nats_url) as connection:
            bus, heard, pod_id = NatsPodBus(connection), list[bytes](), unique("pod")
            await bus.listen(pod_id, heard.append)
            await settled(bus)
            with process(script, nats_url, pod_id) as child:
                await until(lambda: len(heard) > 200)
                child.kill()
            await settled(bus)
            assert set(heard) == {b"<" + b"x" * 5000 + b">"}

    run(go)


def test_a_server_is_reached_by_tls_and_never_told_a_secret_without_it() -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    with NatsServer() as plain:
        key = plain.folder.write("key.pem", certificate.private_key_pem.bytes().decode())
        chain = plain.folder.write("chain.pem", b"".join(p.bytes() for p in certificate.cert_chain_pems).decode())
        with TlsNatsServer({"tls": f'{{ cert_file: "{chain}", key_file: "{key}" }}'}) as server:

            async def go() -> None:
                trust = ssl.create_default_context()
                authority.configure_trust(trust)
                async with connected(server.url.replace("nats:", "tls:"), tls=trust) as connection:
                    assert connection.now()
                for url in (plain.url.replace("nats:", "tls:"), server.url.replace("nats:", "tls:")):
                    wary = NatsConnection(url, name="wary")  # it offers no TLS; it is not to be trusted
                    assert await wary.within(0.5) is None
                    await wary.close()

            run(go)


class TlsNatsServer(NatsServer):
    def answers(self) -> bool:
        return "Server is ready" in self.log()


def test_no_secret_is_in_what_is_logged_or_raised(own_nats: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")

    async def go() -> None:
        wrong = NatsConnection(f"nats://me:s3cret%2Fword@127.0.0.1:{own_nats.port}", name="wrong")
        assert await wrong.within(0.7) is None
        told = repr(wrong.config) + str(wrong.away(wrong.without_secrets(ValueError("s3cret/word s3cret%2Fword"))))
        await wrong.close()
        async with connected(own_nats.url):
            own_nats.kill()
            await asyncio.sleep(0.3)
        assert f"127.0.0.1:{own_nats.port}" in told
        assert "s3cret" not in told + caplog.text
        assert own_nats.password not in told + caplog.text

    run(go)


def test_a_url_that_names_no_nats_server_is_refused() -> None:
    for url in ("http://localhost", "localhost:4222", "nats://", "nats://a:b:c"):
        with pytest.raises(ValueError, match=r"NATS URL|Port"):
            NatsConnection(url, name="test")
    config = NatsConnection("nats://t0ken@a:1, tls://b", name="test").config
    assert config.servers == ["nats://a:1", "tls://b:4222"]
    assert config.credentials == {"token": "t0ken"}
    assert config.shown == "a:1, b:4222"
    assert config.needs_tls
