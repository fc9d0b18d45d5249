"""Anthropic's models."""

import os
from collections.abc import AsyncIterator
from typing import Any

from ropewalk.contracts.model import ModelPart, ModelRequest, Reply
from ropewalk.errors import PartMissing
from ropewalk.llm import anthropic_messages
from ropewalk.llm.anthropic_request import PROVIDER
from ropewalk.llm.prices import Prices
from ropewalk.llm.sdk import CONNECT_SECONDS, SdkCalls, Vendor

DEFAULT_MODEL = "claude-sonnet-5"


class AnthropicClient:
    """A `Model` behind the ``anthropic`` SDK. Make one and share it: it pools its connections, for each event loop."""

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        idle_timeout: float = 60,
        *,
        model: str = DEFAULT_MODEL,
        prices: Prices | None = None,
    ) -> None:
        """``api_key`` None: ``ANTHROPIC_API_KEY``. ``idle_timeout``: seconds in which something must come.

        ``prices`` None: the known ones. Raises `PartMissing`.
        """
        try:
            import anthropic  # noqa: PLC0415  an extra, and slow to load
        except ImportError as error:
            raise PartMissing("AnthropicClient", "anthropic") from error
        sdk: Any = anthropic
        self._model = model
        self._calls = SdkCalls(
            Vendor(
                provider=PROVIDER,
                sdk=sdk,
                make=lambda idle: sdk.AsyncAnthropic(
                    api_key=api_key,
                    base_url=base_url,
                    max_retries=0,
                    timeout=sdk.Timeout(idle, connect=CONNECT_SECONDS),
                ),
                endpoint=lambda client: client.messages,
                secrets=(api_key or os.environ.get("ANTHROPIC_API_KEY", ""),),
            ),
            anthropic_messages.wire(),
            model=model,
            idle_timeout=idle_timeout,
            prices=prices if prices is not None else Prices(),
        )

    @property
    def provider(self) -> str:
        return PROVIDER

    @property
    def name(self) -> str:
        return self._model

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        """Ask, and yield the answer as it comes. Raises `ModelError`."""
        return self._calls.stream(request)

    async def answer(self, request: ModelRequest) -> Reply:
        """Ask, and return the whole answer. Raises `ModelError`."""
        return await self._calls.answer(request)

    async def close(self) -> None:
        """Close the connections of the running loop."""
        await self._calls.close()
