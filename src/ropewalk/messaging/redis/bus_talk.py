"""How the parts of the chat service ask a Redis server: scripts, in our words when it is away, once more when a
connection had broken while nobody looked.
"""

import time
from collections.abc import Sequence
from typing import Any

from ropewalk.errors import BusUnavailable, RedisProblem, RedisUnavailable
from ropewalk.messaging.redis.async_client import AsyncRedisClient
from ropewalk.messaging.redis.config import RedisConfig
from ropewalk.messaging.redis.talk import Batch, Run, Talk
from ropewalk.messaging.redis.troubles import in_our_words, is_missing_script, is_trouble

_AT_ONCE_SECONDS = 0.5
"""A call that failed sooner met a broken connection, not a server that does not answer: it is worth a second try."""


async def asked(client: AsyncRedisClient, what: str, run: Run) -> Any:
    """Run a script that may be run twice. Raises `BusUnavailable`, saying ``what`` could not be used."""
    return (await all_asked(client, what, [run]))[0]


async def all_asked(client: AsyncRedisClient, what: str, runs: Sequence[Run]) -> list[Any]:
    """Run scripts that may be run twice, in one round trip (in a cluster: one for each node)."""
    if not runs:
        return []
    began = time.monotonic()
    try:
        try:
            return await client.talk(_together(runs, client.config))
        except RedisUnavailable:
            if time.monotonic() - began > _AT_ONCE_SECONDS:
                raise
            return await client.talk(_together(runs, client.config))
    except RedisProblem as problem:
        raise BusUnavailable(what, client.config.shown, problem.why) from None


def _together(runs: Sequence[Run], config: RedisConfig) -> Talk[list[Any]]:
    if len(runs) == 1:
        return [(yield runs[0])]
    replies: list[Any] = list((yield _batch(runs)))
    missing = [place for place, reply in enumerate(replies) if is_missing_script(reply)]
    if missing and not config.cluster:
        for place in {runs[place].script: place for place in missing}.values():
            replies[place] = yield runs[place]  # the driver sends its text, and the server knows it for the others
        missing = [place for place in missing if is_missing_script(replies[place])]
        again: list[Any] = list((yield _batch([runs[place] for place in missing]))) if missing else []
        for place, reply in zip(missing, again, strict=True):
            replies[place] = reply
    for place, reply in enumerate(replies):
        if is_missing_script(reply):
            replies[place] = yield runs[place]
        elif is_trouble(reply):
            raise in_our_words(reply, config, runs[place])
    return replies


def _batch(runs: Sequence[Run]) -> Batch:
    return Batch([("EVALSHA", one.script.sha, len(one.keys), *one.keys, *one.arguments) for one in runs])
