"""Brings the fixtures for real servers to every test; nothing is started until a test asks."""

pytest_plugins = ["tests.servers.fixtures"]
