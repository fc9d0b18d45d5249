"""What may be typed behind `ropewalk`."""

import argparse
import math
import re
from difflib import get_close_matches
from importlib import metadata
from typing import Any, NoReturn

from ropewalk.cli import guide
from ropewalk.cli.said import Said
from ropewalk.cli.trouble import Trouble

_STATUSES = ("RUNNING", "PAUSED", "DONE", "FAILED", "CANCELLED")


def parser() -> argparse.ArgumentParser:
    """Return the parser; ``command`` of what it reads is the last word of the command that was typed."""
    top = _Parser("ropewalk", **_words(guide.ROPEWALK))
    top.add_argument("--version", action=_Version, nargs=0, help="say which version this is")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_runs(commands)
    _add_dev(commands)
    _add_serve(commands)
    _add_worker(commands)
    _add_gateway(commands)
    _add_chat(commands)
    _add_doctor(commands)
    _add_db(commands)
    _add_graph(commands)
    _add_new(commands)
    return top


def _add_run(commands: Any) -> None:
    run = _command(commands, "run", "run a graph and watch it", guide.RUN)
    run.add_argument("target", metavar="FILE:graph", help="the file, and the graph's name in it if there are several")
    run.add_argument("--input", metavar="JSON", help="the initial state: a JSON object, @FILE, or - for standard input")
    run.add_argument("--run-id", metavar="ID", help="the run's id (default: a new one)")
    run.add_argument("--timeout", metavar="S", type=_seconds, help="seconds it may be under way, pauses left out")
    _add_store(run)


def _add_runs(commands: Any) -> None:
    runs = commands.add_parser("runs", help="look at runs, answer them, go on with them", **_words(guide.RUNS))
    below = runs.add_subparsers(title="commands", metavar="COMMAND", required=True)

    ls = _command(below, "ls", "list runs, newest first", guide.LS)
    ls.add_argument("--status", action="append", type=str.upper, choices=_STATUSES, metavar="STATUS",
                    help=f"only {', '.join(_STATUSES)}; may be given several times")  # fmt: skip
    ls.add_argument("--graph-name", metavar="NAME", help="only runs of the graph with this name")
    ls.add_argument("--limit", metavar="N", type=_number, default=30, help="at most so many (default: %(default)s)")
    _add_store(ls)

    show = _command_on_run(below, "show", "show where a run stands, and draw it", guide.SHOW)
    show.add_argument("--svg", metavar="FILE", help="write the run's picture to FILE")
    show.add_argument("--entries", metavar="N", type=_number, default=20,
                      help="how much of its history, from the end (default: %(default)s)")  # fmt: skip

    tail = _command_on_run(below, "tail", "follow a run that another process drives", guide.TAIL, graph=False)
    tail.add_argument("--after", metavar="N", type=_whole, default=0, help="begin behind entry N")
    tail.add_argument("--no-follow", action="store_true", help="print what there is, and end")

    answer = _command_on_run(below, "answer", "answer what a run asks, and go on", guide.ANSWER)
    _add_answer(answer)
    answer.add_argument("--by", metavar="NAME", help="who answers (default: your user name)")

    _command_on_run(below, "resume", "go on with a run that stopped", guide.RESUME)

    cancel = _command_on_run(below, "cancel", "end a run for good", guide.CANCEL)
    cancel.add_argument("--reason", metavar="TEXT", help="why; it is kept in the log")

    fork = _command_on_run(below, "fork", "begin a new run at a point of an old one", guide.FORK)
    fork.add_argument("--at", metavar="N", type=_number, help="the last entry that both have (default: the newest)")
    fork.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[],
                      help="write to the state there; VALUE is JSON or text; may be given several times")  # fmt: skip


def _add_answer(answer: argparse.ArgumentParser) -> None:
    answer.usage = "%(prog)s RUN [PAUSE] (VALUE | --approve | --reject [WHY] | --happened [RESULT]) [options]"
    answer.add_argument("pause", metavar="PAUSE", nargs="?", help="the pause's id; not needed when there is only one")
    value = answer.add_argument("value", metavar="VALUE", help="yes, no, JSON, or any other text")
    call = answer.add_argument_group("a call of a tool that waits for you")
    one = call.add_mutually_exclusive_group()
    told: dict[str, Any] = {"action": _Decides, "dest": "decision", "in_place_of": value}
    one.add_argument("--approve", nargs=0, help="let it run; after it ran, let its result count", **told)
    one.add_argument("--reject", nargs="?", const="", metavar="WHY", help="do not; the model is told, and why", **told)
    one.add_argument("--happened", nargs="?", const="", metavar="RESULT",
                     help="of one whose outcome is unknown: it did happen, and this was its result (JSON or text)",
                     **told)  # fmt: skip
    call.add_argument("--arguments", metavar="JSON", action=_Decides, in_place_of=value,
                      help="let it run with these arguments, all of them: an object, or @FILE")  # fmt: skip


