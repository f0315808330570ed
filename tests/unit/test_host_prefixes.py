"""Which prefixes are intercepted and routed."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.rfc6052 import PREFIX_LENGTHS, Embedding


@pytest.mark.parametrize("length6", PREFIX_LENGTHS)
@pytest.mark.parametrize("length4", [0, 8, 15, 16, 23, 24, 25, 31, 32])
def test_embedded_prefix_holds_the_network_and_nothing_beside_it(length6: int, length4: int) -> None:
    prefix6 = IPv6Network(f"2001:db8::/{length6}")
    network = IPv4Network(f"198.51.100.77/{length4}", strict=False)
    embedded, embedding = prefixes.embed(prefix6, network), Embedding(prefix6)
    for address in (network[0], network[-1]):
        assert IPv6Address(embedding.embed(address.packed)) in embedded
    for neighbour in (int(network[0]) - 1, int(network[-1]) + 1):
        if 0 <= neighbour < 1 << 32:
            assert IPv6Address(embedding.embed(IPv4Address(neighbour).packed)) not in embedded


def test_neighbouring_eams_become_one_prefix() -> None:
    pairs = [(IPv4Network(f"192.0.2.{n}"), IPv6Network(f"2001:db8::{n:x}")) for n in range(256)]
    domain = Domain(eamt=Eamt(pairs))
    assert prefixes.translated4(domain) == [IPv4Network("192.0.2.0/24")]
    assert prefixes.clat6(domain) == [IPv6Network("2001:db8::/120")]
    assert len(prefixes.clat4(domain)) == 256


def test_a_domain_of_eams_alone_translates_no_ipv6_destination() -> None:
    domain = Domain(eamt=Eamt([(IPv4Network("192.0.2.1"), IPv6Network("2001:db8::1"))]))
    assert prefixes.translated6(domain) == []
    assert prefixes.pool6(domain) == prefixes.native6(domain) == []
    assert prefixes.terminal6(domain) == []


def test_router_routes_cover_the_sources_of_translated_errors() -> None:
    domain = Domain(
        prefix6=IPv6Network("2001:db8:64::/96"),
        pool4=(IPv4Network("198.51.100.0/24"),),
        rfc6791_v4=(IPv4Network("203.0.113.240/28"),),
        rfc6791_v6=(IPv6Network("2001:db8:6791::/96"),),
    )
    assert [str(n) for n in prefixes.terminal4(domain)] == ["192.0.0.8/32", "198.51.100.0/24", "203.0.113.240/28"]
    assert [str(n) for n in prefixes.terminal6(domain)] == ["2001:db8:64::/96", "2001:db8:6791::/96"]
    assert [str(n) for n in prefixes.native6(domain)] == ["2001:db8:64::c633:6400/120"]


@pytest.mark.parametrize(
    ("eam", "native"),
    [
        ("2001:db8:2::2", ["2001:db8:2::2/128"]),
        ("2001:db8:64::c633:6401", ["2001:db8:64::c633:6401/128"]),  # where prefix6 alone would have put it
        ("2001:db8:2::/120", ["2001:db8:2::/120"]),
        ("2001:db9:2::2", []),
        ("2001:db8::/32", []),  # all of prefix6: no hosts in it are named
        ("2001::/16", []),
    ],
)
def test_eam_hosts_inside_prefix6_are_native(eam: str, native: list[str]) -> None:
    network = IPv6Network(eam)
    network4 = IPv4Network(f"203.0.113.0/{network.prefixlen - 96}" if network.prefixlen >= 96 else "0.0.0.0/0")
    domain = Domain(prefix6=IPv6Network("2001:db8::/32"), eamt=Eamt([(network4, network)]))
    assert [str(n) for n in prefixes.native6(domain)] == native
    assert prefixes.pool6(domain) == []


def test_pool4_and_eam_hosts_inside_prefix6_are_one_row_of_spans() -> None:
    pairs = [(IPv4Network(f"203.0.113.{n}"), IPv6Network(f"2001:db8:64::c633:64{n:02x}")) for n in (0, 1, 255)]
    pool4 = (IPv4Network("198.51.100.0/24"),)
    domain = Domain(prefix6=IPv6Network("2001:db8:64::/96"), pool4=pool4, eamt=Eamt(pairs))
    assert prefixes.native6(domain) == prefixes.pool6(domain) == [IPv6Network("2001:db8:64::c633:6400/120")]
