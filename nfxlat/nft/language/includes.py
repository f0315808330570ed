"""Included files go to nft as they are, so an `xlat` in one of them is refused before nft fails to understand it.

nft looks for a name without a leading `/` or `./` in its include paths: `load` adds the including file's own folder
(nft(8), "INCLUDING FILES").
"""

import glob
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from nfxlat.errors import OperatorError
from nfxlat.nft.language.scan import words_of

_DEPTH = 16  # as nft (scanner.l MAX_INCLUDE_DEPTH)
_PLACES = ("/etc",)


def refuse_xlat(text: str, name: str, depth: int = _DEPTH) -> None:
    """Raise OperatorError where a file that `text`, called `name`, includes holds an `xlat` statement."""
    words = list(words_of(text))
    for (start, word), (_, operand) in pairwise(words):
        if word != "include" or operand[:1] not in "\"'" or not depth:
            continue
        for path in _files(operand[1:-1], Path(name).parent):
            try:
                inside = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue  # nft will say so
            for at, _ in statements_in(inside):
                what = f"includes {path}, which holds xlat (line {inside.count(chr(10), 0, at) + 1})"
                hint = "what is included goes to nft as it is: put the rule with xlat into this file"
                raise OperatorError(what, where=f"{name}:{text.count(chr(10), 0, start) + 1}", hint=hint)
            refuse_xlat(inside, str(path), depth - 1)


def statements_in(text: str) -> Iterator[tuple[int, str]]:
    """Offset and direction of what looks like the statement, wherever it stands."""
    words = list(words_of(text))
    for (start, word), (_, behind) in pairwise(words):
        if word == "xlat" and behind in ("to", "from"):
            yield start, behind


def _files(operand: str, folder: Path) -> list[Path]:
    if os.path.isabs(operand):
        places = [""]
    elif operand.startswith("./"):
        places = ["."]
    else:
        places = [str(folder), *_PLACES]
    for place in places:
        if found := sorted(glob.glob(os.path.join(place, operand))):
            return [Path(path) for path in found]
    return []
