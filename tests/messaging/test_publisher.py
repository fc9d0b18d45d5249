"""`RedisPublisher` against a real server: nobody waits for it, nothing is lost in silence, the order is kept."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from tests.servers.valkey import RedisServer

import ropewalk
from ropewalk.contracts.publisher import Publisher
from ropewalk.messaging.redis.publisher import LAST_SECONDS, QUEUE_BYTES, STALE_SECONDS, RedisPublisher

SOURCE = str(Path(ropewalk.__file__).parents[1])
AT_ONCE_SECONDS = 0.1
"""More than any number of events here takes to be handed over, and less than any wait for a server."""


class Ear:
    """One who listens on a channel."""

    def __init__(self, url: str, channel: str) -> None:
        self.client = redis.Redis.from_url(url)
        self._pubsub = self.client.pubsub(ignore_subscribe_messages=True)
        self._pubsub.subscribe(channel)
        while not self.client.pubsub_numsub(channel)[0][1]:
            self._pubsub.get_message(timeout=0.01)

    def hear(self, count: int, seconds: float = 5) -> list[bytes]:
        """Return what came, when it is ``count`` or when nothing more comes for so long."""
        heard: list[bytes] = []
        quiet_at = time.monotonic() + seconds
        while len(heard) < count and time.monotonic() < quiet_at:
            message = self._pubsub.get_message(timeout=0.05)
            if message is not None:
                heard.append(message["data"])
                quiet_at = time.monotonic() + seconds
        return heard

    def close(self) -> None:
        self._pubsub.close()
        self.client.close()


@pytest.fixture(name="ear")
def _ear(redis_url: str, redis_prefix: str) -> Iterator[Ear]:
    ear = Ear(redis_url, redis_prefix)
    yield ear
    ear.close()


def until(happens: Callable[[], object], seconds: float = 15) -> None:
    ends_at = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < ends_at, "it did not happen"
        time.sleep(0.01)


def test_what_is_published_arrives_in_order_over_one_connection(redis_prefix: str, own_redis: RedisServer) -> None:
    ear = Ear(own_redis.url, redis_prefix)

    def connections() -> tuple[int, int]:
        return ear.client.info("stats")["total_connections_received"], len(ear.client.client_list())

    ever, now = connections()
    publisher: Publisher = RedisPublisher(own_redis.url)
    wanted = [b'{"n": %d}' % number for number in range(3000)]
    for body in wanted:
        publisher.publish(redis_prefix, body)
    assert ear.hear(len(wanted)) == wanted
    publisher.publish(redis_prefix, b"one more")
    assert ear.hear(1) == [b"one more"]
    assert connections() == (ever + 1, now + 1)
    assert publisher.dropped == 0
    ear.close()


def test_a_closed_one_lets_go_of_its_connection_and_begins_again(redis_prefix: str, own_redis: RedisServer) -> None:
    ear = Ear(own_redis.url, redis_prefix)
    before = len(ear.client.client_list())
    publisher = RedisPublisher(own_redis.url)
    publisher.publish(redis_prefix, b"first")
    publisher.close()
    until(lambda: len(ear.client.client_list()) == before)
    publisher.publish(redis_prefix, b"second")
    publisher.close()
    assert ear.hear(2) == [b"first", b"second"]
    assert publisher.dropped == 0
    ear.close()


def test_threads_share_it(redis_url: str, redis_prefix: str, ear: Ear) -> None:
    publisher = RedisPublisher(redis_url)

    def say(name: int) -> None:
        for number in range(200):
            publisher.publish(redis_prefix, b"%d %d" % (name, number))

    threads = [threading.Thread(target=say, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heard = [tuple(map(int, body.split())) for body in ear.hear(800)]
    for name in range(4):
        assert [number for who, number in heard if who == name] == list(range(200))
    publisher.close()


def handed_over(publisher: RedisPublisher, channel: str, count: int = 50) -> None:
    began = time.perf_counter()
    for number in range(count):
        publisher.publish(channel, b"%d" % number)
    assert time.perf_counter() - began < AT_ONCE_SECONDS


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "ropewalk.messaging.redis"]


@pytest.mark.slow
def test_a_dead_server_costs_nothing_but_the_events(
    redis_prefix: str, own_redis: RedisServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    publisher = RedisPublisher(own_redis.url)
    own_redis.kill()
    with caplog.at_level(logging.WARNING):
        handed_over(publisher, redis_prefix)
        assert publisher.dropped == 0  # it may be back in time
        until(lambda: publisher.dropped == 50, STALE_SECONDS + 5)
        handed_over(publisher, redis_prefix)
        own_redis.start()
        ear = Ear(own_redis.url, redis_prefix)
        publisher.publish(redis_prefix, b"back")
        assert ear.hear(1000, 1.5)[-1] == b"back"
        assert publisher.dropped == 50
        until(lambda: len(lines(caplog)) == 2)
    first, second = lines(caplog)
    assert "are dropped and counted" in first
    assert "50 were dropped" in second
    assert own_redis.password not in first + second
    assert capfd.readouterr() == ("", "")
    publisher.close()
    ear.close()


@pytest.mark.slow
def test_a_frozen_server_costs_nothing_but_the_events(redis_prefix: str, own_redis: RedisServer) -> None:
    ear = Ear(own_redis.url, redis_prefix)
    publisher = RedisPublisher(own_redis.url)
    publisher.publish(redis_prefix, b"before")
    assert ear.hear(1) == [b"before"]
    own_redis.freeze()
    handed_over(publisher, redis_prefix)
    until(lambda: publisher.dropped == 50)
    began = time.perf_counter()
    publisher.publish(redis_prefix, b"last")
    publisher.close()  # it is known to be away: not waited for
    assert time.perf_counter() - began < AT_ONCE_SECONDS
    assert publisher.dropped == 51
    own_redis.thaw()
    publisher.publish(redis_prefix, b"after")
    assert ear.hear(1000, 1.5)[-1] == b"after"
    publisher.close()
    ear.close()


def test_a_queue_that_is_given_up_while_the_server_is_asked_does_no_harm(
    redis_prefix: str, own_redis: RedisServer
) -> None:
    ear = Ear(own_redis.url, redis_prefix)
    publisher = RedisPublisher(own_redis.url)
    own_redis.freeze()
    publisher.publish(redis_prefix, b"given up")
    time.sleep(0.1)  # nobody can see that the thread asks whether the server is there
    publisher.close(0)
    assert publisher.dropped == 1
    own_redis.thaw()
    publisher.publish(redis_prefix, b"after")
    assert ear.hear(1) == [b"after"]
    assert publisher.dropped == 1
    publisher.close()
    ear.close()


@pytest.mark.slow
def test_a_server_that_freezes_puts_an_end_off_for_a_bounded_time(redis_prefix: str, own_redis: RedisServer) -> None:
    publisher = RedisPublisher(own_redis.url)
    own_redis.freeze()
    publisher.publish(redis_prefix, b"last")
    began = time.perf_counter()
    publisher.close()
    assert time.perf_counter() - began < LAST_SECONDS + 1
    own_redis.thaw()


def test_a_short_outage_loses_nothing_that_was_not_on_its_way(redis_prefix: str, own_redis: RedisServer) -> None:
    publisher = RedisPublisher(own_redis.url)
    own_redis.kill()
    handed_over(publisher, redis_prefix, 20)
    own_redis.start()
    with redis.Redis.from_url(own_redis.url) as client:
        until(lambda: client.info("commandstats").get("cmdstat_publish", {}).get("calls") == 20)
    assert publisher.dropped == 0
    publisher.close()


def test_more_than_may_wait_is_dropped(redis_prefix: str, own_redis: RedisServer) -> None:
    publisher = RedisPublisher(own_redis.url)
    own_redis.freeze()
    piece = b"x" * (QUEUE_BYTES // 8)
    for _ in range(12):
        publisher.publish(redis_prefix, piece)
    assert publisher.dropped >= 4
    own_redis.thaw()
    publisher.close(10)


def test_a_channel_that_one_may_not_publish_on_is_counted(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with redis.Redis.from_url(own_redis.url) as admin:
        admin.execute_command("ACL", "SETUSER", "writer", "on", ">secret", "+publish", "+ping", "&mine", "resetkeys")
    publisher = RedisPublisher(f"redis://writer:secret@127.0.0.1:{own_redis.port}")
    ear = Ear(own_redis.url, "mine")
    with caplog.at_level(logging.WARNING):
        for number in range(20):
            publisher.publish("others" if number % 2 else "mine", b"%d" % number)
        assert ear.hear(10) == [b"%d" % number for number in range(0, 20, 2)]
        publisher.close()
    assert publisher.dropped == 10
    assert len([line for line in lines(caplog) if "are dropped" in line]) == 1
    assert "secret" not in caplog.text
    ear.close()


ENDS = """
import atexit, sys, time
from ropewalk.messaging.redis.publisher import RedisPublisher
atexit.register(lambda: print(time.perf_counter() - began))
publisher = RedisPublisher(sys.argv[1])
for number in range(500):
    publisher.publish(sys.argv[2], b"%d" % number)
