"""Included files go to nft as they are, so an `xlat` in one of them is refused before nft fails to understand it."""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from nfxlat.errors import OperatorError
from nfxlat.nft.language.tokens import words_of

_DEPTH = 16  # as nft (scanner.l MAX_INCLUDE_DEPTH)

# Path and text of each file that `include` in a file means: the operand without its quotes, and that file's name.
Reader = Callable[[str, str], Iterable[tuple[str, str]]]


def refuse_xlat(text: str, name: str, read: Reader, depth: int = _DEPTH) -> None:
    """Raise OperatorError where a file that `text`, called `name`, includes holds an `xlat` statement."""
    for (start, word), (_, operand) in pairwise(words_of(text)):
        if word != "include" or operand[:1] not in "\"'" or not depth:
            continue
        for path, inside in read(operand[1:-1], name):
            for at, _ in statements_in(inside):
                what = f"includes {path}, which has xlat in line {_line(inside, at)}"
                hint = "nft reads included files itself: move the rule with xlat into this file"
                raise OperatorError(what, where=f"{name}:{_line(text, start)}", hint=hint)
            refuse_xlat(inside, path, read, depth - 1)


def statements_in(text: str) -> Iterator[tuple[int, str]]:
    """Offset and direction of what looks like the statement, wherever it stands."""
    for (start, word), (_, behind) in pairwise(words_of(text)):
        if word == "xlat" and behind in ("to", "from"):
            yield start, behind


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
