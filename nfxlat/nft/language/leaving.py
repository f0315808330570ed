"""Output interfaces that rules match on: `oifname "siit0"`, and by the route, `fib daddr oifname "siit0"`.

At prerouting the packet has no output interface yet, so `fib` looks its route up; at output the kernel has done so
already, and refuses `fib ... oifname` there (nft_fib_validate).
"""

import re
from collections.abc import Sequence
from typing import Final

_NAME: Final = r'oif(?:name)? (?:== )?(?P<sign>!= )?"?(?P<name>[^\s"]+)"?'
_BY_ROUTE: Final = re.compile(rf"\bfib daddr(?: \. mark)? {_NAME}")
_BY_ANY_ROUTE: Final = re.compile(rf"\bfib (?:\w+ \. )*\w+ {_NAME}")
_DIRECT: Final = re.compile(rf"(?:^| ){_NAME}")


def by_route(words: Sequence[str], *, equal: bool = False) -> set[str]:
    """Devices in which a route lookup of the destination has to end, or with `!=` must not; `equal`: without those."""
    return _names(_BY_ROUTE, _text(words), equal)


def direct(words: Sequence[str], *, equal: bool = False) -> set[str]:
    """Output interfaces that are matched without a lookup; `equal` as in `by_route`."""
    return _names(_DIRECT, _BY_ANY_ROUTE.sub("", _text(words)), equal)


def _text(words: Sequence[str]) -> str:
    """Joined, less strings of several words: what a log says is no match."""
    return " ".join(word for word in words if " " not in word)


def _names(pattern: re.Pattern[str], text: str, equal: bool) -> set[str]:
    return {found["name"] for found in pattern.finditer(text) if not (equal and found["sign"])}