began = time.perf_counter()
"""


def ended(url: str, channel: str) -> "subprocess.CompletedProcess[str]":
    """Run a process that publishes and ends; it prints how long its end was put off."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", ENDS, url, channel],
        env=os.environ | {"PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        check=True,
    )


def test_a_process_that_ends_in_order_has_sent_its_last_events(redis_url: str, redis_prefix: str, ear: Ear) -> None:
    ran = ended(redis_url, redis_prefix)
    assert ran.stderr == ""
    assert float(ran.stdout) < LAST_SECONDS
    assert ear.hear(500) == [b"%d" % number for number in range(500)]


def test_a_dead_server_does_not_put_off_the_end_of_a_process(redis_prefix: str, own_redis: RedisServer) -> None:
    own_redis.kill()
    ran = ended(own_redis.url, redis_prefix)
    assert float(ran.stdout) < LAST_SECONDS / 2
    assert "are dropped and counted" in ran.stderr


def test_a_fork_publishes_by_itself(redis_url: str, redis_prefix: str, ear: Ear) -> None:
    publisher = RedisPublisher(redis_url)
    publisher.publish(redis_prefix, b"parent")
    assert ear.hear(1) == [b"parent"]
    child = os.fork()
    if not child:
        try:
            publisher.publish(redis_prefix, b"child")
            publisher.close()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    publisher.publish(redis_prefix, b"parent again")
    assert ear.hear(2) == [b"child", b"parent again"]
    publisher.close()
