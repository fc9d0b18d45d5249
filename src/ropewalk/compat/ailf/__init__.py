"""Seed 004's import root."""
