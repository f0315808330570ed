"""Pages of contrib/doc as steps: files to write, commands to run, and what they print. See contrib/dev/PAGES.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOC = ROOT / "contrib/doc"
FENCE = re.compile(r"^( *)```(\S*)(.*)$")
PROMPT = re.compile(r"^(?:([a-z][a-z0-9-]*))?[#$] (.+)$")
REMARK = re.compile(r"^<!-- (not run|lab): (.+?) -->$")
INTERRUPT = "^C"


@dataclass
class Command:
    """A command with its prompt's name, what it should print, and what it should print after ^C (None: no ^C)."""

    line: int
    where: str
    text: str
    expected: list[str] = field(default_factory=list)
    after_interrupt: list[str] | None = None


@dataclass(frozen=True)
class Written:
    """A file that the reader is told to write: a block with a title."""

    line: int
    path: str
    content: str


@dataclass
class Page:
    """What a page has its reader do, in order; `skipped`: (line, reason) of blocks that are not run."""

    path: Path
    lab: str = "default"
    steps: list[Command | Written] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)


def pages() -> list[Path]:
    """All pages for readers."""
    return [ROOT / "README.md", *sorted(DOC.rglob("*.md"))]


def read(path: Path) -> Page:
    """The page. ValueError where a block is not closed, or has output before its first command."""
    page = Page(path)
    reason = ""
    lines = iter(enumerate(path.read_text().splitlines(), 1))
    for number, line in lines:
        if remark := REMARK.match(line.strip()):
            if remark[1] == "lab":
                page.lab = remark[2]
            else:
                reason = remark[2]
        elif fence := FENCE.match(line):
            block = _block(lines, len(fence[1]), f"{path}:{number}")
            title = re.search(r'title="([^"]+)"', fence[3])
            if reason:
                page.skipped.append((number, reason))
            elif fence[2] == "console":
                page.steps += _commands(block, f"{path}:{number}")
            elif title:
                page.steps.append(Written(number, title[1], "\n".join(text for _, text in block) + "\n"))
            reason = ""
        elif line.strip():
            reason = ""
    return page


def _block(lines: Iterator[tuple[int, str]], indent: int, where: str) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for number, line in lines:
        if line.strip() == "```":
            return found
        found.append((number, line[indent:] if line[:indent].isspace() else line))
    raise ValueError(f"{where}: this block has no end")


def _commands(block: list[tuple[int, str]], where: str) -> list[Command]:
    found: list[Command] = []
    continues = False
    for number, line in block:
        if continues:
            found[-1].text += "\n" + line
            continues = line.endswith("\\")
        elif prompt := PROMPT.match(line):
            found.append(Command(number, prompt[1] or "", prompt[2]))
            continues = line.endswith("\\")
        elif not found:
            raise ValueError(f"{where}: output before the first command, which begins with a prompt: # or $")
        elif line.strip() == INTERRUPT:
            found[-1].after_interrupt = []
        elif line.strip():
            last = found[-1].after_interrupt
            (found[-1].expected if last is None else last).append(line)
    return found


def same(text: str) -> list[str]:
    """Lines without what does not count: blank lines, and how much white space there is."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def pattern(expected: list[str]) -> re.Pattern[str]:
    """Of output that these lines describe: `...` in a line is anything, as a line any number of lines."""
    parts = []
    for line in same("\n".join(expected)):
        parts.append(r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*?") + r"\n")
    return re.compile("".join(parts))


def matches(expected: list[str], output: str, *, whole: bool = True) -> bool:
    """Whether the output is what is expected; `whole` False: whether it begins so."""
    text = "".join(line + "\n" for line in same(output))
    return bool(pattern(expected).fullmatch(text) if whole else pattern(expected).match(text))


LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def without_blocks(text: str) -> str:
    """The text of a page without what its fences enclose."""
    return re.sub(r"(?ms)^ *```.*?^ *```$", "", text)


def links(path: Path) -> list[str]:
    """Where the links and pictures of a page lead."""
    text = without_blocks(path.read_text())
    return LINK.findall(text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text)


def anchors(path: Path) -> set[str]:
    """The names of a page's headings, as GitHub and the site's generator make them."""
    plain = [
        re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in HEADING.findall(without_blocks(path.read_text()))
    ]
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in plain}
