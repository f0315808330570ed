"""What a translator may say of itself: a JSON object of known shape. It was read, so it is not believed.

    {"domain": name, "seconds": number, "workers_restarted": n, "unexpected": n or null (may be missing),
     "missing": [text], "workers_missing": [n] (may be missing), "chains": {table: {chain: n}} (may be missing),
     "configuration": {"digest": text, "loaded": number, other keys: any JSON} (may be missing),
     "worker_cpu_seconds": [number], "supervisor_cpu_seconds": number (may be missing),
     "reloads": {text: number} (may be missing),
     "counting": null or {"busiest": [[direction, source, destination, packets, octets]], other keys: any JSON}
                 (may be missing),
     "offload": null or {"pairs", "flows", "learnt" and so on: n, "4to6" and "6to4": {outcome: n}, other keys: any JSON}
                (may be missing),
     "totals": {label: n}, "reasons": {label: {direction: n}}, "rejected": the same (may be missing),
     "queues": {name: {kind: n}}, other keys: any JSON}

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
_SUMS = ("parts", "in_hands", "in_killed_hands", "cut", "errors_refused")  # all of them, or none
_LOSSES = ("full", "socket")
ENDED = ("expired", "flushed", "narrowed", "evicted")  # why pairs and flows are known no more
OFFLOAD = ("table", "generation", "pairs", "flows", "learnt", *ENDED)


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
    if not isinstance(found.get("model", ""), str):
        raise NotASummary("model")
    _number(found.get("seconds"))
    _number(found.get("supervisor_cpu_seconds", 0))
    for number in (*_list(found.get("worker_cpu_seconds", [])), *_names(found.get("reloads", {})).values()):
        _number(number)
    if found.get("configuration") is not None:
        configuration = _names(found["configuration"])
        _names({configuration.get("digest"): 0})
        _number(configuration.get("loaded"))
    _counting(found.get("counting"))
    for number in _list(found.get("workers_missing", [])):
        _counter(number)
    for optional in ("workers", "failures", "lost_lines", "taken_before", "inherited"):
        _counter(found.get(optional, 0))
    _counter(found.get("workers_restarted"))
    if found.get("unexpected") is not None:
        _counter(found["unexpected"])
    if not all(isinstance(one, str) and one.isprintable() for one in _list(found.get("missing", []))):
        raise NotASummary("missing")
    for table_name, chains in _names(found.get("chains", {})).items():
        _counters(chains, (), table_name)
    if found.get("offload") is not None:
        offload = _names(found["offload"])
        for name in OFFLOAD:
            _counter(offload.get(name))
        for direction in DIRECTIONS:
            _counters(offload.get(direction), table.OUTCOMES, direction)
    _counters(found.get("totals"), _TOTALS)
    _counters(found["totals"], _SUMS if "parts" in found["totals"] else ())
    for rows, needed in (
        (found.get("reasons"), ()),
        (found.get("rejected", {}), ()),
        (found.get("queues"), _LOSSES),
    ):
        for name, row in _names(rows).items():
            _counters(row, needed, name)
    return found


def _counting(found: object) -> None:
    if found is None:
        return
    for row in _list(_names(found).get("busiest")):
        if len(_list(row)) != 5:
            raise NotASummary("busiest")
        direction, *ends, packets, octets = row
        _names(dict.fromkeys((direction, *ends)) if all(isinstance(one, str) for one in row[:3]) else None)
        _counter(packets)
        _counter(octets)


def _refuse(constant: str) -> None:
    raise NotASummary(constant)  # NaN, Infinity


def _number(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
        raise NotASummary("not a number")


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise NotASummary("not a list")
    return value


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
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise NotASummary("not a name")
    return values
