"""How often one may ask, counted for all processes together."""

from typing import Protocol


class Throttle(Protocol):
    """Buckets that fill evenly, one for each asker; asking takes from it.

    Guarantees:

    - **One count.** Whichever process is asked, an asker has one bucket; the medium's own clock fills it.
    - **What is refused is not counted**, so that asking too often starves nobody.
    """

    async def take(self, asker: str, *, rate: float, burst: float) -> float | None:
        """Take one from the asker's bucket, which holds ``burst`` and is filled by ``rate`` a second.

        Return 0.0 when there was one, else the seconds after which there will be; None when nobody knows: the medium
        is away.
        """
        ...

    async def close(self) -> None: ...
