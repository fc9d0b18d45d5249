"""What goes wrong with tools, and with replies and final answers that cannot be used."""

from collections.abc import Iterable

from ropewalk.errors.root import RopewalkError, did_you_mean, short


class ToolInvalid(RopewalkError, TypeError):
    code = "tool_invalid"

    def __init__(self, tool: str, why: str, do: str) -> None:
        self.tool = tool
        super().__init__(f"{tool!r} cannot be a tool as it is: {why}. {do}")


class ToolProblem(RopewalkError):
    """A tool call that the model was not to be told about, or not once more."""

    code = "tool_problem"

    def __init__(self, tool: str, message: str) -> None:
        self.tool = tool
        super().__init__(message)


class ToolUnknown(ToolProblem):
    code = "tool_unknown"

    def __init__(self, tool: str, known: Iterable[str]) -> None:
        super().__init__(tool, f"There is no tool {tool!r}.{did_you_mean(tool, known)}")


class ToolArgumentsInvalid(ToolProblem, ValueError):
    code = "tool_arguments_invalid"

    def __init__(self, tool: str, why: str) -> None:
        super().__init__(tool, f"Tool {tool!r} was not called, its arguments do not fit: {why}")


class ToolTimeout(ToolProblem, TimeoutError):
    code = "tool_timeout"

    def __init__(self, tool: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(tool, f"Tool {tool!r} took longer than its timeout of {seconds:g} s.")


class ToolOutcomeUnknown(ToolProblem):
    code = "tool_outcome_unknown"

    def __init__(self, tool: str, why: str) -> None:
        super().__init__(tool, f"Whether tool {tool!r} took effect is not known: {why}.")


class ToolServerFailed(ToolProblem):
    code = "tool_server_failed"

    def __init__(self, tool: str, why: str) -> None:
        super().__init__(tool, f"{tool} failed: {why}")


class ToolErrors(ToolProblem):
    code = "tool_errors"

    def __init__(self, tool: str, rounds: int, last: str) -> None:
        self.rounds = rounds
        super().__init__(
            tool,
            f"All tool calls of {rounds} rounds in a row failed, more than max_failed_rounds allows; the last, of "
            f"{tool!r}: {last} Mend the tool or its description, or raise max_failed_rounds; then resume().",
        )


class ReplyNotFinal(RopewalkError):
    """The model replied in full, and its reply is no answer; `text` is what there is of it."""

    code = "reply_not_final"

    def __init__(self, model: str, finish: str, text: str, message: str) -> None:
        self.model = model
        self.finish = finish
        self.text = text
        super().__init__(message)


class ReplyCutOff(ReplyNotFinal):
    code = "reply_cut_off"

    def __init__(self, model: str, finish: str, text: str) -> None:
        why = "the model's window is full" if finish == "context" else "it had reached max_tokens"
        super().__init__(
            model,
            finish,
            text,
            f"The reply of {model!r} was cut off: {why}. Half an answer is none, and none of its tool calls was run. "
            "Give it more room (max_tokens, a Window, a Summary); resume() asks again.",
        )


class ReplyRefused(ReplyNotFinal):
    code = "reply_refused"

    def __init__(self, model: str, finish: str, text: str) -> None:
        who = "its provider's filter stopped it" if finish == "filter" else "the model refused"
        super().__init__(
            model,
            finish,
            text,
            f"{model!r} gave no answer: {who}{f' ({short(text)})' if text else ''}. Change what it is asked; "
            "resume() asks again.",
        )


class OutputInvalid(RopewalkError, ValueError):
    code = "output_invalid"

    def __init__(self, schema: str, times: int, why: str) -> None:
        self.schema = schema
        super().__init__(
            f"The final answer did not fit {schema} in {times} tries; the last: {why} "
            "Simplify the schema, raise output_retries, or take another output_mode."
        )
