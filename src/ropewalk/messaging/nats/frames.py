"""How several events travel in one NATS message: each behind its length. The first byte says whether more follows."""

from collections.abc import Iterator, Sequence

_MORE, _LAST = b"+", b"."
_LENGTH = 4


def framed(bodies: Sequence[bytes], *, most_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Yield messages no larger than ``most_bytes``, each with how many events it holds: at least one message, the last
    marked as such. A single event that is larger makes a message that is larger.
    """
    held: list[bytes] = []
    size, count = 1, 0
    for body in bodies:
        if held and size + len(body) + _LENGTH > most_bytes:
            yield b"".join((_MORE, *held)), count
            held, size, count = [], 1, 0
        held += (len(body).to_bytes(_LENGTH, "big"), body)
        size += len(body) + _LENGTH
        count += 1
    yield b"".join((_LAST, *held)), count


def unframed(message: bytes) -> tuple[list[bytes], bool]:
    """Return the events of a message, and whether it is the last of its batch. Raises ValueError for anything else."""
    bodies: list[bytes] = []
    at = 1
    while at < len(message):
        end = at + _LENGTH + int.from_bytes(message[at : at + _LENGTH], "big")
        if end > len(message) or at + _LENGTH > len(message):
            raise ValueError("A message of live events is cut off.")
        bodies.append(message[at + _LENGTH : end])
        at = end
    if message[:1] not in (_MORE, _LAST):
        raise ValueError("A message of live events begins with another byte.")
    return bodies, message[:1] == _LAST
