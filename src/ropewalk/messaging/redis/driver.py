"""Drives talks over the connections of redis-py, for threads and for tasks."""

import asyncio
import time
from typing import Any, TypeVar

from ropewalk.errors import RedisProblem
from ropewalk.messaging.redis.config import RedisConfig
from ropewalk.messaging.redis.connecting import connected
from ropewalk.messaging.redis.talk import Ask, Batch, Pause, Run, Talk
from ropewalk.messaging.redis.troubles import TROUBLES, in_our_words, second_try

T = TypeVar("T")


class SyncDriver:
    """Connections for threads; ``plain`` ones are redis-py's as it is."""

    def __init__(self, config: RedisConfig, *, plain: bool = False) -> None:
        self.config = config
        self.redis: Any = connected(config, plain=plain, asynchronous=False)

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
        self.redis.close()
        if pool := getattr(self.redis, "connection_pool", None):
            pool.disconnect()

    def _carried_out(self, asked: Ask) -> Any:
        match asked:
            case Run(script, keys, arguments):
                return self.redis.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
            case Batch():
                return _piped(self.redis, asked).execute(raise_on_error=False)
            case Pause(seconds):
                return time.sleep(seconds)
            case _:
                return self.redis.execute_command(*asked)


class AsyncDriver:
    """Connections for the tasks of one event loop."""

    def __init__(self, config: RedisConfig, *, plain: bool = False) -> None:
        self.config = config
        self.redis: Any = connected(config, plain=plain, asynchronous=True)

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
        await self.redis.aclose()
        if pool := getattr(self.redis, "connection_pool", None):
            await pool.disconnect()

    async def _carried_out(self, asked: Ask) -> Any:
        match asked:
            case Run(script, keys, arguments):
                return await self.redis.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
            case Batch():
                return await _piped(self.redis, asked).execute(raise_on_error=False)
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case _:
                return await self.redis.execute_command(*asked)


def _piped(client: Any, batch: Batch) -> Any:
    pipe = client.pipeline(transaction=False)
    for command in batch.commands:
        pipe.execute_command(*command)
    return pipe
