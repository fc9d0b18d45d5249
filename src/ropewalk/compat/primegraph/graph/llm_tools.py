"""Seed 000's tools and tool graphs."""

from ropewalk import LLMMessage, ToolCallLog, ToolGraph, ToolLoopOptions, ToolNode, ToolState, tool

__all__ = ["LLMMessage", "ToolCallLog", "ToolGraph", "ToolLoopOptions", "ToolNode", "ToolState", "tool"]
