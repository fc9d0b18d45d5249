"""What a conversation with a language model is made of, whoever the provider is."""

from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model asks for."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any])
    id: str = ""
    """The provider's own; a result names it. A scripted call may leave it out."""
    invalid: str | None = None
    """The arguments as they came, when they are not a JSON object: such a call is never executed."""


class LLMMessage(BaseModel):
    """One message; what a state's ``messages`` hold. Unknown fields are kept and never sent to a provider."""

    model_config = ConfigDict(extra="allow")

    role: Role
    content: str | list[dict[str, Any]] | None = None
    """Text, or content parts in the form of Chat Completions (``{"type": "text" | "image_url", ...}``)."""
    tool_calls: list[ToolCall] | None = None
    """Of an assistant's message: each is answered by a message of role tool before the next of any other role."""
    tool_call_id: str | None = None
    """Of a tool's message: the call that it answers."""
    is_error: bool = False
    """Of a tool's message: the content tells why there is no result."""
    id: str = Field(default_factory=lambda: f"msg_{uuid4().hex[:12]}")
    should_show_to_user: bool = True
    type: str | None = None
    metadata: dict[str, Any] | None = None
    echo: dict[str, list[dict[str, Any]]] | None = None
    """Provider -> parts that this provider wants back as they came (signed thinking, reasoning items); other providers
    do not see them."""

    @property
    def text(self) -> str:
        """The content's text parts, joined."""
        if isinstance(self.content, list):
            return "".join(str(part.get("text", "")) for part in self.content if part.get("type") == "text")
        return self.content or ""
