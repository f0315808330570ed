from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import pairwise
from typing import Any

import pytest

from nfxlat.outcome import Reason
from nfxlat.xlat.addresses import AddressMap, Mapping, Method
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

PREFIX6 = IPv6Network("2001:db8:64::/96")
WKP = IPv6Network("64:ff9b::/96")
EAMT = Eamt(
    [
        (IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2")),
        (IPv4Network("203.0.113.64/27"), IPv6Network("2001:db8:5:a0::/60")),
    ]
)


def v4(text: str) -> bytes:
    return IPv4Address(text).packed


def v6(text: str) -> bytes:
    return IPv6Address(text).packed


def address_map(**fields: Any) -> AddressMap:
    return AddressMap(replace(Domain(prefix6=PREFIX6, eamt=EAMT), **fields))


def no(reason: Reason) -> Mapping:
    return Mapping(None, None, reason)


MAP = address_map()


def test_prefix6_is_used_where_no_eam_matches() -> None:
    """RFC 7757 3.3, RFC 7915 6"""
    assert MAP.to6(v4("198.51.100.7")) == (v6("2001:db8:64::c633:6407"), Method.PREFIX6, None)
    assert MAP.to4(v6("2001:db8:64::c633:6407")) == (v4("198.51.100.7"), Method.PREFIX6, None)


def test_eam_goes_before_prefix6() -> None:
    """RFC 7757 3.3, RFC 7915 6"""
    assert MAP.to6(v4("203.0.113.2")) == (v6("2001:db8:2::2"), Method.EAM, None)
    assert MAP.to4(v6("2001:db8:2::2")) == (v4("203.0.113.2"), Method.EAM, None)
    inside = address_map(eamt=Eamt([(IPv4Network("192.0.2.1"), IPv6Network("2001:db8:64::c633:6407"))]))
    assert inside.to4(v6("2001:db8:64::c633:6407")) == (v4("192.0.2.1"), Method.EAM, None)


def test_eam_with_unequal_suffix() -> None:
    assert MAP.to6(v4("203.0.113.77")) == (v6("2001:db8:5:a6:8000::"), Method.EAM, None)
    assert MAP.to4(v6("2001:db8:5:a6:ffff::1")) == (v4("203.0.113.77"), Method.EAM, None)


def test_eam_can_be_left_out_for_hairpinning() -> None:
    """RFC 7757 4.2"""
    assert MAP.to6(v4("203.0.113.2"), eam=False) == (v6("2001:db8:64::cb00:7102"), Method.PREFIX6, None)
    assert address_map(prefix6=None).to6(v4("203.0.113.2"), eam=False) == no(Reason.NO_MAPPING_SOURCE)


def test_hairpin_sets_ask_for_the_ipv4_column() -> None:
    """RFC 7757 4.2.2"""
    assert MAP.in_eamt4(v4("203.0.113.2"))
    assert MAP.in_eamt4(v4("203.0.113.95"))
    assert not MAP.in_eamt4(v4("203.0.113.96"))


def test_address_without_mapping() -> None:
    assert MAP.to4(v6("2001:db8::1")) == no(Reason.NO_MAPPING_SOURCE)
    eam_only = address_map(prefix6=None)
    assert eam_only.to4(v6("2001:db8:64::c633:6407")) == no(Reason.NO_MAPPING_SOURCE)
    assert eam_only.to6(v4("198.51.100.7")) == no(Reason.NO_MAPPING_SOURCE)


def test_denylist_holds_for_every_mapping_both_ways() -> None:
    denylist4 = (IPv4Network("10.0.0.0/8"), IPv4Network("192.168.0.0/16"), IPv4Network("203.0.113.2/32"))
    denying = address_map(denylist4=denylist4)
    for address4, address6 in (
        ("10.1.2.3", "2001:db8:64::a01:203"),
        ("192.168.255.255", "2001:db8:64::c0a8:ffff"),
        ("203.0.113.2", "2001:db8:2::2"),
    ):
        assert denying.to6(v4(address4)) == no(Reason.DENYLISTED)
        assert denying.to6(v4(address4), eam=False) == no(Reason.DENYLISTED)
        assert denying.to4(v6(address6)) == no(Reason.DENYLISTED)
        assert denying.denied(v4(address4))
    assert denying.to6(v4("11.0.0.1")).method is Method.PREFIX6
    assert denying.to6(v4("203.0.113.77")).method is Method.EAM
    assert denying.to4(v6("2001:db8:5:a6:8000::")).method is Method.EAM
    assert denying.to4(v6("2001:db8:64::c633:6407")).method is Method.PREFIX6


NON_GLOBAL = ["10.0.0.1", "100.64.0.1", "172.16.0.1", "192.0.2.1", "192.168.0.1", "198.51.100.7", "203.0.113.8"]


@pytest.mark.parametrize("address", NON_GLOBAL)
def test_strict_well_known_prefix_refuses_non_global_addresses_both_ways(address: str) -> None:
    """RFC 6052 3.1"""
    strict = address_map(prefix6=WKP)
    assert strict.to6(v4(address)) == no(Reason.WELL_KNOWN_PREFIX)
    assert strict.to4(WKP.network_address.packed[:12] + v4(address)) == no(Reason.WELL_KNOWN_PREFIX)


@pytest.mark.parametrize("address", NON_GLOBAL)
@pytest.mark.parametrize(
    ("prefix6", "rule"), [("64:ff9b::/96", "lax"), ("64:ff9b:1::/96", "strict"), ("2001:db8:64::/96", "strict")]
)
def test_other_prefixes_and_lax_carry_non_global_addresses(address: str, prefix6: str, rule: str) -> None:
    """RFC 8215 for 64:ff9b:1::/48"""
    free = address_map(prefix6=IPv6Network(prefix6), well_known_prefix=rule)
    mapping = free.to6(v4(address))
    assert mapping.method is Method.PREFIX6
    assert mapping.address is not None
    assert free.to4(mapping.address).address == v4(address)


def test_strict_well_known_prefix_carries_global_addresses_and_leaves_eams_alone() -> None:
    strict = address_map(prefix6=WKP)
    assert strict.to6(v4("8.8.8.8")) == (v6("64:ff9b::808:808"), Method.PREFIX6, None)
    assert strict.to4(v6("64:ff9b::808:808")) == (v4("8.8.8.8"), Method.PREFIX6, None)
    assert strict.to6(v4("203.0.113.2")).method is Method.EAM
    assert strict.to4(v6("2001:db8:2::2")).method is Method.EAM


# --- RFC 6791 -------------------------------------------------------------------------------------------------------

ROUTERS = [v6(f"2001:db8:fe::{n:x}") for n in range(1, 31)]


def pool4(*networks: str) -> AddressMap:
    return address_map(rfc6791_v4=tuple(map(IPv4Network, networks)))


def test_dummy_address_without_a_pool() -> None:
    """RFC 7600: 192.0.0.8"""
    assert MAP.rfc6791_v4(ROUTERS[0], 61) == v4("192.0.0.8")
    assert MAP.rfc6791_v6(v4("192.0.2.1"), 61) is None


def test_pool_of_one() -> None:
    one = pool4("203.0.113.8/32")
    assert {one.rfc6791_v4(router, 64 - n) for n, router in enumerate(ROUTERS)} == {v4("203.0.113.8")}


@pytest.mark.parametrize(
    "networks",
    [
        ("203.0.113.240/28",),
        ("203.0.113.8/32", "203.0.113.16/31", "198.51.100.0/29"),
        ("203.0.113.0/24",),
        ("203.0.113.0/24", "198.51.100.17/32"),
    ],
)
def test_every_choice_is_of_the_pool(networks: tuple[str, ...]) -> None:
    pool = pool4(*networks)
    for router in ROUTERS:
        for hop_limit in range(256):
            chosen = IPv4Address(pool.rfc6791_v4(router, hop_limit))
            assert any(chosen in IPv4Network(network) for network in networks)


def test_small_pool_is_used_whole() -> None:
    networks = ("203.0.113.8/32", "203.0.113.16/31", "198.51.100.0/29")
    pool = pool4(*networks)
    chosen = {IPv4Address(pool.rfc6791_v4(ROUTERS[0], hop_limit)) for hop_limit in range(256)}
    assert chosen == {address for network in networks for address in IPv4Network(network)}


@pytest.mark.parametrize(("network", "distinct"), [("203.0.113.240/28", 16), ("203.0.113.0/24", 30)])
def test_routers_of_one_path_get_different_addresses(network: str, distinct: int) -> None:
    """RFC 6791 wants traceroute to stay readable, also where nodes start from different hop limits."""
    pool = pool4(network)
    path = [pool.rfc6791_v4(router, (64, 255, 128)[n % 3] - n) for n, router in enumerate(ROUTERS)]
    assert len(set(path)) == distinct
    assert all(first != second for first, second in pairwise(path))


def test_large_pool_never_gives_two_of_32_distances_the_same_address() -> None:
    pool = pool4("203.0.113.0/24")
    assert len({pool.rfc6791_v4(ROUTERS[0], 64 - distance) for distance in range(32)}) == 32


def test_same_node_and_hop_get_the_same_address() -> None:
    for network in ("203.0.113.240/28", "203.0.113.0/24"):
        assert pool4(network).rfc6791_v4(ROUTERS[3], 60) == pool4(network).rfc6791_v4(ROUTERS[3], 60)


def test_large_pool_tells_parallel_routers_apart() -> None:
    pool = pool4("198.18.0.0/16")
    assert len({pool.rfc6791_v4(router, 60) for router in ROUTERS}) > 20


def test_wide_ipv6_pool_shows_the_ipv4_address() -> None:
    pool = address_map(rfc6791_v6=(IPv6Network("2001:db8:6791::/96"),))
    assert pool.rfc6791_v6(v4("192.0.2.1"), 61) == v6("2001:db8:6791::c000:201")


def test_narrow_ipv6_pool_is_chosen_from_by_distance() -> None:
    pool = address_map(rfc6791_v6=(IPv6Network("2001:db8:6791::/126"),))
    chosen = [pool.rfc6791_v6(v4("192.0.2.1"), 64 - n) for n in range(5)]
    assert chosen == [v6(f"2001:db8:6791::{n % 4}") for n in range(5)]


def test_errors_of_the_translator_itself_come_from_its_own_address() -> None:
    """RFC 6791 4: so that a traceroute shows the translator as what it is, apart from its neighbours in the pool."""
    own, other = IPv6Address("2001:db8:1::1").packed, IPv6Address("2001:db8:1::2").packed
    pool = (IPv4Network("203.0.113.240/28"),)
    domain = Domain(prefix6=IPv6Network("2001:db8:64::/96"), rfc6791_v4=pool, address4=IPv4Address("192.0.2.18"))
    routed = {v4("192.0.2.2"): v4("192.0.2.77")}.get
    receiver, unrouted = v4("192.0.2.2"), v4("192.0.2.3")
    addresses = AddressMap(domain, [own], routed)
    assert addresses.rfc6791_v4(own, 64, receiver) == v4("192.0.2.18")
    assert addresses.rfc6791_v4(other, 64, receiver)[:3] == bytes([203, 0, 113])
    addresses = AddressMap(replace(domain, address4=None), [own], routed)
    assert addresses.rfc6791_v4(own, 64, receiver) == v4("192.0.2.77")
    assert addresses.rfc6791_v4(own, 64, unrouted)[:3] == bytes([203, 0, 113])
