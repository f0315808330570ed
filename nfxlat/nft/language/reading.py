"""One rule, read for what its decision hangs on: of each expression what it looks at, and the verdict.

Only expressions that the program at ingress can repeat are understood, strictly: one of `selectors`, perhaps several
joined by dots, and a value, set or map behind it. The first word that is anything else ends the reading with a fault,
and what `WHY` says of it. So does a match that no packet of the program's passes: what stands behind it is not for
them, and what stands ahead of it is.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise, takewhile

from nfxlat.nft.language.selectors import (
    BEHIND,
    BETWEEN,
    DOING,
    FAMILY,
    FLOW,
    FRAGMENTS,
    HEADERS,
    KINDS,
    LEAVE_OUT,
    NATURE,
    NEVER,
    OF_OTHERS,
    OPERATORS,
    OTHER,
    PAIR,
    PROTOCOL,
    ROUTE,
    SEES,
    STATE,
    VARIABLE,
    VERDICTS,
    WHY,
    is_other,
)
from nfxlat.nft.language.source import GENERATED, VOLATILE, Rule, Source
from nfxlat.nft.language.tokens import Token


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that cannot be repeated. `sees`: a statement beside the decision, that has to see all packets."""

    at: Token
    what: str
    why: str
    remedy: str = LEAVE_OUT
    sees: bool = False


@dataclass(slots=True)
class Reading:
    """`never`: a match that no TCP or UDP of the family passes; all else is about what stands ahead of it.

    `verdict`: "" where it has none; `counter`: one without a name, `sees_all` where it stands ahead of a match.
    """

    by_flow: bool = False
    never: bool = False
    verdict: str = ""
    counter: Token | None = None
    sees_all: bool = False
    faults: list[Fault] = field(default_factory=list)


def read(source: Source, rule: Rule, family: str) -> Reading:
    """A rule, as packets of `family` (ip, ip6) meet it."""
    return _Reader(source, rule, family).read()


