"""The driver, nats-py, or the line that installs it; every other file here imports it from this one."""

# Importing a submodule binds it to the package, which is what is used.
# pyright: reportUnusedImport=false

from ropewalk.errors import PartMissing

try:
    import nats
    import nats.aio.client
    import nats.errors
except ImportError as error:
    raise PartMissing("Messaging with NATS", "nats") from error

__all__ = ["nats"]
