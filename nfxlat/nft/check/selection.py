"""Rules that a route selects for: `fib daddr oifname "siit0"` at prerouting, `oifname "siit0"` at output.

At prerouting the packet has no output interface yet, so `fib` looks its route up; at output the kernel has done so
already, and refuses `fib ... oifname` there (nft_fib_validate).
"""

import re
from collections.abc import Sequence, Set

_FIB = re.compile(r'fib daddr(?: \. mark)? oif(?:name)? (?:== |!= )?"?([^\s"]+)"?')
_INTERFACE = re.compile(r'(?:^| )oif(?:name)? (?:== |!= )?"?([^\s"]+)"?')


def by_fib(words: Sequence[str]) -> set[str]:
    """Devices in which a route lookup of the destination has to end."""
    return set(_FIB.findall(" ".join(words)))


def interfaces(words: Sequence[str]) -> set[str]:
    """Output interfaces that are matched without a lookup."""
    return set(_INTERFACE.findall(_FIB.sub("", " ".join(words))))


def selects(words: Sequence[str], hooks: Set[str], device: str | None) -> bool:
    """Whether the route into `device` (None: any) is what the rules match, at prerouting and at output."""
    at = {"prerouting": by_fib(words), "output": interfaces(words)}
    found = [at[hook] for hook in hooks & set(at)]
    return bool(found) and all(device in devices if device else devices for devices in found)
