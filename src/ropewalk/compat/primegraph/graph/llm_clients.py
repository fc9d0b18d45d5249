"""Seed 000's clients of language models and its streams."""

from ropewalk import AnthropicClient, LLMMessage, OpenAIClient, StreamingConfig, StreamingEventType

__all__ = ["AnthropicClient", "LLMMessage", "OpenAIClient", "StreamingConfig", "StreamingEventType"]
