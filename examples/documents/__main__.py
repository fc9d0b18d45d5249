"""`python -m examples.documents`: runs the workflow over a folder, goes on where it was, and asks before it publishes.

1. Look in the store for an unfinished run over the same folder; go on with it, or start one.
2. Show what happens until the run stops: it waits for a person, it is done, or it failed.
3. Where there is a terminal, ask about the digest and about the clerk's answer; else say how to answer, and leave. The
   run waits in the store.
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import re
import sys
from pathlib import Path
from typing import Any

from ropewalk import Pause, Run
from ropewalk.cli.follow import follow
from ropewalk.cli.remembered import own_folder, remember
from ropewalk.cli.screen import Screen, printable
from ropewalk.errors import GraphChanged, RopewalkError, RunTaken
from ropewalk.runtime import default_model, open_store
from ropewalk.settings import StoreChoice, chosen_store

from . import workflow
from .clerk import SCRIPTED, model_in_words
from .deciding import Answer, asked, command, how_to_answer, show, shown, somebody_is_there
from .desk import Desk
from .files import texts_in
from .progress import Progress
from .workflow import graph

TEXTS = Path(__file__).resolve().parent / "texts"
QUESTION = "Will Captain Okafor get her lines by 15 December?"
"""What the clerk is asked about the texts that come with it, unless something else is."""
_GRAPH = f"{Path(workflow.__file__).resolve()}:graph"
_UNFINISHED = ("RUNNING", "PAUSED", "FAILED")


class Refusal(Exception):
    """The command cannot do what it was asked: what happened, and what to do."""


def main() -> int:
    options = _options()
    screen = Screen()
    try:
        return Demo(options, screen).go()
    except KeyboardInterrupt:
        screen.bottom(())
        screen.end_line()
        screen.line("\nStopped. What is finished is kept: the same command goes on from here.")
        return 130
    except Refusal as refusal:
        print(f"documents: {refusal}", file=sys.stderr)
        return 2
    except GraphChanged as error:
        print(
            f"documents: {error}\nThe workflow was changed since this run began; --fresh starts anew.", file=sys.stderr
        )
        return 1
    except (RopewalkError, OSError, ValueError) as error:
        print(f"documents: {error}", file=sys.stderr)
        return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev run",
        description="Reads a folder of documents and writes a digest of it; an agent answers a question about them. "
        "A person approves both.",
        epilog="Stop it at any moment, even with kill -9: the same command goes on where it was.",
    )
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="the documents (default: texts that come with it)")
    parser.add_argument("--question", metavar="TEXT",
                        help="what the agent is to find out; '' leaves it alone (default: a question about the texts "
                        "that come with it; none about a FOLDER)")  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="publish without asking")
    parser.add_argument("--no-wait", action="store_true", help="do not ask, even in a terminal: leave the run paused")
    parser.add_argument("--out", metavar="DIR", help="where digest and answer go (default: .ropewalk/demo/FOLDER)")
    parser.add_argument("--fresh", action="store_true", help="start anew; an unfinished run is cancelled")
    parser.add_argument("--pace", type=float, metavar="S",
                        help="seconds for each document and each call (default: enough to watch)")  # fmt: skip
    parser.add_argument("--store", metavar="URL", help="where runs are kept (default: sqlite:///.ropewalk/runs.db)")
    return parser.parse_args()


class Demo:
    """One call of the command."""

    def __init__(self, options: argparse.Namespace, screen: Screen) -> None:
        self.options = options
        self.screen = screen
        self.folder = _folder(options.folder)
        self.out = Path(options.out or Path(".ropewalk", "demo", self.folder.name)).resolve()
        self.choice = chosen_store(options.store, environ=os.environ, folder=Path.cwd())
        self.store = _store(self.choice)
        graph.use_store(self.store)

    def go(self) -> int:
        """Do all of it; questions are asked while nothing runs."""
        later: set[str] = set()
        try:
            run_id = asyncio.run(self.until_it_stops())
            while (run := graph.open(run_id)).status == "PAUSED":
                pause = next((pause for pause in run.pauses if pause.id not in later), None)
                if pause is None:
                    return self.left_waiting(run_id)
                answer = self.decided(pause)
                if answer is None:
                    later.add(pause.id)
                else:
                    asyncio.run(self.answered(run_id, pause.id, answer))
            return self.told(run_id)
        finally:
            asyncio.run(self.store.close())

    # -- running ------------------------------------------------------------------------------------------------------

    async def until_it_stops(self) -> str:
        """Go on with the unfinished run over this folder, or start one; return its id when it stops."""
        unfinished, edition = await self.last_run()
        if unfinished is not None and self.options.fresh:
            with contextlib.suppress(GraphChanged):  # of an older workflow: it stays as it is
                await graph.open(unfinished).cancel("--fresh")
            unfinished = None
        if unfinished is not None:
            return await self.gone_on(unfinished)
        files, _ = texts_in(self.folder, without=self.out)
        if not files:
            raise Refusal(f"There is no file in {self.folder}.\n  do:  Name a folder with documents: ./dev run FOLDER")
        run = graph.start(self.desk(edition, len(files)), run_id=f"{self.prefix}{edition}")
        await run.admitted()
        remember(run.run_id, _GRAPH, self.choice.url)
        self.screen.line(f"{self.bold('Run')} {run.run_id} over {shown(self.folder)}")
        self.screen.line(
            self.screen.paint("Stop it whenever you like, even with kill -9: the same command goes on.", "dim")
        )
        self.say_who_thinks(run.state)
        await self.follow(run, run.wait(), Progress(self.screen, (), 0))
        return run.run_id

    async def gone_on(self, run_id: str) -> str:
        """Say where the run was, and go on if it is not for a person to do that."""
        run: Run[Desk] = graph.open(run_id)
        log = await run.history()
        state, read = run.state, sum(entry.type == "step_finished" and entry.node == "read" for entry in log)
        where = f"{read} of {len(state.files)} documents had been read" if state.files else "it had just begun"
        if state.draft:
            where = "the digest was written"
        self.screen.line(f"{self.bold('Going on')} with run {run_id}: {where}. Nothing finished is done again.")
        given = self.options.question
        if given is not None and given != state.question:
            self.screen.line(f"It was asked something else: {state.question or 'nothing'}. To ask anew: --fresh")
        if run.status != "PAUSED":
            self.say_who_thinks(state)
            progress = Progress(self.screen, state.files, read)
            await self.follow(run, run.resume(), progress, after=log[-1].number)
        return run_id

    async def answered(self, run_id: str, pause: str, answer: Answer) -> None:
        """Answer, and go on until it stops again."""
        run = graph.open(run_id)
        last = (await run.history())[-1].number
        await run.answer(pause, answer, by="--yes" if self.options.yes else "the terminal")
        await self.follow(run, run.wait(), Progress(self.screen, run.state.files, len(run.state.files)), after=last)

    async def follow(self, run: Run[Desk], going: Any, progress: Progress, *, after: int = 0) -> None:
        try:
            await follow(run, going, progress, after=after)
        except RunTaken as error:
            raise Refusal("Another process goes on with this run; this one has stopped.") from error
        except asyncio.CancelledError:
            await run.let_go()
            raise

    async def last_run(self) -> tuple[str | None, int]:
        """Return the unfinished run over this folder, if there is one, and the number of the next edition."""
        after: str | None = None
        while records := await self.store.runs(graph=graph.name, after=after, limit=200):
            for record in records:
                number = record.run_id.removeprefix(self.prefix)
                if number.isdecimal() and number != record.run_id:
                    return record.run_id if record.status in _UNFINISHED else None, int(number) + 1
            after = records[-1].run_id
        return None, 1

    @property
    def prefix(self) -> str:
        """What the ids of all runs over this folder into this output begin with."""
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.folder.name).strip("-")[:40] or "folder"
        mark = hashlib.sha256(f"{self.folder}\0{self.out}".encode("utf-8", "surrogateescape")).hexdigest()[:6]
        return f"documents-{name}-{mark}-"

    def desk(self, edition: int, count: int) -> Desk:
        pace = self.options.pace if self.options.pace is not None else min(0.3, 8 / count)
        folder, out = str(self.folder), str(self.out)
        question = QUESTION if self.options.question is None and self.folder == TEXTS else self.options.question or ""
        desk = Desk(folder=folder, out=out, edition=edition, pace=pace, documents=[], sections=[])
        desk.question = question
        return desk

    # -- talking ------------------------------------------------------------------------------------------------------

    def say_who_thinks(self, state: Desk) -> None:
        """Say what the clerk is asked, and which model answers."""
        if state.question and not state.answer:
            self.screen.line(f"{self.bold('Question')} {printable(state.question)}")
            self.screen.line(self.screen.paint(f"The clerk that answers it is {model_in_words(os.environ)}.", "dim"))

    def decided(self, pause: Pause) -> Answer | None:
        """Return what a person says; None: nobody is there, or not now."""
        if self.options.yes:
            return True
        return None if self.options.no_wait or not somebody_is_there() else asked(pause, self.screen)

    def left_waiting(self, run_id: str) -> int:
        run = graph.open(run_id)
        self.screen.line(f"\n{self.bold('Waiting')} for somebody to decide")
        for pause in run.pauses:
            show(pause, self.screen)
            self.screen.line(f"  answer:   {how_to_answer(pause, run_id)}")
        self.screen.line("\n  or:       the same command again, in a terminal or with --yes")
        self.end(run_id)
        return 0

    def told(self, run_id: str) -> int:
        """Say how it ended; return the exit code."""
        run = graph.open(run_id)
        if run.status != "DONE":
            print(f"documents: {run.error or f'the run is {run.status}'}", file=sys.stderr)
            print("  do:  Mend the cause and type the same command again: it goes on from there.", file=sys.stderr)
            if run.state.question and not run.state.answer and default_model() not in (None, SCRIPTED):
                print("       ROPEWALK_MODEL=scripted goes on without a model.", file=sys.stderr)
            return 1
        state = run.state
        if not state.draft:
            raise Refusal(f"{self.folder} was empty when it was read, so there is no digest. Put something there.")
        if state.published:
            self.screen.line(f"\n{self.bold('Published')}   {shown(state.published)}  (and .html beside it)")
        else:
            self.screen.line(f"\n{self.bold('Not published')}: the draft stays at {shown(state.draft)}")
        if state.answer_file:
            self.screen.line(f"{self.bold('Answered')}    {shown(state.answer_file)}")
        elif state.question:
            self.screen.line(f"{self.bold('No answer')} was published.")
        self.end(run_id)
        return 0

    def end(self, run_id: str) -> None:
        """Write the run's picture and say how to look at everything."""
        run = graph.open(run_id)
        file = self.out / f"run-{run.state.edition}.svg"
        file.parent.mkdir(parents=True, exist_ok=True)
        asyncio.run(_draw(run, file))
        self.screen.line(f"  picture:  {shown(file)}")
        self.screen.line(f"  the run:  {command('show', run_id)}")

    def bold(self, text: str) -> str:
        return self.screen.paint(text, "bold")


async def _draw(run: Run[Desk], file: Path) -> None:
    await asyncio.to_thread(file.write_text, await run.picture(), encoding="utf-8")


def _folder(given: str | None) -> Path:
    folder = Path(given).expanduser().resolve() if given else TEXTS
    if folder.is_dir():
        try:
            next(folder.iterdir(), None)
        except PermissionError:
            raise Refusal(f"{folder} cannot be read.\n  do:  Look at its permissions.") from None
        return folder
    what = "is a file and not a folder" if folder.exists() else "does not exist"
    raise Refusal(f"{given} {what}.\n  do:  Name a folder with documents: ./dev run FOLDER")


def _store(choice: StoreChoice) -> Any:
    if choice.url.startswith("sqlite:///.ropewalk/"):
        own_folder()
    return open_store(choice.url)


if __name__ == "__main__":
    sys.exit(main())
