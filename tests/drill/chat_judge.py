"""The judge of the chat's drill: what the store's history says over HTTP, against what each tab has put together."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
from tests.chat.tab import history
from tests.drill.chat_graph import BETWEEN, parts_of
from tests.drill.chat_people import Followed, Person, Sent

KINDS = ("lost", "doubled", "differing", "unended", "faults")
_STATUS = {"DONE": "complete", "CANCELLED": "cancelled", "FAILED": "error"}


@dataclass(kw_only=True)
class Verdict:
    """What is wrong, by kind, each with the message that it is about."""

    lost: list[str] = field(default_factory=list[str])
    doubled: list[str] = field(default_factory=list[str])
    differing: list[str] = field(default_factory=list[str])
    unended: list[str] = field(default_factory=list[str])
    faults: list[str] = field(default_factory=list[str])
    suspects: dict[str, Person] = field(default_factory=dict[str, Person])
    """Messages whose story is worth telling."""

    def stories(self) -> list[tuple[str, Person]]:
        """Return a message of each kind of trouble."""
        first = [getattr(self, kind)[0].split()[1].rstrip(":") for kind in KINDS if getattr(self, kind)]
        return [(message_id, self.suspects[message_id]) for message_id in dict.fromkeys(first)]

    def note(self, kind: str, words: str, message_id: str, person: Person) -> None:
        getattr(self, kind).append(f"{person.session_id} {message_id}: {words}")
        self.suspects.setdefault(message_id, person)


async def judge(verdict: Verdict, person: Person, client: httpx.AsyncClient) -> None:
    """Judge one session."""
    items = await history(client, person.session_id, person.user_id)
    _judge_history(verdict, person, items)
    answers = {item["message_id"]: item for item in items if item["role"] == "assistant"}
    for tab in person.tabs:
        _judge_tab(verdict, person, tab, answers)


def _judge_history(verdict: Verdict, person: Person, items: list[dict[str, Any]]) -> None:
    asked = Counter(item["content"] for item in items if item["role"] == "user")
    said = Counter(item["message_id"] for item in items if item["role"] == "assistant")
    known = {sent.asked.text for sent in person.sent}
    for text in asked.keys() - known:
        verdict.note("doubled", f"nobody said {text!r}", "?", person)
    for sent in person.sent:
        about = (sent.message_id, person)
        if asked[sent.asked.text] != 1:
            kind = "doubled" if asked[sent.asked.text] else "lost"
            verdict.note(kind, f"it is in the history {asked[sent.asked.text]} times", *about)
        if said[sent.message_id] != 1:
            kind = "doubled" if said[sent.message_id] else "lost"
            verdict.note(kind, f"it was answered {said[sent.message_id]} times", *about)
    _judge_answers(verdict, person, items)


def _judge_answers(verdict: Verdict, person: Person, items: list[dict[str, Any]]) -> None:
    """Look whether each answer is the one that the graph gives, knowing all that was said before it."""
    by_id = {sent.message_id: sent for sent in person.sent}
    before = uncertain = 0
    for item in items:
        if item["role"] == "user":
            before += 1
            continue
        sent = by_id.get(item["message_id"])
        if sent is None:
            continue
        if item["status"] != "DONE":
            uncertain += 1
            if not (item["status"] == "CANCELLED" and sent.cancelled):
                verdict.note("lost", f"it is {item['status']}", sent.message_id, person)
        elif not any(item["content"] == _answer(sent, number) for number in range(before - 1 - uncertain, before)):
            verdict.note("differing", f"answer number {before} is {item['content'][:120]!r}", sent.message_id, person)


def _answer(sent: Sent, before: int) -> str:
    return BETWEEN.join(parts_of(sent.asked, before))


def _judge_tab(verdict: Verdict, person: Person, tab: Followed, answers: dict[str, Any]) -> None:
    for fault in tab.faults:
        verdict.note("faults", fault, fault.split(":")[0].split()[0], person)
    for sent in person.open_at(tab):
        verdict.note("unended", f"tab {person.tabs.index(tab)} has no end of it", sent.message_id, person)
    due = {sent.message_id for sent in person.due(tab)}
    for message_id, answer in tab.answers.items():
        stored = answers.get(message_id)
        if stored is None:
            verdict.note("doubled", "a tab has it, and the history does not", message_id, person)
        elif answer.status == "open":
            if message_id not in due:
                verdict.note("unended", f"tab {person.tabs.index(tab)} has only its beginning", message_id, person)
        elif answer.status != _STATUS.get(stored["status"]):
            verdict.note("differing", f"a tab has {answer.status}, not {stored['status']}", message_id, person)
        elif answer.text != stored["content"]:
            words = f"tab {person.tabs.index(tab)} has {answer.text[:200]!r}, not {stored['content'][:200]!r}"
            verdict.note("differing", words, message_id, person)
