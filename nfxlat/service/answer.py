"""What a translator may say of itself: a JSON object of known shape. It was read, so it is not believed.

    {"domain": name, "seconds": number, "workers_restarted": n, "unexpected": n or null (may be missing),
     "missing": [text] (may be missing),
     "offload": null or {"pairs": n, "4to6" and "6to4": {outcome: n}, other keys: any JSON} (may be missing),
     "totals": {label: n}, "reasons": {label: {direction: n}}, "queues": {name: {kind: n}}, other keys: any JSON}

Counters are from 0 to 2^64 - 1, names short and of letters, digits and a few marks: they go to a terminal.
"""

import json
import re
from typing import Any

from nfxlat.offload import table
from nfxlat.terms import DIRECTIONS

_LARGEST = (1 << 64) - 1
_NAME = re.compile(r"[A-Za-z0-9_ .:@+-]{1,64}")
_TOTALS = ("packets", "injected", "superframes", "fast", "errors_sent")
_LOSSES = ("full", "socket")


class NotASummary(ValueError):
    """What came is not what a translator says."""


def checked(octets: bytes, domain: str) -> dict[str, Any]:
    """The summary of `domain` in `octets`. Raises NotASummary where it is none."""
    try:
        found = json.loads(octets, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise NotASummary(str(error)) from None
    if not isinstance(found, dict) or found.get("domain") != domain:
        raise NotASummary("not a summary of that domain")
    seconds = found.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LARGEST:
        raise NotASummary("seconds")
    _counter(found.get("workers_restarted"))
    if found.get("unexpected") is not None:
        _counter(found["unexpected"])
    things = found.get("missing", [])
    if not isinstance(things, list) or not all(isinstance(one, str) and one.isprintable() for one in things):
        raise NotASummary("missing")
    if found.get("offload") is not None:
        offload = _names(found["offload"])
        _counter(offload.get("pairs"))
        for direction in DIRECTIONS:
            _counters(offload.get(direction), table.OUTCOMES, direction)
    _counters(found.get("totals"), _TOTALS)
    for rows, needed in ((found.get("reasons"), ()), (found.get("queues"), _LOSSES)):
        for name, row in _names(rows).items():
            _counters(row, needed, name)
    return found


def _refuse(constant: str) -> None:
    raise NotASummary(constant)  # NaN, Infinity


def _counter(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise NotASummary("not a counter")


def _counters(values: object, needed: tuple[str, ...], where: str = "") -> None:
    named = _names(values)
    if not named.keys() >= set(needed):
        raise NotASummary(f"a counter is missing {where}")
    for value in named.values():
        _counter(value)


def _names(values: object) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise NotASummary("not an object")
    for name in values:
        if not _NAME.fullmatch(name):
            raise NotASummary("not a name")
    return values
