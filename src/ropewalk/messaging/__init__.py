"""Messaging between programs, one package for each service: `redis`. Importing this loads no driver."""
