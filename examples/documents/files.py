"""Which files there are to read, and how a digest comes to lie in its folder whole or not at all."""

import html
import os
import re
from pathlib import Path

MOST_FILES = 500


def texts_in(folder: Path, *, without: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the files below ``folder``, and what was left out and why. Hidden files and links are passed over."""
    found: list[str] = []
    left_out: list[str] = []
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and (here / name) != without)
        for name in sorted(names):
            path = here / name
            if name.startswith(".") or path.is_symlink() or not path.is_file():
                continue
            shown = str(path.relative_to(folder))
            if not _is_storable(shown):
                left_out.append(f"{shown.encode('utf-8', 'backslashreplace').decode()}: its name is not UTF-8")
            else:
                found.append(shown)
    if len(found) > MOST_FILES:
        left_out.append(f"{len(found) - MOST_FILES} files beyond the first {MOST_FILES}")
    return tuple(found[:MOST_FILES]), tuple(left_out)


def write_draft(out: str, edition: int, page: str) -> str:
    """Write the digest as Markdown and as HTML; return the path of the Markdown."""
    drafts = Path(out) / "drafts"
    _write_whole(drafts / f"digest-{edition}.html", as_html(page))
    return str(_write_whole(drafts / f"digest-{edition}.md", page))


def publish_draft(out: str, edition: int) -> str:
    """Move the digest to where its readers look. Done twice it is done once: what has moved has moved."""
    published = Path(out) / "published"
    published.mkdir(parents=True, exist_ok=True)
    for name in (f"digest-{edition}.html", f"digest-{edition}.md"):
        draft, goal = Path(out) / "drafts" / name, published / name
        if draft.exists() or not goal.exists():
            os.replace(draft, goal)
    return str(published / f"digest-{edition}.md")


def write_answer(out: str, edition: int, page: str) -> str:
    """Write the clerk's answer as Markdown; return its path. Done twice it is done once."""
    return str(_write_whole(Path(out) / "answers" / f"answer-{edition}.md", page))


def note_call(out: str, edition: int, key: str, tool: str, about: str) -> None:
    """Leave a line for a call that was made, so that everybody can count: a key that stands there twice ran twice."""
    file = Path(out) / f"calls-{edition}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    line = f"{key}\t{tool}\t{' '.join(about.split())}\n".encode("utf-8", "backslashreplace")
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line)  # one write: lines of calls side by side do not mix
    finally:
        os.close(handle)


def _write_whole(path: Path, text: str) -> Path:
    """Write a file so that nobody, not even after a crash, ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    return path


def _is_storable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8, as the file system gave them
        return False
    return True


def as_html(page: str) -> str:
    """Turn the little Markdown that digests use into a page of HTML."""
    body: list[str] = []
    listing = False
    for line in html.escape(page, quote=False).splitlines():
        line = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", re.sub(r"`(.+?)`", r"<code>\1</code>", line))  # noqa: PLW2901
        item = line.startswith("- ")
        if item != listing:
            body.append("<ul>" if item else "</ul>")
            listing = item
        heading = re.match(r"(#{1,3}) (.*)", line)
        if heading:
            body.append(f"<h{len(heading[1])}>{heading[2]}</h{len(heading[1])}>")
        elif line.strip():
            body.append(f"<li>{line[2:]}</li>" if item else f"<p>{line}</p>")
    body += ["</ul>"] if listing else []
    style = "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;color-scheme:light dark}"
    title = html.escape(page.partition("\n")[0].lstrip("# "))
    head = (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n<style>{style}</style>\n'
    )
    return head + "\n".join(body) + "\n</html>\n"
