"""Tells workers again of messages that nobody has taken: the one who was to tell them may have died.

Our own workers find every message in the store. Others know only what they hear on the bus.
"""

import logging

from ropewalk.chat.noted import noted_in
from ropewalk.chat.requests import ChatContext, WorkflowRequest, now_text
from ropewalk.contracts import QueuesRuns, TellsOfRuns
from ropewalk.contracts.chat_requests import ChatRequests
from ropewalk.core.facts import read_entry
from ropewalk.errors import RopewalkError
from ropewalk.server.runs import RunService

log = logging.getLogger("ropewalk")

UNHEARD_SECONDS = 10.0
"""How long a message may be due before it is told of again."""
_AT_ONCE = 100


class Sweep:
    """Looks for messages that wait for too long."""

    def __init__(
        self, service: RunService, requests: ChatRequests, *, unheard_seconds: float = UNHEARD_SECONDS
    ) -> None:
        self._service = service
        self._requests = requests
        self._unheard = unheard_seconds

    async def sweep(self) -> int:
        """Tell of every message that has been due for so long; return how many there were."""
        store = self._service.store
        queue = store.queue() if isinstance(store, QueuesRuns) else None
        if not isinstance(queue, TellsOfRuns):
            return 0
        told = 0
        try:
            for due in await queue.overdue(for_seconds=self._unheard, limit=_AT_ONCE):
                if due.graph in self._service.graphs:
                    told += await self._tell(due.run_id)
        except RopewalkError as trouble:
            log.debug("what waits is told of later: %s", trouble)
        return told

    async def _tell(self, run_id: str) -> bool:
        record = await self._service.store.look(run_id)
        (number, body), *_ = await self._service.store.read(run_id, limit=1)
        noted = noted_in(read_entry(number, body).data)
        if noted is None or record.owner is None:
            return False
        request = WorkflowRequest(
            message_id=run_id,
            session_id=noted.session_id,
            user_id=record.owner,
            message=noted.asked,
            context=ChatContext.model_validate(noted.context),
            timestamp=now_text(),
            correlation_id=noted.correlation_id or run_id,
        )
        await self._requests.publish(noted.session_id, request.body(), message_id=run_id)
        return True
