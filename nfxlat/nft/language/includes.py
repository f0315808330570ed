"""Included files go to nft as they are, so an `xlat` in one of them is refused before nft fails to understand it."""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from nfxlat.errors import OperatorError
from nfxlat.nft.language.tokens import words_of

DEPTH = 16  # as nft (scanner.l MAX_INCLUDE_DEPTH)

# Path and text of each file that an `include` means: its operand without quotes, the file that it stands in, and the
# one that nft is given, by whose place it seeks.
Reader = Callable[[str, str, str], Iterable[tuple[str, str]]]


def included(text: str) -> Iterator[tuple[int, int, str]]:
    """Where each `include` stands, and its operand, which is in quotes."""
    if "include" in text:  # it may hold a million elements
        for (start, word), (at, operand) in pairwise(words_of(text)):
            if word == "include" and operand[:1] in "\"'":
                yield start, at, operand


def refuse_xlat(text: str, name: str, top: str, read: Reader, depth: int = DEPTH) -> None:
    """Raise OperatorError where a file that `text`, called `name`, includes holds an `xlat` statement. `top`: the file
    that nft is given."""
    for start, _, operand in included(text) if depth else ():
        for path, inside in read(operand[1:-1], name, top):
            for at, _ in statements_in(inside):
                what = f"includes {path}, which has xlat in line {_line(inside, at)}"
                hint = "nft reads included files itself: move the rule with xlat into this file"
                raise OperatorError(what, where=f"{name}:{_line(text, start)}", hint=hint)
            refuse_xlat(inside, path, top, read, depth - 1)


def statements_in(text: str) -> Iterator[tuple[int, str]]:
    """Offset and direction of what looks like the statement, wherever it stands."""
    for (start, word), (_, behind) in pairwise(words_of(text)):
        if word == "xlat" and behind in ("to", "from"):
            yield start, behind


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
