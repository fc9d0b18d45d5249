"""Language models: plugs for `ropewalk.contracts.model`, and what wraps them. Importing it loads no SDK."""

from ropewalk.llm.scripted import ScriptedModel, ScriptedReply

__all__ = ["ScriptedModel", "ScriptedReply"]
