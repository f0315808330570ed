"""The translator of a node: whose addresses its own ICMP errors bear."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import pytest
from packets import ipv4, ipv6

from nfxlat.outcome import Action
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.node import OwnAddresses, translator_for

DOMAIN = Domain(prefix6=IPv6Network("2001:db8:64::/96"))


def packed(*texts: str) -> frozenset[bytes]:
    return frozenset(ip_address(text).packed for text in texts)


def octets(text: str) -> bytes:
    return ip_address(text).packed


LOCAL = packed(
    "127.0.0.1", "10.0.3.1", "192.0.2.18", "192.0.2.77", "::1", "fe80::1", "2001:db8:1::1", "2001:db8:0:1::5"
)


@pytest.mark.parametrize(
    ("given", "unfit", "taken"),
    [
        ("192.0.2.18", (), "192.0.2.18"),  # not the lowest
        ("192.0.2.18", ("192.0.2.18",), "192.0.2.77"),  # the nearest of those that are left
        ("192.0.2.18", ("192.0.2.18", "192.0.2.77", "10.0.3.1"), None),
        ("2001:db8:1::1", ("2001:db8:0:1::5",), "2001:db8:1::1"),
        ("2001:db8:1::1", ("2001:db8:1::1",), "2001:db8:0:1::5"),
        ("fe80::1", (), "2001:db8:0:1::5"),
        ("127.0.0.1", (), "10.0.3.1"),
        (None, (), None),
    ],
)
def test_the_route_gives_the_address_and_an_unfit_one_gives_way(
    given: str | None, unfit: tuple[str, ...], taken: str | None
) -> None:
    own = OwnAddresses(LOCAL, packed(*unfit), lambda receiver: octets(given) if given else None)
    assert own(bytes(4)) == (octets(taken) if taken else None)


def sources(domain: Domain, own: OwnAddresses) -> list[str]:
    """Of Time Exceeded to an IPv4 and to an IPv6 sender."""
    translator = translator_for(domain, own, LOCAL)
    found = []
    for packet in (ipv4(ttl=1), ipv6(hlim=1)):
        outcome = translator.translate(packet)
        assert outcome.action is Action.REJECTED
        (error,) = outcome.packets
        found.append(str(ip_address(error[12:16] if error[0] >> 4 == 4 else error[8:24])))
    return found


def routed(receiver: bytes) -> bytes:
    return octets("192.0.2.18" if len(receiver) == 4 else "2001:db8:1::1")


def test_errors_come_from_the_address_towards_the_receiver() -> None:
    asked = []

    def ask(receiver: bytes) -> bytes:
        asked.append(receiver)
        return routed(receiver)

    assert sources(DOMAIN, OwnAddresses(LOCAL, frozenset(), ask)) == ["192.0.2.18", "2001:db8:1::1"]
    assert asked == [ipv4()[12:16], ipv6()[8:24]]


def test_addresses_that_are_configured_stay() -> None:
    fixed = replace(DOMAIN, address4=IPv4Address("203.0.113.1"), address6=IPv6Address("2001:db8:9::1"))
    assert sources(fixed, OwnAddresses(LOCAL, frozenset(), routed)) == ["203.0.113.1", "2001:db8:9::1"]


def test_a_node_without_addresses_has_the_dummy_one() -> None:
    assert sources(DOMAIN, OwnAddresses(frozenset(), frozenset(), lambda receiver: None)) == [
        "192.0.0.8",
        "2001:db8:64::c000:8",
    ]


def test_next_hop_mtus_of_the_configuration_do_not_hold_on_a_node() -> None:
    """Each packet's own route is asked."""
    own = OwnAddresses(LOCAL, frozenset(), routed)
    translator = translator_for(replace(DOMAIN, mtu4=1280, mtu6=1280), own, LOCAL)
    assert translator.domain == replace(DOMAIN, mtu4=None, mtu6=None)