def _add_dev(commands: Any) -> None:
    dev = _command(commands, "dev", "serve the graphs of a folder while you write them", guide.DEV)
    dev.add_argument("place", metavar="PATH", nargs="?", default=".", help="a folder or a file (default: this folder)")
    dev.add_argument("--host", metavar="HOST", default="127.0.0.1", help="address to bind (default: %(default)s)")
    dev.add_argument("--port", metavar="N", type=int, default=8000,
                     help="port to bind; 0 is any free one (default: %(default)s)")  # fmt: skip
    _add_store(dev)


def _add_serve(commands: Any) -> None:
    serve = _command(commands, "serve", "let programs and people reach graphs over HTTP", guide.SERVE)
    serve.add_argument("targets", metavar="FILE:graph", nargs="+", help="the graphs that are served")
    _add_address(serve, host="127.0.0.1", port=8000)
    _add_callers(serve)
    serve.add_argument("--workers", action="store_true", help="leave the runs to `ropewalk worker`")
    serve.add_argument("--bus", metavar="URL",
                       help="nats://...: brings the tokens of runs that workers drive (default: NATS_URL)")  # fmt: skip
    _add_store(serve)


def _add_address(command: argparse.ArgumentParser, *, host: str, port: int) -> None:
    command.add_argument("--host", metavar="HOST", default=host, help="address to bind (default: %(default)s)")
    command.add_argument("--port", metavar="N", type=int, default=port,
                         help="port to bind; 0 is any free one (default: %(default)s)")  # fmt: skip


def _add_callers(command: argparse.ArgumentParser) -> None:
    """Add who may ask, and how much."""
    command.add_argument("--auth", choices=("none",), help="none: anybody who reaches the server may use it")
    command.add_argument("--api-key", metavar="NAME:KEY", action="append", default=[],
                         help="who may ask; may be given several times (better: ROPEWALK_API_KEYS)")  # fmt: skip
    command.add_argument("--jwks", metavar="FILE|URL", help="keys of the tokens (JWT) that callers bring")
    command.add_argument("--jwt-issuer", metavar="ISS", help="who must have issued a token")
    command.add_argument("--jwt-audience", metavar="AUD", help="for whom a token must have been issued")
    command.add_argument("--allow-host", metavar="NAME", action="append", default=[],
                         help="a name under which the server may be asked for; * is any")  # fmt: skip
    command.add_argument("--allow-origin", metavar="ORIGIN", action="append", default=[],
                         help="a site whose pages may use the server")  # fmt: skip
    command.add_argument("--requests-per-second", metavar="N", type=_seconds, help="of one user (default: no limit)")
    command.add_argument("--streams-per-user", metavar="N", type=_number, default=200,
                         help="open at a time (default: %(default)s)")  # fmt: skip
    command.add_argument("--runs-per-user", metavar="N", type=_number, default=100,
                         help="running at a time (default: %(default)s)")  # fmt: skip
    command.add_argument("--max-body", metavar="BYTES", type=_number, default=16 * 1024 * 1024,
                         help="size of a request's body (default: %(default)s)")  # fmt: skip


def _add_worker(commands: Any) -> None:
    worker = _command(commands, "worker", "drive the runs that are left to workers", guide.WORKER)
    worker.add_argument("targets", metavar="FILE:graph", nargs="*",
                        help="the graphs whose runs it drives (default: ROPEWALK_GRAPHS)")  # fmt: skip
    _add_bus(worker)
    worker.add_argument("--metrics-port", metavar="N", type=int, help="serve /metrics on this port of --metrics-host")
    worker.add_argument("--metrics-host", metavar="HOST", default="127.0.0.1",
                        help="address of /metrics (default: %(default)s)")  # fmt: skip
    worker.add_argument("--concurrency", metavar="N", type=_number, default=100,
                        help="drive at most so many runs at a time (default: %(default)s)")  # fmt: skip
    worker.add_argument("--lease", metavar="SECONDS", type=_seconds, default=30.0,
                        help="when others take over what a dead worker held (default: %(default)g)")  # fmt: skip
    worker.add_argument("--grace", metavar="SECONDS", type=_seconds, default=30.0,
                        help="how long a stop waits for steps in flight (default: %(default)g)")  # fmt: skip
    worker.add_argument("--on-mismatch", choices=("leave", "fail"), default="leave",
                        help="what becomes of a run that the graph does not fit (default: leave it)")  # fmt: skip
    _add_store(worker)


def _add_bus(command: argparse.ArgumentParser) -> None:
    command.add_argument("--bus", metavar="URL", help="nats://...: between pods and workers (default: NATS_URL)")
    command.add_argument("--sessions", metavar="URL",
                         help="redis://...: connections and newest chunks (default: REDIS_HOST ...)")  # fmt: skip


