"""OpenAI's models, and every server that speaks Chat Completions or Responses."""

import os
from collections.abc import AsyncIterator
from typing import Any, Literal
from urllib.parse import urlsplit

from ropewalk.contracts.model import ModelPart, ModelRequest, Reply
from ropewalk.errors import PartMissing
from ropewalk.llm import openai_chat, openai_responses
from ropewalk.llm.prices import Prices
from ropewalk.llm.sdk import CONNECT_SECONDS, SdkCalls, Vendor

DEFAULT_MODEL = "gpt-5.4-mini"


class OpenAIClient:
    """A `Model` behind the ``openai`` SDK. Make one and share it: it pools its connections, for each event loop."""

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        api: Literal["chat", "responses"] = "chat",
        idle_timeout: float = 60,
        *,
        model: str = DEFAULT_MODEL,
        prices: Prices | None = None,
    ) -> None:
        """``api_key`` None: ``OPENAI_API_KEY``. ``idle_timeout``: seconds in which something must come.

        ``prices`` None: the known ones; a model that is not among them costs an unknown amount. Raises `PartMissing`.
        """
        if api not in ("chat", "responses"):
            raise ValueError(f"api is {api!r}; it is 'chat' or 'responses'.")
        try:
            import openai  # noqa: PLC0415  an extra, and slow to load
        except ImportError as error:
            raise PartMissing("OpenAIClient", "openai") from error
        sdk: Any = openai
        at_home = _is_openai(base_url)
        responses = api == "responses"
        self._model = model
        self._calls = SdkCalls(
            Vendor(
                provider=openai_chat.PROVIDER,
                sdk=sdk,
                make=lambda idle: sdk.AsyncOpenAI(
                    api_key=api_key,
                    base_url=base_url,
                    max_retries=0,
                    timeout=sdk.Timeout(idle, connect=CONNECT_SECONDS),
                ),
                endpoint=lambda client: client.responses if responses else client.chat.completions,
                secrets=(api_key or os.environ.get("OPENAI_API_KEY", ""),),
            ),
            openai_responses.wire() if responses else openai_chat.wire(of_openai=at_home),
            model=model,
            idle_timeout=idle_timeout,
            prices=prices if prices is not None else Prices(),
        )

    @property
    def provider(self) -> str:
        return openai_chat.PROVIDER

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


def _is_openai(base_url: str | None) -> bool:
    host = (urlsplit(base_url).hostname or "") if base_url else "api.openai.com"
    return host.endswith(".openai.com")
