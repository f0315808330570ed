"""The translator of a node: whose addresses its own ICMP errors bear."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from nfxlat.xlat.domain import Domain
from nfxlat.xlat.node import translator_for, with_own_addresses

DOMAIN = Domain(prefix6=IPv6Network("2001:db8:64::/96"))


def packed(*texts: str) -> frozenset[bytes]:
    return frozenset(ip_address(text).packed for text in texts)


def test_the_lowest_address_of_a_node_that_is_no_martian_is_taken() -> None:
    local = packed("127.0.0.1", "198.51.100.9", "192.0.2.1", "::1", "fe80::1", "2001:db8::2", "2001:db8::1")
    domain = with_own_addresses(DOMAIN, local)
    assert (domain.address4, domain.address6) == (IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1"))


def test_addresses_that_are_configured_stay() -> None:
    own = replace(DOMAIN, address4=IPv4Address("203.0.113.1"), address6=IPv6Address("2001:db8:1::1"))
    assert with_own_addresses(own, packed("192.0.2.1", "2001:db8::1")) == own


def test_a_node_without_addresses_gives_none() -> None:
    assert with_own_addresses(DOMAIN, packed("127.0.0.1", "::1")) == DOMAIN


def test_next_hop_mtus_of_the_configuration_do_not_hold_on_a_node() -> None:
    """Each packet's own route is asked."""
    local = packed("192.0.2.1", "2001:db8::1")
    translator = translator_for(replace(DOMAIN, mtu4=1280, mtu6=1280), local)
    assert translator.domain == with_own_addresses(replace(DOMAIN, mtu4=None, mtu6=None), local)