def _add_gateway(commands: Any) -> None:
    gateway = _command(commands, "gateway", "be a pod of the chat service", guide.GATEWAY)
    gateway.add_argument("targets", metavar="FILE:graph", nargs="*",
                         help="the graphs that answer (default: ROPEWALK_GRAPHS, else the demonstration)")  # fmt: skip
    gateway.add_argument("--host", metavar="HOST", help="address to bind (default: SERVER_HOST, else 127.0.0.1)")
    gateway.add_argument("--port", metavar="N", type=int,
                         help="port to bind; 0 is any free one (default: SERVER_PORT, else 8080)")  # fmt: skip
    gateway.add_argument("--pod-id", metavar="ID", help="this pod's name (default: POD_ID, else pod-HOSTNAME)")
    _add_bus(gateway)
    _add_callers(gateway)
    _add_store(gateway)


def _add_chat(commands: Any) -> None:
    chat = _command(commands, "chat", "serve a chat from this process alone", guide.CHAT)
    chat.add_argument("targets", metavar="FILE:graph", nargs="*",
                      help="the graphs that answer (default: ROPEWALK_GRAPHS, else the demonstration)")  # fmt: skip
    chat.add_argument("--host", metavar="HOST", help="address to bind (default: SERVER_HOST, else 127.0.0.1)")
    chat.add_argument("--port", metavar="N", type=int,
                      help="port to bind; 0 is any free one (default: SERVER_PORT, else 8080)")  # fmt: skip
    _add_callers(chat)
    _add_store(chat)


def _add_doctor(commands: Any) -> None:
    doctor = _command(commands, "doctor", "find runs that nothing moves on", guide.DOCTOR)
    doctor.add_argument("--after", metavar="SECONDS", type=_seconds, default=60.0,
                        help="how long a run may wait or be silent (default: %(default)g)")  # fmt: skip
    _add_bus(doctor)
    _add_store(doctor)


def _add_db(commands: Any) -> None:
    db = commands.add_parser("db", help="look after the store's tables", **_words(guide.DB))
    below = db.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_store(_command(below, "upgrade", "bring the tables up to date", guide.UPGRADE))


def _add_graph(commands: Any) -> None:
    graph = _command(commands, "graph", "check a graph and draw it", guide.GRAPH)
    graph.add_argument("target", metavar="FILE:graph", help="the file, and the graph's name in it if there are several")
    form = graph.add_mutually_exclusive_group()
    for name, what in (("svg", "a picture"), ("mermaid", "a Mermaid flowchart"), ("dot", "a Graphviz digraph")):
        form.add_argument(f"--{name}", action="store_const", dest="form", const=name, help=what)
    graph.add_argument("-o", "--output", metavar="FILE", help="where to; .svg, .mmd and .dot tell the form")


def _add_new(commands: Any) -> None:
    new = _command(commands, "new", "begin a project that runs at once", guide.NEW)
    new.add_argument("folder", metavar="DIR", nargs="?", default=".", help="where (default: here)")


def _command(commands: Any, name: str, help_: str, words: guide.Guide) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=help_, **_words(words))
    command.add_argument("--json", action="store_true", help="print JSON, for programs")
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    command.set_defaults(command=name)
    return command


def _command_on_run(
    commands: Any, name: str, help_: str, words: guide.Guide, *, graph: bool = True
) -> argparse.ArgumentParser:
    command = _command(commands, name, help_, words)
    command.add_argument("run_id", metavar="RUN", help="the run's id, or the beginning of it")
    if graph:
        command.add_argument(
            "--graph", metavar="FILE:graph", help="the file that draws it (default: the one it ran from)"
        )
    _add_store(command)
    return command


def _add_store(command: argparse.ArgumentParser) -> None:
    command.add_argument("--store", metavar="URL", help="where runs are kept, see `ropewalk --help`")


def _words(words: guide.Guide) -> dict[str, Any]:
    return {
        "description": words.what,
        "epilog": words.more,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def _number(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not more than 0 seconds")
    return seconds


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in the words of the house."""

    def error(self, message: str) -> NoReturn:
        what = message.removeprefix("argument COMMAND: ").rstrip(".")
        wrong = re.fullmatch(r"(argument .+?: )?invalid choice: '(.*?)' \(choose from (.*)\)", what)
        if wrong:
            known = [name.strip("' ") for name in wrong[3].split(",")]
            near = get_close_matches(wrong[2], known, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            kind = f"{wrong[1]}there is no" if wrong[1] else "there is no command"
            what = f"{kind} {wrong[2]!r}. {hint}Known: {', '.join(known)}"
        raise Trouble(f"{what}.", do=f"{self.prog} --help")


class _Decides(argparse.Action):
    """An option that is the whole answer: with it no value is asked for."""

    def __init__(self, *args: Any, in_place_of: argparse.Action, **more: Any) -> None:
        super().__init__(*args, **more)
        self._value = in_place_of

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        said = Said((option or "").lstrip("-"), values or None)
        setattr(namespace, self.dest, said if self.dest == "decision" else values)
        self._value.required = False


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        try:
            version = metadata.version("ropewalk")
        except metadata.PackageNotFoundError:
            version = "(not installed: run from its source)"
        print(f"ropewalk {version}")
        parser.exit()
