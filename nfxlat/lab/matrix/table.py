"""Records of the matrix, and how they are shown.

A record is a JSON object: kernel (its series, "6.18"), rule_path ("native" or "compat"), and cells: {cell: {question:
answer}}. Pages hold what is rendered from records between two comment lines, `BEGIN` and `END`.
"""

from __future__ import annotations

import json
import platform
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nfxlat.errors import OperatorError
from nfxlat.lab.matrix.cells import CELLS, OWN_4
from nfxlat.lab.matrix.questions import QUESTIONS, Answer
from nfxlat.lab.topology import TRANSLATOR, in_prefix6
from nfxlat.nft.kernel.load import queue_expression_available
from nfxlat.terms import DIRECTIONS, Direction

Record = dict[str, Any]
Cells = dict[str, dict[str, Answer]]

RECORDS = Path("tests/matrix")  # of a checkout
HOW = "python -m nfxlat.lab.matrix --record on it, or contrib/dev/matrix-vm for the virtual machine's"
HEADINGS: dict[Direction, str] = {"4to6": "IPv4 to IPv6", "6to4": "IPv6 to IPv4"}
BEGIN, END = "<!-- matrix: begin, by nfxlat.lab.matrix -->", "<!-- matrix: end -->"

_ADDRESSES = {
    TRANSLATOR[0]: "its address",
    TRANSLATOR[1]: "its address",
    in_prefix6(TRANSLATOR[0]): "its IPv4 address, translated",
    OWN_4: "its IPv6 address, translated",
    "192.0.0.1": "the host's address",
}
# where a page is narrow: by columns
_ESSENCE = (
    ("hook, device", "router-device"),
    ("hook, offload", "router-offload"),
    ("hook, ip", "router-ip"),
    ("device model", "device"),
)
_LABEL, _WIDTH = 12, 14


def record_of(cells: Cells) -> Record:
    """What has been measured here, as a record."""
    series = ".".join(platform.release().split(".")[:2])
    return {"kernel": series, "rule_path": "native" if queue_expression_available() else "compat", "cells": cells}


def name_of(record: Record) -> str:
    """Of the record: "6.18-compat"."""
    return f"{record['kernel']}-{record['rule_path']}"


def write(directory: Path, record: Record) -> Path:
    """Make it the record of its kernel."""
    path = directory / f"{name_of(record)}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def read(directory: Path, record: str) -> Cells:
    """The cells of the record of that name. OperatorError where there is none."""
    path = directory / f"{record}.json"
    if not path.exists():
        raise OperatorError("no semantics matrix is recorded for this kernel", where=str(path), hint=f"run {HOW}")
    cells: Cells = json.loads(path.read_text())["cells"]
    return cells


def names(directory: Path) -> list[str]:
    """Of all records, the newest kernel first."""
    return sorted((path.stem for path in directory.glob("*.json")), key=_version, reverse=True)


def _version(record: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", record)]


def shown(answer: Answer, *, old_and_new: bool = True) -> str:
    """An answer in short: one text where both directions are mirror images, told as the old and the new family."""
    if isinstance(answer, str):
        return _plain(answer)
    texts = [_plain(answer[direction]) for direction in DIRECTIONS]
    if texts[0] == texts[1]:
        return texts[0]
    if old_and_new:
        neutral = [
            text.replace(f"IPv{old}", "old").replace(f"IPv{new}", "new")
            for text, (old, new) in zip(texts, ((4, 6), (6, 4)), strict=True)
        ]
        if neutral[0] == neutral[1]:
            return neutral[0]
    return "; ".join(f"{direction}: {text}" for direction, text in zip(DIRECTIONS, texts, strict=True))


def _plain(text: str) -> str:
    """With roles for addresses."""
    return re.sub(r"[0-9a-f]+[.:][0-9a-f.:]*[0-9a-f]", lambda found: _ADDRESSES.get(found[0], found[0]), text)


def markdown(cells: Cells, direction: Direction) -> list[str]:
    """A table of one direction: a row for each question, a column for each cell."""
    columns = [cell for cell in CELLS if cell.name in cells]
    lines = ["| | " + " | ".join(cell.title for cell in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for question, (label, _) in QUESTIONS.items():
        answers = [cells[cell.name][question] for cell in columns]
        row = [_plain(answer if isinstance(answer, str) else answer[direction]) for answer in answers]
        lines.append(f"| **{label}** | " + " | ".join(row).replace("*", "\\*") + " |")
    return lines


def tables(cells: Cells) -> list[str]:
    """The table of each direction, under its heading."""
    lines = []
    for direction, heading in HEADINGS.items():
        lines += [f"### {heading}", "", *markdown(cells, direction), ""]
    return lines


def differences(cells: Cells, others: Cells) -> list[str]:
    """Where `others` answers otherwise, or not at all; a line each."""
    lines = []
    for cell in CELLS:
        if cell.name in cells and cell.name not in others:
            lines.append(f"{cell.title}: not measured")
        for question, (label, _) in QUESTIONS.items():
            mine, other = (record.get(cell.name, {}).get(question) for record in (cells, others))
            if mine and other and mine != other:
                lines.append(f"{cell.title}, {label}: {shown(other)}")
    return lines


def page(directory: Path) -> str:
    """The newest record as Markdown, and how the others differ."""
    newest, *others = names(directory)
    cells = read(directory, newest)
    lines = [f"Kernel {newest.replace('-', ', rules ')}:", "", *tables(cells)]
    for other in others:
        differing = differences(cells, read(directory, other))
        says = "the same" if not differing else "the same, except for"
        lines += [f"Kernel {other.replace('-', ', rules ')}: {says}", *(f"- {line}" for line in differing), ""]
    return "\n".join(lines)


def essence(directory: Path) -> str:
    """Four columns of the newest record in plain text, at most 76 columns wide."""
    cells = read(directory, names(directory)[0])
    rows: list[Sequence[str]] = [["", *(title for title, _ in _ESSENCE)]]
    rows += [
        [label, *(shown(cells[cell][question]) for _, cell in _ESSENCE)] for question, (label, _) in QUESTIONS.items()
    ]
    lines = []
    for label, *texts in rows:
        wrapped = [textwrap.wrap(label, _LABEL), *(textwrap.wrap(text, _WIDTH) for text in texts)]
        for number in range(max(map(len, wrapped))):
            parts = [column[number] if number < len(column) else "" for column in wrapped]
            padded = [parts[0].ljust(_LABEL), *(part.ljust(_WIDTH) for part in parts[1:])]
            lines.append("    " + " ".join(padded).rstrip())
        lines.append("")
    return "\n".join(lines)


def between(text: str) -> str:
    """What a page holds between the two comments."""
    return text.partition(BEGIN + "\n")[2].partition(END)[0]


def renew(path: Path, content: str) -> None:
    """Put `content` between the two comments of a page."""
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise OperatorError(
            "the lines that enclose the matrix are missing", where=str(path), hint=f"add {BEGIN} and {END}"
        )
    path.write_text(text.replace(BEGIN + "\n" + between(text) + END, BEGIN + "\n" + content + END))
