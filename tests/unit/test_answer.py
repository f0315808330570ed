"""An answer of a translator is checked before a word of it is shown."""

import json
from ipaddress import IPv6Network
from typing import Any

import pytest

from nfxlat.cli.run import summary_lines
from nfxlat.offload import table
from nfxlat.service.answer import OFFLOAD, NotASummary, checked
from nfxlat.service.options import Options
from nfxlat.service.translation import Service
from nfxlat.xlat.domain import Domain


def good(**changes: Any) -> dict[str, Any]:
    return {
        "domain": "siit0",
        "seconds": 1.5,
        "workers_restarted": 0,
        "totals": {"packets": 1, "injected": 1, "superframes": 0, "fast": 0, "errors_sent": 0},
        "reasons": {"translated": {"4to6": 1}},
        "queues": {"7": {"waiting": 0, "full": 0, "socket": 0}},
        **changes,
    }


def octets(value: object) -> bytes:
    return json.dumps(value).encode()


def test_what_a_translator_says_passes_and_can_be_shown() -> None:
    service = Service(Options(Domain(prefix6=IPv6Network("2001:db8:64::/96"))), print)
    told = checked(octets(service.summary()), "siit0")
    assert told["totals"]["packets"] == 0
    assert summary_lines(told)[0].startswith("summary of siit0 after ")
    assert checked(octets(good(unexpected=None)), "siit0")["unexpected"] is None
    counts = dict.fromkeys(table.OUTCOMES, 3)
    told = checked(
        octets(good(offload={"what": "TCP", "4to6": counts, "6to4": counts} | dict.fromkeys(OFFLOAD, 2))), "siit0"
    )
    known = "translated at ingress, 2 pairs and 2 flows known, 2 learnt, 2 expired, 2 flushed, 2 narrowed, 2 evicted:"
    assert any(known in line for line in summary_lines(told))


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"{}",
        b"[1]",
        b"null",
        b"[" * 200_000,
        b'{"domain": "siit0"',
        b"\xff\xfe",
        octets(good(domain="siit9")),
        octets(good(domain="siit0\x1b[2J")),
        octets(good(seconds="1")),
        octets(good(seconds=-1)),
        octets(good(seconds=True)),
        json.dumps(good(seconds=float("nan"))).encode(),
        json.dumps(good(seconds=float("inf"))).encode(),
        octets(good(workers_restarted="\x1b[31m")),
        octets(good(workers_missing=["\x1b[31m"])),
        octets(good(workers_missing=1)),
        octets(good(unexpected="many")),
        octets(good(offload={})),
        octets(good(offload={"4to6": {}, "6to4": {}} | dict.fromkeys(OFFLOAD, 1))),
        octets(good(offload={"pairs": 1} | {way: dict.fromkeys(table.OUTCOMES, 1) for way in ("4to6", "6to4")})),
        octets(good(offload=[1])),
        octets(good(totals={})),
        octets(good(totals=[1])),
        octets(good(totals={**good()["totals"], "packets": 1 << 64})),
        octets(good(totals={**good()["totals"], "packets": -1})),
        octets(good(totals={**good()["totals"], "packets": 1.5})),
        octets(good(reasons={"\x1b[5mroot\x1b[0m": {"4to6": 1}})),
        octets(good(reasons={"translated": {"4to6\n": 1}})),
        octets(good(reasons={"translated": {"4to6": "1"}})),
        octets(good(reasons={"translated": 1})),
        octets(good(reasons={"[bold]x[/]": {"4to6": 1}})),
        octets(good(reasons={"x" * 65: {"4to6": 1}})),
        octets(good(queues={"7": {"full": 1}})),
        octets(good(queues={"\u202e7": {"full": 1, "socket": 0}})),
        octets({key: value for key, value in good().items() if key != "queues"}),
    ],
    ids=lambda said: repr(said[:40]),
)
def test_anything_else_is_refused(said: bytes) -> None:
    with pytest.raises(NotASummary):
        checked(said, "siit0")
