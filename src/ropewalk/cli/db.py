"""`ropewalk db upgrade`: brings the tables of a store up to date, by a user who may; programs go on meanwhile."""

import argparse
import asyncio
import json
from typing import Any

from ropewalk.cli.opening import opened, store_choice
from ropewalk.cli.screen import Screen
from ropewalk.cli.trouble import DONE


def upgrade(options: argparse.Namespace) -> int:
    """Do `ropewalk db upgrade`."""
    return asyncio.run(_upgrade(options, Screen(as_json=options.json)))


async def _upgrade(options: argparse.Namespace, screen: Screen) -> int:
    store: Any = opened(store_choice(options.store), to_look=False)
    try:
        before, after = await store.upgrade() if hasattr(store, "upgrade") else await _by_opening(store)
    finally:
        await store.close()
    if screen.as_json:
        print(json.dumps({"before": before, "after": after}))
    elif before == after:
        screen.line("The store is up to date" + (f": version {after}." if after is not None else "."))
    else:
        screen.line(f"The store was upgraded from version {before} to {after}.")
    return DONE


async def _by_opening(store: Any) -> tuple[None, None]:
    """Open a store that brings itself up to date when it is opened, as a file does."""
    await store.runs(limit=1)
    return None, None
