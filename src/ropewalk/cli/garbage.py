"""Spares the programs that serve the garbage collector's rounds over what never goes: code, plans, schemas.

By itself the collector looks at everything that is alive each time a quarter has come on top, which in a server is
mostly what was imported; nobody is answered meanwhile.
"""

import contextlib
import gc
from collections.abc import Generator

_NEW_OBJECTS = 10_000
"""When so many more have come than gone, the new ones are looked through; by default it is 700, a few runs' worth."""


@contextlib.contextmanager
def what_is_here_stays() -> Generator[None]:
    """Leave what is alive now out of the collector's rounds until the block ends, and let it make fewer of them.

    It is for the whole process: for whoever owns that. What is garbage already is collected afterwards.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
