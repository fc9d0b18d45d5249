"""Ends messages whose runs have stopped while nobody was writing: cancelled by a pod, or left by a worker that died."""

import logging

from ropewalk.chat.outlet import Ways
from ropewalk.chat.writing import Outcome, Writer, outcome_of
from ropewalk.contracts import RunRecord
from ropewalk.errors import RopewalkError, RunNotFound
from ropewalk.server.runs import RunService

log = logging.getLogger("ropewalk")


class Closing:
    """Writes last chunks."""

    def __init__(self, service: RunService, ways: Ways) -> None:
        self._service = service
        self._ways = ways

    async def close(self, message_id: str) -> bool:
        """Write the end of a message, or the question at which it waits, if its run has stopped; tell whether it has.

        What another one writes at the same time is written once.
        """
        try:
            record = await self._service.store.look(message_id)
            if record.status == "RUNNING" or record.graph not in self._service.graphs:
                return False
            await Writer(record, self._service.store, self._ways).close(lambda: self._outcome(record))
        except RunNotFound:
            return False
        except RopewalkError as trouble:
            log.warning("message %s could not be ended: %s", message_id, trouble)
            return False
        return True

    async def _outcome(self, record: RunRecord) -> Outcome:
        return outcome_of(await self._service.graph(record.graph).desk.load(record.run_id))
