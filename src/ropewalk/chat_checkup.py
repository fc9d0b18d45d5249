"""Looks whether the chat's parts can be used, for whoever sets a service up. It changes nothing."""

import json
from dataclasses import dataclass

from ropewalk.chat_settings import ChatSettings
from ropewalk.errors import PartMissing, PartUnknown, RedisProblem, RopewalkError

_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Complaint:
    """What a part lacks."""

    part: str
    """bus or sessions."""
    why: str
    do: str


async def check_bus(settings: ChatSettings) -> list[Complaint]:
    """Look at NATS: is it there, does it keep requests, do dead letters lie there."""
    from ropewalk.messaging.nats import NatsConnection  # noqa: PLC0415  loads what is used, no more
    from ropewalk.messaging.nats.request_stream import DEAD_STREAM  # noqa: PLC0415

    try:
        connection = NatsConnection(settings.bus, name="ropewalk doctor")
    except (ValueError, PartMissing, PartUnknown) as error:
        return [Complaint(part="bus", why=str(error), do="Look at NATS_URL, or --bus.")]
    try:
        if await connection.within(_SECONDS) is None:
            why = f"NATS at {connection.config.shown} does not let us in, or does not answer"
            return [Complaint(part="bus", why=why, do="Look at whether it runs, and at NATS_URL or --bus.")]
        try:
            await connection.ask("$JS.API.INFO", b"", seconds=_SECONDS)
        except RopewalkError:
            why = "it has no JetStream, so requests of other services' pods are not kept"
            return [Complaint(part="bus", why=why, do="Start it with -js -sd FOLDER.")]
        found = json.loads(await connection.ask(f"$JS.API.STREAM.INFO.{DEAD_STREAM}", b"", seconds=_SECONDS))
        dead = found.get("state", {}).get("messages", 0)
        if dead:
            why = f"{dead} requests that nobody could answer lie in the stream {DEAD_STREAM}"
            do = f"Look at them: nats stream view {DEAD_STREAM}. Their headers say why; remove what is settled."
            return [Complaint(part="bus", why=why, do=do)]
        return []
    except RopewalkError as error:
        return [Complaint(part="bus", why=str(error), do="Try again.")]
    finally:
        await connection.close()


async def check_sessions(settings: ChatSettings) -> list[Complaint]:
    """Look at Redis: is it there, and does it keep chunks for as long as they are wanted."""
    from ropewalk.messaging.redis.async_client import AsyncRedisClient  # noqa: PLC0415  loads what is used, no more
    from ropewalk.messaging.redis.config import RedisConfig  # noqa: PLC0415

    do = "Look at whether it runs, and at REDIS_HOST, REDIS_PORT, REDIS_PASSWORD or --sessions."
    try:
        client = AsyncRedisClient(RedisConfig(settings.sessions))
    except (ValueError, RopewalkError) as error:
        return [Complaint(part="sessions", why=str(error), do=do)]
    try:
        await client.health()
    except RedisProblem as problem:
        return [Complaint(part="sessions", why=str(problem), do=do)]
    finally:
        await client.close()
    return []
