"""Seed 004's messaging package; its names are in `ropewalk.compat.ailf.messaging.redis`."""
