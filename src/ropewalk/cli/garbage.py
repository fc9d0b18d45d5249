"""How the programs that serve for long treat garbage: what was loaded is no part of any later collection."""

import gc


def spare_what_is_loaded() -> None:
    """Let collections look at what is made from now on alone.

    Modules and their functions stay for as long as the process; a full collection would walk through all of them, which
    takes a tenth of a second in which nobody is answered. Call it when everything is loaded.
    """
    gc.collect()
    gc.freeze()
