"""Says what happens while it happens: a model's parts as live events of the run, and as a stream to the outside."""

import json
import logging
import time
from typing import Any

from ropewalk.agent.callbacks import tell
from ropewalk.agent.streaming import StreamFold, StreamingConfig
from ropewalk.contracts.messages import ToolCall
from ropewalk.contracts.model import ModelPart, Reply, Restarted, TextPart, ThinkingPart, ToolCallPart
from ropewalk.contracts.publisher import Publisher
from ropewalk.core.context import Context

log = logging.getLogger("ropewalk")


class ToolContext(Context):
    """What a tool gets as ``ctx``: the run it is part of, a key that tells its repetition, and a way to say how far it
    is.
    """

    def __init__(self, whole: Context, call: ToolCall, name: str) -> None:
        self.__dict__.update(whole.within(name).__dict__)
        self.call_id = call.id
        self.tool = call.name

    def emit(self, data: Any) -> None:
        """Tell the run's readers how far the call is: a live event ``tool_progress``."""
        self.say("tool_progress", {"call_id": self.call_id, "tool": self.tool, "data": getattr(data, "text", data)})


class Teller:
    """Tells one reply, part by part."""

    def __init__(self, ctx: Context, config: StreamingConfig | None, publisher: Publisher | None, model: str) -> None:
        self._ctx = ctx
        self._inner = ctx if isinstance(ctx, ToolContext) else None
        self._config = config
        self._publisher = publisher
        self._heard = False
        self._fold = StreamFold(f"msg_{time.time_ns():x}", model, config.event_types) if config is not None else None

    async def take(self, part: ModelPart) -> None:
        """Tell a part."""
        if not isinstance(part, Reply):
            self._heard = True
            self._say(part)
        elif not self._heard and part.message.text:  # it was not streamed
            self._say(TextPart(part.message.text))
        if self._fold is not None:
            for event in self._fold.take(part):
                await self._stream(event)

    def _say(self, part: ModelPart) -> None:
        ctx, inner = self._ctx, self._inner
        match part:
            case TextPart(text=text):
                if inner is None:
                    ctx.say("text", {"text": text})
                else:  # of an agent that was asked: its words are not the answer's
                    ctx.say("tool_progress", {"call_id": inner.call_id, "tool": inner.tool, "text": text})
            case ThinkingPart(text=text):
                ctx.say("thinking", {"text": text} | self._of_tool())
            case ToolCallPart(index=index, id=call_id, name=name, arguments=arguments):
                told = {"index": index, "call_id": call_id, "tool": name, "arguments": arguments}
                ctx.say("tool_arguments", told | ({"within": inner.call_id} if inner else {}))
            case Restarted(reason=reason):
                if inner is None:
                    ctx.say("reset", {"text": "", "reason": reason})
                else:
                    ctx.say("tool_progress", {"call_id": inner.call_id, "tool": inner.tool, "reset": reason})
            case Reply():
                pass

    def _of_tool(self) -> dict[str, str]:
        return {"call_id": self._inner.call_id, "tool": self._inner.tool} if self._inner else {}

    async def _stream(self, event: dict[str, Any]) -> None:
        config = self._config
        assert config is not None
        told = {**event, "type": config.event_type_mapping.get(event["type"], event["type"]), "timestamp": time.time()}
        await tell(config.callback, told)
        if self._publisher is not None and config.redis_channel is not None:
            self._publisher.publish(config.redis_channel, json.dumps(told).encode())
