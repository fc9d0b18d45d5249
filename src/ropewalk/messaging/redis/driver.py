"""Drives talks over the connections of redis-py, for threads and for tasks.

A single command goes over a connection of the pool by itself: `execute_command` would retry and measure, which is not
wanted here and costs as much as the packing. In a cluster the driver knows which connection it must be.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, TypeVar

from ropewalk.errors import RedisProblem
from ropewalk.messaging.redis.config import RedisConfig
from ropewalk.messaging.redis.connecting import beside_it, connected
from ropewalk.messaging.redis.installed import redis
from ropewalk.messaging.redis.talk import Ask, Batch, Command, Pause, Run, Talk
from ropewalk.messaging.redis.troubles import TROUBLES, in_our_words, second_try

T = TypeVar("T")


class SyncDriver:
    """Connections for threads; ``plain`` ones are redis-py's as it is."""

    def __init__(self, config: RedisConfig, *, plain: bool = False) -> None:
        self.config = config
        self.redis: Any = connected(config, plain=plain, asynchronous=False)
        self._pool: Any = None if config.cluster else self.redis.connection_pool

    def converse(self, talk: Talk[T]) -> T:
        """Drive a talk to its end. Raises `RedisProblem`, and what the talk raises."""
        try:
            asked = talk.send(None)
            while True:
                try:
                    reply = self.answer(asked)
                except RedisProblem as problem:
                    asked = talk.throw(problem)
                else:
                    asked = talk.send(reply)
        except StopIteration as done:
            return done.value

    def answer(self, asked: Ask) -> Any:
        try:
            return self._carried_out(asked)
        except TROUBLES as trouble:
            again = second_try(trouble, asked)
            if again is None:
                raise in_our_words(trouble, self.config, asked) from None
        try:
            return self._carried_out(again)
        except TROUBLES as trouble:
            raise in_our_words(trouble, self.config, asked) from None

    def close(self) -> None:
        for client in (self.redis, *beside_it(self.redis)):
            client.close()
        if self._pool is not None:
            self._pool.disconnect()

    def _carried_out(self, asked: Ask) -> Any:
        match asked:
            case Run(script, keys, arguments):
                return self._sent(("EVALSHA", script.sha, len(keys), *keys, *arguments))
            case Batch():
                return _piped(self.redis, asked).execute(raise_on_error=False)
            case Pause(seconds):
                return time.sleep(seconds)
            case _:
                return self._sent(asked)

    def _sent(self, command: Command) -> Any:
        if self._pool is None:
            return self.redis.execute_command(*command)
        connection = self._pool.get_connection()
        try:
            connection.send_command(*command)
            return connection.read_response()
        except redis.exceptions.ResponseError:
            raise
        except BaseException:
            connection.disconnect()  # an answer that nobody waits for must not be the next command's
            raise
        finally:
            self._pool.release(connection)


class AsyncDriver:
    """Connections for the tasks of one event loop."""

    def __init__(self, config: RedisConfig, *, plain: bool = False) -> None:
        self.config = config
        self.redis: Any = connected(config, plain=plain, asynchronous=True)
        self._pool: Any = None if config.cluster else self.redis.connection_pool

    async def converse(self, talk: Talk[T]) -> T:
        """Drive a talk to its end. Raises `RedisProblem`, and what the talk raises."""
        try:
            asked = talk.send(None)
            while True:
                try:
                    reply = await self.answer(asked)
                except RedisProblem as problem:
                    asked = talk.throw(problem)
                else:
                    asked = talk.send(reply)
        except StopIteration as done:
            return done.value

    async def answer(self, asked: Ask) -> Any:
        try:
            return await self._carried_out(asked)
        except TROUBLES as trouble:
            again = second_try(trouble, asked)
            if again is None:
                raise in_our_words(trouble, self.config, asked) from None
        try:
            return await self._carried_out(again)
        except TROUBLES as trouble:
            raise in_our_words(trouble, self.config, asked) from None

    async def close(self) -> None:
        for client in (self.redis, *beside_it(self.redis)):
            await client.aclose()
        if self._pool is not None:
            await self._pool.disconnect()

    async def _carried_out(self, asked: Ask) -> Any:
        match asked:
            case Run(script, keys, arguments):
                return await self._sent(("EVALSHA", script.sha, len(keys), *keys, *arguments))
            case Batch(commands):
                return await self._sent_together(commands)
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case _:
                return await self._sent(asked)

    async def _sent(self, command: Command) -> Any:
        if self._pool is None:
            return await self.redis.execute_command(*command)
        return (await self._exchanged([command], raises=True))[0]

    async def _sent_together(self, commands: Sequence[Command]) -> list[Any]:
        if self._pool is None:
            return await _piped(self.redis, Batch(commands)).execute(raise_on_error=False)
        return await self._exchanged(commands, raises=False)

    async def _exchanged(self, commands: Sequence[Command], *, raises: bool) -> list[Any]:
        """Send commands and return their replies, in which errors stand as themselves unless it ``raises`` them."""
        connection = await self._pool.get_connection()
        try:
            await _send_now(connection, connection.pack_commands(commands))
            replies: list[Any] = []
            for _ in commands:
                try:
                    replies.append(await connection.read_response())
                except redis.exceptions.ResponseError as error:
                    if raises:
                        raise
                    replies.append(error)
        except redis.exceptions.ResponseError:
            raise
        except BaseException:
            await connection.disconnect(nowait=True)  # an answer that nobody waits for must not be the next command's
            raise
        finally:
            await self._pool.release(connection)
        return replies


async def _send_now(connection: Any, packed: Any) -> None:
    """Send in this turn of the loop: before Python 3.12 the driver's own timeout would make it a task."""
    limit, connection.socket_timeout = connection.socket_timeout, None
    try:
        async with asyncio.timeout(limit):
            await connection.send_packed_command(packed)
    finally:
        connection.socket_timeout = limit


def _piped(client: Any, batch: Batch) -> Any:
    pipe = client.pipeline(transaction=False)
    for command in batch.commands:
        pipe.execute_command(*command)
    return pipe
