"""Included files go to nft as they are, so an `xlat` in one of them is refused before nft fails to understand it."""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from nfxlat.errors import OperatorError
from nfxlat.nft.language.scan import scan
from nfxlat.nft.language.tokens import Token, words_of

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


Included = dict[int, list[tuple[str, str]]]
"""Path and text of all files that an `include` leads to, by the offset of that word."""

Variables = list[tuple[str, tuple[Token, ...]]]


def read_includes(text: str, name: str, read: Reader) -> Included:
    """What `text`, called `name`, includes. Raises OperatorError where one of the files holds an `xlat` statement."""
    return {
        start: list(_files(operand, name, name, read, f"{name}:{_line(text, start)}", DEPTH))
        for start, _, operand in included(text)
    }


def _files(operand: str, name: str, top: str, read: Reader, where: str, depth: int) -> Iterator[tuple[str, str]]:
    """Those that the file `name` includes at `where`, with those that they include; `top`: the file that nft is
    given."""
    for path, inside in read(operand[1:-1], name, top) if depth else ():
        for at, _ in statements_in(inside):
            what = f"includes {path}, which has xlat in line {_line(inside, at)}"
            hint = "nft reads included files itself: move the rule with xlat into this file"
            raise OperatorError(what, where=where, hint=hint)
        yield path, inside
        for start, _, further in included(inside):
            yield from _files(further, path, top, read, f"{path}:{_line(inside, start)}", depth - 1)


def variables(files: Included) -> tuple[Variables, frozenset[int]]:
    """The variables of files that hold nothing else, and the places of other includes, and of those of no file."""
    found: Variables = []
    others = set()
    for start, some in files.items():
        try:
            sources = [scan(inside, path) for path, inside in some]
        except OperatorError:  # nft judges it
            sources = []
        if sources and all(source.commands <= {"include"} for source in sources):
            found += [define for source in sources for define in source.defines.items()]
        else:
            others.add(start)
    return found, frozenset(others)


def statements_in(text: str) -> Iterator[tuple[int, str]]:
    """Offset and direction of what looks like the statement, wherever it stands."""
    for (start, word), (_, behind) in pairwise(words_of(text)):
        if word == "xlat" and behind in ("to", "from"):
            yield start, behind


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
