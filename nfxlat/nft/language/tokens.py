"""Words of nft input with their places. Nothing is understood here, and no character is changed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nfxlat.errors import OperatorError

_TOKEN = re.compile(
    r"""(?P<space>(?:[ \t\r]|\\\r?\n)+)|(?P<comment>\#[^\n]*)|(?P<newline>\n)|(?P<string>"[^"\n]*"|'[^'\n]*')
        |(?P<mark>[{};])|(?P<punctuation>[,()]|[=!<>&|]+)|(?P<word>[^\s{};,()=!<>&|"'\#\\]+)|(?P<other>.)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, string (with its quotes), brace or separator of the input, `start` and `end` being offsets."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def bare(self) -> str:
        """The text without its quotes."""
        return self.text[1:-1] if self.kind == "string" else self.text


@dataclass(frozen=True, slots=True)
class Input:
    """nft input, and what it is called in messages."""

    text: str
    name: str

    def place(self, offset: int) -> str:
        """file:line:column of an offset; the column counts from 1, a tab being one."""
        line = self.text.count("\n", 0, offset) + 1
        return f"{self.name}:{line}:{offset - self.text.rfind(chr(10), 0, offset)}"

    def fault(self, what: str, at: Token, hint: str = "") -> OperatorError:
        """What is wrong at a token, to be raised."""
        return OperatorError(what, where=self.place(at.start), hint=hint)

    def tokens(self) -> Iterator[Token]:
        """All but spaces and comments. Raises OperatorError for what is none."""
        for found in _TOKEN.finditer(self.text):
            kind = found.lastgroup or "other"
            token = Token(kind, found[0], found.start(), found.end())
            if kind == "other":
                hint = "a string must end on the line where it begins" if found[0] in "\"'" else ""
                raise self.fault(f"stray {found[0]}", token, hint)
            if kind not in ("space", "comment"):
                yield token


def words_of(text: str) -> Iterator[tuple[int, str]]:
    """Offset and text of all tokens of any nft input, sound or not."""
    for found in _TOKEN.finditer(text):
        if found.lastgroup not in ("space", "comment", "newline"):
            yield found.start(), found[0]
