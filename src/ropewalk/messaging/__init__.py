"""Messaging between programs: `redis`, `nats`, and `memory` within one. Importing this loads no driver."""
