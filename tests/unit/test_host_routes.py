"""Routes computed from a domain; the kernel's MTU look-up is replaced."""

from ipaddress import IPv4Network, IPv6Network

import pytest

from nfxlat.host import routes
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

EAM = (IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2"))
PREFIX6, POOL4 = IPv6Network("2001:db8:64::/96"), IPv4Network("198.51.100.0/24")


@pytest.fixture
def mtus(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, int]:
    known: dict[bytes, int] = {}
    monkeypatch.setattr(routes, "egress_mtu", known.get)
    monkeypatch.setattr(routes, "egress_interface", lambda destination: None)
    return known


@pytest.mark.usefixtures("mtus")
def test_router_ends_every_prefix_in_the_device_and_unreachable_behind_it() -> None:
    domain = Domain(prefix6=PREFIX6, pool4=(POOL4,), eamt=Eamt([EAM]))
    assert [str(route) for route in routes.wanted(domain, "router")] == [
        "unreachable 192.0.0.8 metric 4294967295",
        "192.0.0.8 dev siit0 mtu 1480",
        "unreachable 198.51.100.0/24 metric 4294967295",
        "198.51.100.0/24 dev siit0 mtu 1480",
        "unreachable 203.0.113.2 metric 4294967295",
        "203.0.113.2 dev siit0 mtu 1480",
        "unreachable 2001:db8:64::/96 metric 4294967295",
        "2001:db8:64::/96 dev siit0 mtu 1520",
    ]


@pytest.mark.usefixtures("mtus")
def test_host_routes_ipv4_by_default_and_its_own_ipv6_addresses_into_the_device() -> None:
    domain = Domain(prefix6=PREFIX6, eamt=Eamt([EAM]))
    wanted = routes.wanted(domain, "host")
    assert [str(route) for route in wanted] == [
        "default dev siit0 metric 2048 mtu 1480",
        "unreachable default metric 4294967295",
        "unreachable 2001:db8:2::2 metric 4294967295",
        "2001:db8:2::2 dev siit0",
    ]
    assert wanted[0].source == "203.0.113.2"


def test_mtu_is_the_ipv6_route_s_less_the_header_s_growth(mtus: dict[bytes, int]) -> None:
    mtus[IPv6Network("2001:db8:64::c633:6400")[0].packed] = 9000  # through prefix6
    mtus[EAM[1][0].packed] = 1400  # through the EAM
    domain = Domain(prefix6=PREFIX6, pool4=(POOL4,), eamt=Eamt([EAM]))
    found = {route.network: route.mtu for route in routes.wanted(domain, "router") if route.device}
    assert found["198.51.100.0/24"] == 8980
    assert found["203.0.113.2/32"] == 1380


def test_many_prefixes_share_the_domain_s_mtu(mtus: dict[bytes, int]) -> None:
    pairs = [(IPv4Network(f"192.0.{n}.1"), IPv6Network(f"2001:db8::{n:x}")) for n in range(2, 102)]
    mtus |= {pair[1][0].packed: 9000 for pair in pairs}
    domain = Domain(eamt=Eamt(pairs), mtu6=1400)
    assert {route.mtu for route in routes.wanted(domain, "router") if route.device} == {1380}


@pytest.mark.usefixtures("mtus")
def test_routes_into_the_device_are_ours_and_not_locked() -> None:
    (request,) = routes._requests([routes.Route("198.51.100.0/24", "lo", 0, 1480)], {"lo": 1})
    assert (request.protocol, request.mtu) == (118, 1480)
    message = request.message(24, 0, 1)
    assert message.endswith(b"\x0c\0\x08\0\x08\0\x02\0" + (1480).to_bytes(4, "little"))  # RTAX_MTU, no RTAX_LOCK
