"""The record of what was made: it covers what a change may leave, survives JSON, and is not guessed at."""

import json
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest

from nfxlat.plan.facts import Facts
from nfxlat.plan.neighbours import Proxy
from nfxlat.plan.plan import plan
from nfxlat.plan.record import VERSION, Record, Unreadable, decode, groups
from nfxlat.queues import Queues
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

EAM = (IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2"))
HOST = plan(Domain(prefix6=IPv6Network("2001:db8:64::/96"), eamt=Eamt([EAM])), "host", "hook", Queues())
ROUTER = plan(Domain(prefix6=IPv6Network("2001:db8:64::/96")), "router", "device", Queues())
TABLES = (("ip", "nfxlat_siit0"), ("ip6", "nfxlat_siit0"))
FULL = Record(clsact=(7,)).covering(HOST, TABLES)


def test_a_record_covers_both_what_stood_and_what_comes() -> None:
    both = FULL.covering(ROUTER, TABLES)
    assert set(both.routes) == {*HOST.routes, *ROUTER.routes}
    assert both.addresses == HOST.addresses
    assert (both.device, both.kind) == ("siit0", "tun")
    assert both.tables == TABLES
    assert both.groups == groups(ROUTER) != ()
    assert both.clsact == (7,)


def test_a_device_that_was_added_is_not_ours_to_remove() -> None:
    kept = plan(ROUTER.domain, "router", "hook", Queues(), lambda ends: Facts(kept=True))
    assert (Record().covering(kept, ()).device, Record().covering(kept, ()).kind) == ("", "")


def test_a_record_of_a_version_that_answered_for_nobody_and_knew_no_vrf_is_read() -> None:
    former = {key: value for key, value in FULL.encode().items() if key not in ("proxies", "vrf")}
    former["routes"] = [list(route)[:5] for route in FULL.routes]
    assert decode(former) == FULL


SPEAKING = Record(proxies=(Proxy("lan", "192.0.2.30"),))
IN_VRF = plan(replace(ROUTER.domain, vrf="red"), "router", "hook", Queues(), lambda ends: Facts(table=1000))
RED = Record().covering(IN_VRF, TABLES)
RECORDS = [Record(), FULL, FULL.covering(ROUTER, TABLES), SPEAKING, RED]


@pytest.mark.parametrize("record", RECORDS, ids=["empty", "host", "both", "neighbours", "vrf"])
def test_a_record_survives_json(record: Record) -> None:
    assert decode(json.loads(json.dumps(record.encode()))) == record


@pytest.mark.parametrize("version", [None, 0, VERSION + 1, str(VERSION)])
def test_another_version_is_refused(version: object) -> None:
    with pytest.raises(Unreadable, match=f"its version is {version!r}, but this nfxlat reads version {VERSION}"):
        decode({**FULL.encode(), "version": version})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device", 3),
        ("kind", "bridge"),
        ("addresses", 5),
        ("addresses", [1]),
        ("routes", [["192.0.2.0/24"]]),
        ("routes", [["192.0.2.0/24", 1, 0, None, None]]),
        ("routes", [["192.0.2.0/24", None, "0", None, None]]),
        ("routes", [["192.0.2.0/24", None, 0, "1480", None]]),
        ("routes", [["192.0.2.0/24", None, 0, None, 1]]),
        ("tables", [["ip"]]),
        ("clsact", ["eth0"]),
        ("groups", None),
    ],
)
def test_a_damaged_record_is_refused_and_not_half_read(field: str, value: Any) -> None:
    with pytest.raises(Unreadable, match="it is damaged"):
        decode({**FULL.encode(), field: value})


def test_a_record_that_lacks_a_field_is_refused() -> None:
    data = FULL.encode()
    del data["routes"]
    with pytest.raises(Unreadable, match=r"damaged .KeyError: 'routes'"):
        decode(data)


def test_what_a_newer_version_has_added_is_refused_and_not_left_out() -> None:
    with pytest.raises(Unreadable, match="it has tunnels, which a newer nfxlat has written"):
        decode({**FULL.encode(), "netns_cookie": 7, "tunnels": []})
