"""Processes that consume and hold are killed, frozen and thawed, and their server restarted, again and again."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.servers.valkey import RedisServer

import ropewalk
from ropewalk.messaging.redis import RedisClient, RedisConfig, RedisProblem, RedisRateLimiter, RedisStream

TASKS = int(os.environ.get("DRILL_TASKS", "2000"))
SEED = int(os.environ.get("DRILL_SEED", "0")) or random.randrange(1, 10_000)
LEASE = 1.5


class Crew:
    """Processes of one kind; whoever dies is replaced."""

    def __init__(self, size: int, *arguments: str) -> None:
        self.arguments = arguments
        self.members: list[subprocess.Popen[bytes]] = []
        self.struck: dict[int, list[int]] = {}
        """By process: when it was killed or frozen, by time.monotonic_ns()."""
        for _ in range(size):
            self.join()

    def join(self) -> None:
        source = str(Path(ropewalk.__file__).parents[1])
        file = str(Path(__file__).with_name("victim.py"))
        command = [sys.executable, file, *self.arguments]
        self.members.append(subprocess.Popen(command, env=os.environ | {"PYTHONPATH": source}))

    def replace_dead(self) -> None:
        for member in [one for one in self.members if one.poll() is not None]:
            self.members.remove(member)
            self.join()

    def strike(self, member: subprocess.Popen[bytes], number: int) -> None:
        self.struck.setdefault(member.pid, []).append(time.monotonic_ns())
        member.send_signal(number)

    def end(self) -> None:
        for member in self.members:
            member.send_signal(signal.SIGCONT)
            member.kill()
            member.wait()


@contextmanager
def crew(size: int, *arguments: str) -> Iterator[Crew]:
    made = Crew(size, *arguments)
    try:
        yield made
    finally:
        made.end()


def lines(path: Path) -> list[tuple[int, int, str, int]]:
    read = (line.split() for line in path.read_text(encoding="utf-8").splitlines()) if path.exists() else ()
    return [(int(at), int(pid), what, int(number)) for at, pid, what, number in read]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("how", "count"), [("consume", "1"), ("consume", "20"), ("consume_async", "4")])
def test_no_task_is_lost_and_each_repetition_is_explained(
    own_redis: RedisServer, tmp_path: Path, how: str, count: str
) -> None:
    chance, path = random.Random(SEED), tmp_path / "effects"
    poison, bad = {7, TASKS // 2}, {3, TASKS - 5}
    with RedisClient(RedisConfig(own_redis.url, socket_timeout=2)) as client:
        stream = RedisStream("tasks", client)
        for start in range(0, TASKS, 500):
            numbers = range(start, min(TASKS, start + 500))
            stream.add_many([{"n": n} | ({"poison": n in poison, "bad": n in bad}) for n in numbers])
        stream.create_consumer_group("workers")
        began, next_blow, restarts = time.monotonic(), 0.0, 0
        with crew(4, how, own_redis.url, "tasks", str(path), str(LEASE), count) as workers:
            while time.monotonic() - began < 120:
                workers.replace_dead()
                now = time.monotonic() - began
                if now >= next_blow and now < 12:
                    next_blow = now + 0.4 + chance.random()
                    blow = chance.choice(["kill", "kill", "freeze", "server"] if restarts < 2 else ["kill", "freeze"])
                    victim = chance.choice(workers.members)
                    if blow == "kill":
                        workers.strike(victim, signal.SIGKILL)
                    elif blow == "freeze":
                        workers.strike(victim, signal.SIGSTOP)
                        threading.Timer(LEASE * 2, victim.send_signal, [signal.SIGCONT]).start()
                    else:
                        restarts += 1
                        own_redis.kill() if chance.random() < 0.5 else own_redis.stop()
                        own_redis.start()
                try:
                    stats = stream.stats("workers")
                except RedisProblem:
                    assert own_redis.running, own_redis.log()[-3000:]
                    time.sleep(0.05)
                    continue
                if now > 12 and stats.pending == 0 and stats.lag == 0:
                    break
                time.sleep(0.1)
        letters = stream.dead_letters()
    effects = lines(path)
    begun = Counter(number for _, _, what, number in effects if what == "begin")
    ended = Counter(number for _, _, what, number in effects if what == "end")
    lost = set(range(TASKS)) - set(ended) - poison - bad
    assert not lost, f"seed {SEED}"
    assert {letter.data["n"] for letter in letters} == poison | bad, f"seed {SEED}"
    assert {letter.data["n"] for letter in letters if letter.reason.startswith("WorkerDied")} == poison
    again = {number for number, times in begun.items() if times > 1} - poison - bad
    unexplained = [
        number
        for number in again
        if not any(explains(workers, poison, effects, pid, at) for at, pid, what, n in effects if n == number)
    ]
    print(f"{how} {count}: {TASKS} tasks, {len(again)} repeated, {restarts} server restarts, seed {SEED}")
    assert not unexplained, f"seed {SEED}: {unexplained}"


def explains(workers: Crew, poison: set[int], effects: list[tuple[int, int, str, int]], pid: int, at: int) -> bool:
    """Whether the process that did something then was killed, frozen, or killed by a poisoned task, around it."""
    own = [when for when, who, what, number in effects if who == pid and what == "begin" and number in poison]
    near = 200_000_000  # what it did last may not have been acknowledged
    return any(-near <= blow - at <= LEASE * 3e9 for blow in workers.struck.get(pid, []) + own)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_resource_that_checks_the_number_takes_nothing_from_a_stale_holder(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    chance, path = random.Random(SEED), tmp_path / "effects"
    with crew(8, "hold", own_redis.url, "door", str(path), "0.5") as holders:
        began = time.monotonic()
        while time.monotonic() - began < 12:
            holders.replace_dead()
            victim = chance.choice(holders.members)
            if chance.random() < 0.3:
                holders.strike(victim, signal.SIGKILL)
            else:
                holders.strike(victim, signal.SIGSTOP)
                threading.Timer(0.3 + chance.random(), victim.send_signal, [signal.SIGCONT]).start()
            time.sleep(0.2)
        time.sleep(1.5)
    with RedisClient(RedisConfig(own_redis.url)) as client:
        writes = [int(one) for one in client.execute("LRANGE", "door:writes", 0, -1)]
    effects = lines(path)
    held = [number for _, _, what, number in effects if what == "held"]
    said = Counter(what for _, _, what, _ in effects)
    print(f"8 holders: {len(held)} holdings, {dict(said)}, seed {SEED}")
    assert len(held) == len(set(held)) > 50
    assert writes == sorted(writes)
    assert len(writes) > 100


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_two_hundred_callers_at_overload_get_what_is_allowed(redis_url: str, redis_prefix: str) -> None:
    granted: list[float] = []
    with RedisClient(RedisConfig(redis_url)) as client:
        limiter = RedisRateLimiter(redis_prefix + "l", rate=100, period=1, redis_client=client)
        ends = time.monotonic() + 5

        def caller() -> None:
            while (left := ends - time.monotonic()) > 0:
                if limiter.wait("a", timeout=left):
                    granted.append(time.monotonic())

        began = time.monotonic()
        callers = [threading.Thread(target=caller) for _ in range(200)]
        for one in callers:
            one.start()
        for one in callers:
            one.join()
        passed = max(granted) - began
        client.delete(f"ratelimit:{redis_prefix}l:a")
    print(f"200 callers, 100/s for {passed:.2f} s: {len(granted)} granted, at most {100 * passed + 100:.0f}")
    assert 0.95 * 100 * 5 <= len(granted) <= 100 * passed + 100
