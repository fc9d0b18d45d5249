"""What a queue of requests promises, in memory and on JetStream."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import nats
import pytest
from tests.contracts.chat_places import process, run, until
from tests.servers.fixtures import delete_streams
from tests.servers.jetstream import NatsServer

from ropewalk.errors import InvalidSession
from ropewalk.errors.chat import BusUnavailable
from ropewalk.messaging.memory import MemoryChatRequests
from ropewalk.messaging.nats import NatsChatRequests, NatsConnection
from ropewalk.messaging.nats.pull import Pull


class Place:
    def __init__(self, kind: str, url: str = "") -> None:
        self.kind, self.url = kind, url

    def run(self, body: Callable[..., Awaitable[None]], **settings: Any) -> None:
        """Let a pod and two workers do something."""

        async def go() -> None:
            if self.kind == "memory":
                shared = MemoryChatRequests(**settings)
                await body(shared, shared, shared)
                return
            await delete_streams(self.url, "WORKFLOW_")
            async with (
                queue(self.url, **settings) as pod,
                queue(self.url, **settings) as one,
                queue(self.url, **settings) as two,
            ):
                await body(pod, one, two)

        run(go)


@asynccontextmanager
async def queue(url: str, *, ping_seconds: float = 2.0, **settings: Any) -> AsyncGenerator[NatsChatRequests]:
    connection = NatsConnection(url, name="test", ping_seconds=ping_seconds)
    part = NatsChatRequests(connection, **settings)
    try:
        yield part
    finally:
        await part.close()
        await connection.close()


@pytest.fixture(params=["memory", "nats"])
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param, request.getfixturevalue("nats_url") if request.param == "nats" else "")


async def dead_of(part: Any) -> list[tuple[str, bytes, str]]:
    if isinstance(part, MemoryChatRequests):
        return [(one.session_id, one.body, one.reason) for one in part.dead]
    client = part.connection.now()
    js, found = client.jetstream(), []
    try:
        state = (await js.stream_info("WORKFLOW_DLQ")).state
    except nats.js.errors.NotFoundError:
        return []
    for place in range(state.first_seq, state.last_seq + 1):
        message = await js.get_msg("WORKFLOW_DLQ", place)
        found.append((message.subject.removeprefix("chat.dead."), message.data, message.headers["Ropewalk-Reason"]))
    return found


def test_a_request_is_handed_to_one_worker_until_it_is_done(place: Place) -> None:
    async def go(pod: Any, one: Any, two: Any) -> None:
        await pod.publish("s-1", b'{"a": 1}', message_id="m-1")
        (taken,) = await one.fetch(most=5, at_most_seconds=5)
        assert (taken.session_id, taken.body, taken.attempt) == ("s-1", b'{"a": 1}', 1)
        assert await two.fetch(most=5, at_most_seconds=0.1) == ()
        assert await pod.waiting() == 1
        await taken.done()
        assert await pod.waiting() == 0
        assert await two.fetch(most=5, at_most_seconds=0.6) == ()

    place.run(go, delivery_seconds=0.4)


def test_a_fetch_waits_for_what_comes_and_holds_no_more_than_was_asked(place: Place) -> None:
    async def go(pod: Any, one: Any, two: Any) -> None:
        waiting = asyncio.create_task(one.fetch(most=3, at_most_seconds=5))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await pod.publish("s", b"0", message_id="m0")
        assert [delivery.body for delivery in await waiting] == [b"0"]
        assert time.monotonic() - began < 1
        for n in range(1, 8):
            await pod.publish("s", b"%d" % n, message_id=f"m{n}")
        some = await one.fetch(most=3, at_most_seconds=1)
        rest = await two.fetch(most=10, at_most_seconds=1)
        assert (len(some), len(rest)) == (3, 4)
        assert sorted(delivery.body for delivery in (*some, *rest)) == [b"%d" % n for n in range(1, 8)]
        assert await two.fetch(most=1, at_most_seconds=0.05) == ()
        with pytest.raises(ValueError, match="one request at least"):
            await one.fetch(most=0, at_most_seconds=1)

    place.run(go)


def test_many_workers_share_what_comes_without_doing_it_twice(place: Place) -> None:
    async def go(pod: Any, one: Any, two: Any) -> None:
        done: list[bytes] = []

        async def work(queue: Any) -> None:
            while len(done) < 60:
                for delivery in await queue.fetch(most=4, at_most_seconds=0.3):
                    done.append(delivery.body)
                    await delivery.done()

        async def send(start: int) -> None:
            for n in range(start, start + 20):
                await pod.publish(f"s{n % 7}", b"%d" % n, message_id=f"m{n}")

        await asyncio.gather(send(0), send(20), send(40), work(one), work(two), work(one))
        assert sorted(map(int, done)) == [*range(60)]

    place.run(go)


def test_one_message_id_is_one_request(place: Place) -> None:
    async def go(pod: Any, one: Any, two: Any) -> None:
        for sender in (pod, one, pod):
            await sender.publish("s", b"same", message_id="m")
        await pod.publish("s", b"other", message_id="n")
        taken = await one.fetch(most=10, at_most_seconds=1)
        assert sorted(delivery.body for delivery in taken) == [b"other", b"same"]
        for delivery in taken:
            await delivery.done()
        await pod.publish("s", b"same", message_id="m")  # a retry that comes after it was done
        assert await one.fetch(most=10, at_most_seconds=0.1) == ()

    place.run(go)


def test_who_does_not_say_that_it_is_done_loses_it_to_another(place: Place) -> None:
    async def go(pod: Any, one: Any, two: Any) -> None:
        await pod.publish("s", b"x", message_id="m")
        await one.fetch(most=1, at_most_seconds=1)
        (again,) = await two.fetch(most=1, at_most_seconds=3)
        assert (again.body, again.attempt) == (b"x", 2)
        await again.done()

    place.run(go, delivery_seconds=0.3)


def test_what_is_given_back_comes_again_when_its_time_has_come(place: Place) -> None:
    async def go(pod: Any, one: Any, two: Any) -> None:
        await pod.publish("s", b"x", message_id="m")
        (first,) = await one.fetch(most=1, at_most_seconds=1)
        await first.again(in_seconds=0)
        (second,) = await two.fetch(most=1, at_most_seconds=1)
        began = time.monotonic()
        await second.again(in_seconds=0.3)
        (third,) = await two.fetch(most=1, at_most_seconds=3)
        assert time.monotonic() - began >= 0.25
        assert third.attempt == 3

    place.run(go)


def test_what_was_handed_out_five_times_is_buried(place: Place) -> None:
    async def go(pod: Any, one: Any, two: Any) -> None:
        await pod.publish("s-1", b"poison", message_id="m")
        attempts: list[int] = []
        for worker in (one, two, one, two, one):
            (delivery,) = await worker.fetch(most=1, at_most_seconds=3)
            attempts.append(delivery.attempt)
            await delivery.again(in_seconds=0)
        assert attempts == [1, 2, 3, 4, 5]
        assert await two.fetch(most=1, at_most_seconds=0.3) == ()
        ((session, body, reason),) = await dead_of(pod)
        assert (session, body) == ("s-1", b"poison")
        assert "5 times" in reason
        assert await pod.waiting() == 0

    place.run(go)


def test_a_worker_buries_what_it_cannot_read_and_says_why(place: Place) -> None:
    async def go(pod: Any, one: Any, two: Any) -> None:
        await pod.publish("s", b"\xff", message_id="m")
        (delivery,) = await one.fetch(most=1, at_most_seconds=1)
        await delivery.bury("not JSON:\r\nX-Injected: 1")
        ((_, body, reason),) = await dead_of(pod)
        assert (body, reason.replace("\r\n", " ")) == (b"\xff", "not JSON: X-Injected: 1")
        assert await pod.waiting() == 0

    place.run(go)


def test_closing_hands_out_again_what_was_in_hand(place: Place) -> None:
    async def go(pod: Any, one: Any, two: Any) -> None:
        for n in range(3):
            await pod.publish("s", b"%d" % n, message_id=f"m{n}")
        (first, *_) = await one.fetch(most=3, at_most_seconds=1)
        await first.done()
        await one.close()
        taken: list[Any] = []
        while len(taken) < 2:
            taken += await two.fetch(most=3, at_most_seconds=2)
        assert [delivery.attempt for delivery in taken] == [2, 2]

    place.run(go)


def test_who_gives_up_a_fetch_leaves_the_request_to_others(place: Place) -> None:
    async def go(pod: Any, one: Any, two: Any) -> None:
        for n in range(5):
            fetch = asyncio.create_task(one.fetch(most=2, at_most_seconds=5))
            await asyncio.sleep(0.02 + n * 0.01)
            fetch.cancel()
            await asyncio.gather(fetch, return_exceptions=True)
        began = time.monotonic()
        await pod.publish("s", b"x", message_id="m")
        (delivery,) = await two.fetch(most=1, at_most_seconds=3)
        assert delivery.attempt <= 2
        assert time.monotonic() - began < 1

    place.run(go)


def test_what_cannot_be_a_name_is_refused(place: Place) -> None:
    async def go(pod: Any, one: Any, two: Any) -> None:
        for session in ("", "a.b", "*", ">", "a b", "a\r\nPUB x"):
            with pytest.raises(InvalidSession):
                await pod.publish(session, b"x", message_id="m")
        for message in ("", "a\r\nX: y", "x" * 201):
            with pytest.raises(InvalidSession):
                await pod.publish("s", b"x", message_id=message)
        assert await one.fetch(most=1, at_most_seconds=0.05) == ()

    place.run(go)


# What only a server can do.


def test_strangers_publish_plainly_and_hear_what_we_publish(nats_url: str) -> None:
    async def go(pod: Any, one: Any, two: Any) -> None:
        assert await one.fetch(most=1, at_most_seconds=0.05) == ()
        stranger = await nats.connect(nats_url)
        heard = await stranger.subscribe("chat.workflow.execute.*")
        await stranger.publish("chat.workflow.execute.theirs", b"plain")
        await stranger.flush()
        (delivery,) = await one.fetch(most=1, at_most_seconds=2)
        assert (delivery.session_id, delivery.body) == ("theirs", b"plain")
        await pod.publish("ours", b"request", message_id="m")
        assert [(await heard.next_msg(2)).data for _ in range(2)] == [b"plain", b"request"]
        await stranger.close()

    Place("nats", nats_url).run(go)


def test_many_who_start_at_once_make_one_queue(nats_url: str) -> None:
    async def go() -> None:
        await delete_streams(nats_url, "WORKFLOW_")
        async with queue(nats_url) as a, queue(nats_url) as b, queue(nats_url) as c, queue(nats_url) as d:
            parts = (a, b, c, d)
            await asyncio.gather(*(part.publish("s", b"x", message_id=f"m{n}") for n, part in enumerate(parts)))
            taken = await asyncio.gather(*(part.fetch(most=1, at_most_seconds=2) for part in parts))
            assert [len(one) for one in taken] == [1, 1, 1, 1]
            info = await (await js_of(a)).stream_info("WORKFLOW_REQUESTS")
            assert (info.config.retention, info.config.max_age) == ("workqueue", 86400)
            assert info.config.duplicate_window == 120

    run(go)


async def js_of(part: NatsChatRequests) -> Any:
    client = await part.connection.within(5)
    assert client
    return client.jetstream()


@pytest.mark.parametrize(
    "made",
    [
        {"name": "WORKFLOW_REQUESTS", "subjects": ["chat.workflow.>"], "max_age": 60},
        {"name": "WORKFLOW_REQUESTS", "subjects": ["chat.other"], "retention": "workqueue"},
        {"name": "WORKFLOW_THEIRS", "subjects": ["chat.workflow.execute.*"], "retention": "workqueue"},
    ],
    ids=["wider", "without the subject", "of another name"],
)
def test_a_stream_that_is_there_already_is_used(nats_url: str, made: dict[str, Any]) -> None:
    async def go() -> None:
        await delete_streams(nats_url, "WORKFLOW_")
        stranger = await nats.connect(nats_url)
        await stranger.jetstream().add_stream(**made)
        async with queue(nats_url) as pod, queue(nats_url) as worker:
            await pod.publish("s", b"x", message_id="m")
            (delivery,) = await worker.fetch(most=1, at_most_seconds=2)
            await delivery.done()
            assert await pod.waiting() == 0
        await delete_streams(nats_url, "WORKFLOW_")
        await stranger.close()

    run(go)


def test_what_a_consumer_with_a_limit_gave_up_is_buried_by_who_hears_of_it(nats_url: str) -> None:
    async def go() -> None:
        await delete_streams(nats_url, "WORKFLOW_")
        stranger = await nats.connect(nats_url)
        js = stranger.jetstream()
        await js.add_stream(name="WORKFLOW_REQUESTS", subjects=["chat.workflow.execute.*"], retention="workqueue")
        limited = nats.js.api.ConsumerConfig(durable_name="workflow-processor", max_deliver=1, ack_wait=0.3)
        await js.add_consumer("WORKFLOW_REQUESTS", limited)
        async with queue(nats_url) as pod, queue(nats_url) as one, queue(nats_url) as two:
            await two.fetch(most=1, at_most_seconds=0.05)
            await pod.publish("s-9", b"lost", message_id="m")
            assert len(await one.fetch(most=1, at_most_seconds=1)) == 1

            async def buried() -> list[Any]:
                await one.fetch(most=1, at_most_seconds=0.05)
                return await dead_of(pod)

            ((session, body, _),) = await until(buried, 5)
            assert (session, body) == ("s-9", b"lost")

            async def gone() -> bool:
                return (await js.stream_info("WORKFLOW_REQUESTS")).state.messages == 0

            await until(gone, 3)
        await stranger.close()

    run(go)


def test_a_consumer_or_a_stream_that_is_deleted_under_us_is_made_again(nats_url: str) -> None:
    async def go(pod: Any, one: Any, two: Any) -> None:
        js, client = await js_of(pod), pod.connection.now()
        for delete in ("consumer", "stream"):
            await one.fetch(most=1, at_most_seconds=0.05)
            waiting = asyncio.create_task(one.fetch(most=1, at_most_seconds=8))
            await asyncio.sleep(0.1)
            if delete == "consumer":
                await js.delete_consumer("WORKFLOW_REQUESTS", "workflow-processor")
            else:
                await js.delete_stream("WORKFLOW_REQUESTS")

            def sent(waiting: asyncio.Task[Any] = waiting) -> bool:  # by a stranger, who makes nothing
                client.publish_now("chat.workflow.execute.s", b"x")
                return waiting.done()

            await until(sent)
            (delivery,) = await waiting
            assert delivery.body == b"x"
            for more in (delivery, *await one.fetch(most=1000, at_most_seconds=0.1)):
                await more.done()

    Place("nats", nats_url).run(go)


@pytest.mark.parametrize("storage", ["kept", "lost"])
def test_a_server_that_restarts_is_gone_on_with(own_nats: NatsServer, storage: str) -> None:
    async def go() -> None:
        async with queue(own_nats.url) as pod, queue(own_nats.url, delivery_seconds=1.5) as worker:
            await worker.fetch(most=1, at_most_seconds=0.05)
            await pod.publish("s", b"before", message_id="before")
            waiting = asyncio.create_task(worker.fetch(most=1, at_most_seconds=1))
            (first,) = await waiting
            waiting = asyncio.create_task(worker.fetch(most=2, at_most_seconds=12))
            await asyncio.sleep(0.1)
            own_nats.kill()
            await first.done()  # nobody can be told: it comes again, and is done
            if storage == "lost":
                remove(own_nats)
            with pytest.raises(BusUnavailable, match=f"127.0.0.1:{own_nats.port}"):
                await pod.publish("s", b"never", message_id="never")
            own_nats.start()

            async def published() -> bool:
                try:
                    await pod.publish("s", b"after", message_id="after")
                except BusUnavailable:
                    return False
                return True

            await until(published, 5)
            (delivery,) = await waiting
            assert (delivery.session_id, delivery.body) == ("s", b"after")
            await delivery.done()
            if storage == "kept":  # the first comes again, to who had done it

                async def empty() -> bool:
                    assert await worker.fetch(most=1, at_most_seconds=0.3) == ()
                    return await pod.waiting() == 0

                await until(empty, 5)

    run(go, 18)


def remove(server: NatsServer) -> None:
    """Take away what it stored."""
    import shutil

    for path in server.folder.path.glob("jetstream"):
        shutil.rmtree(path)


def test_a_question_of_which_a_server_knows_nothing_is_given_up_early(nats_url: str) -> None:
    async def go(pod: Any, one: Any, two: Any) -> None:
        await pod.connection.within(5)
        await pod.connection.listen("test.silent", lambda *_: None)
        await pod.connection.flush(5)
        client = await one.connection.within(5)
        pull = Pull(client, "test.silent", heartbeat_seconds=0.1)
        began = time.monotonic()
        await pull.next(seconds=10)
        await pull.end()
        assert (pull.status, pull.pulled) == (b"silence", [])
        assert 0.2 < time.monotonic() - began < 3

    async def beats(pod: Any, one: Any, two: Any) -> None:
        await one.fetch(most=1, at_most_seconds=0.05)
        next_one = "$JS.API.CONSUMER.MSG.NEXT.WORKFLOW_REQUESTS.workflow-processor"
        pull = Pull(await one.connection.within(5), next_one, heartbeat_seconds=0.2)
        await pull.next(seconds=1.2)
        await pull.end()
        assert pull.status == b"408"  # the server kept it alive until its time was over

    Place("nats", nats_url).run(go)
    Place("nats", nats_url).run(beats)


def test_a_server_that_freezes_hangs_nobody(own_nats: NatsServer) -> None:
    async def go() -> None:
        async with queue(own_nats.url, ping_seconds=0.2) as pod, queue(own_nats.url, ping_seconds=0.2) as worker:
            await pod.publish("s", b"0", message_id="m0")
            (delivery,) = await worker.fetch(most=1, at_most_seconds=1)
            await delivery.done()
            waiting = asyncio.create_task(worker.fetch(most=1, at_most_seconds=12))
            await asyncio.sleep(0.05)
            own_nats.freeze()
            began = time.monotonic()
            with pytest.raises(BusUnavailable):
                await pod.publish("s", b"1", message_id="m1")
            assert await pod.waiting() is None
            assert await worker.fetch(most=1, at_most_seconds=0.3) == ()
            assert time.monotonic() - began < 4.5
            own_nats.thaw()
            await until(pod.connection.now, 5)
            await pod.publish("s", b"2", message_id="m2")
            bodies = [one.body for one in await waiting]
            while b"2" not in bodies:  # the frozen one may have been kept
                bodies += [one.body for one in await worker.fetch(most=2, at_most_seconds=3)]
            assert set(bodies) <= {b"1", b"2"}

    run(go, 18)


def test_kill_9_of_a_worker_hands_out_again_what_it_had(nats_url: str) -> None:
    script = """
        import asyncio, sys
        from ropewalk.messaging.nats import NatsChatRequests, NatsConnection

        async def main():
            queue = NatsChatRequests(NatsConnection(sys.argv[1], name="worker"), delivery_seconds=0.5)
            while True:
                for delivery in await queue.fetch(most=3, at_most_seconds=5):
                    print(delivery.body.decode())

        asyncio.run(main())
    """

    async def go() -> None:
        await delete_streams(nats_url, "WORKFLOW_")
        async with queue(nats_url, delivery_seconds=0.5) as pod:
            for n in range(7):
                await pod.publish("s", b"%d" % n, message_id=f"m{n}")
            with process(script, nats_url) as child:
                assert child.stdout
                await asyncio.to_thread(child.stdout.readline)
                child.kill()
            done: set[bytes] = set()
            while len(done) < 7:
                for delivery in await pod.fetch(most=10, at_most_seconds=3):
                    done.add(delivery.body)
                    await delivery.done()
            assert await pod.waiting() == 0

    run(go)


def test_a_server_without_jetstream_is_told_in_words() -> None:
    class Plain(NatsServer):
        def command(self) -> list[str]:
            command = super().command()
            text = self.folder.path.joinpath("nats.conf").read_text()
            lines = [line for line in text.splitlines() if not line.startswith("jetstream")]
            return [*command[:-1], str(self.folder.write("nats.conf", "\n".join(lines)))]

    with Plain() as server:

        async def go() -> None:
            async with queue(server.url) as pod:
                with pytest.raises(BusUnavailable, match="has no JetStream"):
                    await pod.publish("s", b"x", message_id="m")
                assert await pod.fetch(most=1, at_most_seconds=0.2) == ()
                assert await pod.waiting() is None

        run(go)


def test_a_body_that_is_too_large_is_told(nats_url: str) -> None:
    async def go(pod: Any, one: Any, two: Any) -> None:
        await pod.publish("s", b"x", message_id="n")
        with pytest.raises(BusUnavailable, match="max_payload of"):
            await pod.publish("s", json.dumps({"x": "y" * 2_000_000}).encode(), message_id="m")

    Place("nats", nats_url).run(go)
