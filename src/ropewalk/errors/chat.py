"""What can go wrong between pods and workers of the chat service, each in an error of its own."""

from ropewalk.errors.root import RopewalkError, did_you_mean, short


class ChatProblem(RopewalkError):
    """What every error of this file is."""

    code = "chat_problem"


class BusUnavailable(ChatProblem, ConnectionError):
    """The call may have been carried out, unless the connection could not be made at all."""

    code = "bus_unavailable"

    def __init__(self, what: str, where: str, why: str, *, nobody_answers: bool = False) -> None:
        self._told = (what, where, why)
        self.nobody_answers = nobody_answers
        """It can be reached, and what was asked for is not there: JetStream, a stream, a consumer."""
        super().__init__(
            f"{what} at {where} could not be used: {why.rstrip('.')}. Nothing that was accepted is lost: the run store "
            "has it. Look at whether the server runs and can be reached, then try again."
        )

    def again(self) -> "BusUnavailable":
        """Return the same once more: of many that waited together each raises one of its own."""
        return BusUnavailable(*self._told, nobody_answers=self.nobody_answers)


class ChunkRefused(ChatProblem):
    code = "chunk_refused"

    def __init__(self, message_id: str, fence: int, newer: int) -> None:
        self.held = newer
        """The fence of who writes it now."""
        super().__init__(
            f"Message {message_id!r} is written by another worker now (attempt {newer}; this one is {fence}), so "
            "nothing more of this one is shown. It was taken over; nothing needs to be done."
        )


class MessageOver(ChatProblem):
    code = "message_over"

    def __init__(self, message_id: str) -> None:
        super().__init__(
            f"Message {message_id!r} has its last chunk, so nothing can be added to it. Its text is in the run store."
        )


class RequestUnreadable(ChatProblem, ValueError):
    code = "request_unreadable"

    def __init__(self, where: str, why: str) -> None:
        self.where = where
        super().__init__(
            f"The request cannot be read: {where}: {why.rstrip('.')}. It is JSON with message_id, session_id, user_id "
            "and message."
        )


class ModelNotAllowed(ChatProblem, ValueError):
    code = "model_not_allowed"

    def __init__(self, asked: str, allowed: list[str]) -> None:
        super().__init__(
            f"Model {short(asked)} may not be asked for here.{did_you_mean(asked, allowed)} "
            "ROPEWALK_CHAT_MODELS lists what may."
        )


class SessionNotFound(ChatProblem):
    code = "session_not_found"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"There is no session {short(session_id)} of this user. Look at both ids.")


class MessageNotFound(ChatProblem):
    code = "message_not_found"

    def __init__(self, message_id: str) -> None:
        super().__init__(f"There is no message {short(message_id)} of this user. Look at both ids.")
