"""The bare loops: what the same work costs with nothing between it and asyncio or SQLite."""