class _Reader:
    """One pass over a rule's tokens, with those that variables stand for."""

    def __init__(self, source: Source, rule: Rule, family: str) -> None:
        self._source, self._rule, self._family = source, rule, family
        self._tokens = source.expanded(rule.tokens)
        self._texts = [token.text for token in self._tokens]
        self._at = 0
        self._mapped = False  # by vmap: that is a verdict
        self._found = Reading()

    def read(self) -> Reading:
        found = self._found
        found.never = self._rule.chain.table.family == OTHER[self._family][0]
        while not found.never and self._text() not in ("", *VERDICTS, "comment"):
            if self._statement():
                continue
            whole = self._expression()
            if not whole and self._is_of_others():
                found.never = True
                found.faults.pop()
            self._ahead_of_a_match()
            if not whole:
                break
        found.verdict = self._verdict()
        if self._text() in ("jump", "goto"):
            self._at += 1
            if self._text()[:1] == "$":
                self._unknown_variable()
            elif self._text() == "{":
                self._fault("a chain without a name", "what is in it is not read", "give it a name, and jump there")
        return found

    def _verdict(self) -> str:
        """That of what has not been read, else of the map."""
        depth = 0
        for token in self._tokens[self._at :]:
            depth += (token.text == "{") - (token.text == "}")
            if not depth and token.kind == "word" and token.text in (*VERDICTS, "vmap"):
                return "jump" if token.text == "vmap" else "" if token.text == "continue" else token.text
        return "jump" if self._mapped else ""

    def _text(self, further: int = 0) -> str:
        at = self._at + further
        return self._texts[at] if at < len(self._texts) else ""

    def _fault(self, what: str, why: str, remedy: str = LEAVE_OUT, *, sees: bool = False) -> bool:
        at = self._tokens[min(self._at, len(self._tokens) - 1)]
        self._found.faults.append(Fault(at, what, why, remedy, sees))
        return False

    def _ahead_of_a_match(self) -> None:
        """What counts or logs by now does so for packets that the rule does not match, too."""
        self._found.faults = [replace(fault, sees=False) for fault in self._found.faults]
        self._found.sees_all |= self._found.counter is not None

    def _is_of_others(self) -> bool:
        """Whether the rest of the rule, as far as it matches, has a field of what the program never takes."""
        for text, after in pairwise((*self._texts[self._at :], "")):
            if text in VERDICTS or text in DOING:
                return False
            if text in NEVER and after in OF_OTHERS:
                return True
        return False

    def _statement(self) -> bool:
        """What is done beside the decision: a counter, a line in the log."""
        text = self._text()
        if text == "counter":
            if self._text(1) == "name":
                self._fault(f"counter {self._text(2)}", SEES, BEHIND, sees=True)
                self._at += 3
                return True
            self._found.counter = self._tokens[self._at]
            self._at += 5 if self._text(1) == "packets" else 1
            return True
        if text == "log":
            self._fault("log", SEES, BEHIND, sees=True)
            self._at += 1
            while self._text() in ("prefix", "level", "flags", "group", "snaplen", "queue-threshold"):
                self._at += 2
            return True
        if text == "notrack":  # the translation is no packet of any connection
            self._at += 1
            return True
        return False

    def _expression(self) -> bool:
        """What is matched; False where the reading ends."""
        keys: list[tuple[str, ...]] = []
        if (fragments := self._fragments()) is not None:
            self._found.never |= fragments
            return True
        while True:
            words = (self._text(), self._text(1))
            key = words if words in PAIR | FLOW else words[:1]
            keys.append(key)
            if key == ("fib",):
                if not self._fib():
                    return False
            elif key in PAIR or key in FLOW:
                self._found.by_flow |= key in FLOW
                self._found.never |= key[0] == OTHER[self._family][0]
                self._at += len(key)
            else:
                return self._unknown()
            if self._text() != ".":
                return self._value(keys[0] if len(keys) == 1 else ())
            self._at += 1

    def _fragments(self) -> bool | None:
        """Whether it matches fragments alone, which the program never takes; None: it is about something else."""
        for words, alone in FRAGMENTS.items():
            end = self._at + len(words)
            if tuple(self._texts[self._at : end]) == words and self._ends(end):
                self._at = end
                return alone
        return None

    def _ends(self, at: int) -> bool:
        """Whether no value goes on there: `0 - 17`, `2 | 4`."""
        text = self._texts[at] if at < len(self._texts) else ""
        return not text or (text[0].isalpha() and text not in BETWEEN)

    def _unknown(self) -> bool:
        first, second = self._text(), self._text(1)
        what = f"{first} {second}".strip() if first in HEADERS else first or self._texts[-1]
        why = WHY.get(second if first == "meta" else first, NATURE)
        return self._fault(what, why, BEHIND if why is SEES else LEAVE_OUT)

    def _unknown_variable(self) -> bool:
        return self._fault(self._text(), VARIABLE, "define it here, once, or leave offload out")

    def _fib(self) -> bool:
        """`fib daddr . iif type`: of what kind an address is, is this node's affair; where a route leads is not."""
        start, keys = self._at, [self._text(1)]
        self._at += 2
        while self._text() == ".":
            keys.append(self._text(1))
            self._at += 2
        result = self._text()
        by_route = result != "type" or (self._family == "ip6" and not self._kinds_of_addresses())
        if by_route or not set(keys) <= {"saddr", "daddr", "iif"}:
            self._at = start
            return self._fault("fib", ROUTE if by_route else NATURE)
        self._at += 1
        return True

    def _kinds_of_addresses(self) -> bool:
        """Whether `type` is compared with what an address itself is. Whether it is unicast, blackhole or unreachable is
        its route's affair (nft_fib_ipv6.c); of IPv4 the local table alone is asked (nft_fib_ipv4.c)."""
        words = [text for text in self._texts[self._at + 1 :] if text not in OPERATORS]
        if words[:1] == ["{"]:
            words = [text for text in takewhile(lambda text: text != "}", words) if text not in ("{", ",")]
        else:
            words = words[:1]
        return set(words) <= KINDS

    def _value(self, key: tuple[str, ...]) -> bool:
        """What an expression is compared with; `key` is what is compared, () where it is several things."""
        equal = True
        if self._text() in ("&", "and"):
            self._at += 2
            equal = False
        if self._text() in OPERATORS:
            equal = equal and self._text() in ("==", "eq")
            self._at += 1
        if self._text() == "vmap":
            self._at += 1
            self._mapped = True
            equal = False
        if self._text() == "{":
            return self._braces(protocols=equal and key in PROTOCOL)
        text = self._text()
        if text[:1] == "$":
            return self._unknown_variable()
        if text.startswith("@") and not self._set(text[1:]):
            return False
        self._at += 1
        if equal and self._ends(self._at):
            self._found.never |= key in PROTOCOL and is_other(text)
            self._found.never |= key in FAMILY and text in OTHER[self._family]
        while self._text() in (".", "-"):
            self._at += 2
        return True

    def _braces(self, *, protocols: bool) -> bool:
        """A set or map without a name. Words of statements in its elements are looked for, not read."""
        depth, words = 0, []
        while self._at < len(self._texts):
            text = self._text()
            depth += (text == "{") - (text == "}")
            if depth and text in VOLATILE:
                return self._fault(text, STATE)
            if depth and text[0] == "$":
                return self._unknown_variable()
            self._at += 1
            if not depth:
                break
            words.append(text)
        names = [word for word in words if word not in ("{", ",")]
        self._found.never |= protocols and all(map(is_other, names))
        return True

    def _set(self, name: str) -> bool:
        """A set or map with a name: what it holds may change with the rules alone."""
        key = (*self._rule.chain.table.key, name)
        what = f"set {name}"
        if name in self._source.changed_sets or (self._source.set_words.get(key, frozenset()) & VOLATILE):
            why = "its elements come and go, or count, by themselves, and the former decision would be repeated"
            return self._fault(what, why, "a set without timeout, counters and rules that change it, or no offload")
        if key not in self._source.set_words and name.rpartition("_")[2] not in GENERATED:
            return self._fault(what, "it is not in this file, so nothing is known of it", "define it here")
        return True
