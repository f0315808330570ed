"""Domains are told apart by what holds in them."""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

from nfxlat.config.digest import digest
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

PREFIX, POOL = IPv6Network("2001:db8:64::/96"), IPv4Network("198.51.100.0/24")
DOMAIN = Domain(prefix6=PREFIX)


def of_eams(*pairs: tuple[str, str]) -> str:
    return digest(replace(DOMAIN, eamt=Eamt((IPv4Network(four), IPv6Network(six)) for four, six in pairs)))


def test_what_differs_has_another_digest() -> None:
    found = [
        digest(DOMAIN),
        digest(replace(DOMAIN, pool4=(POOL,))),
        digest(replace(DOMAIN, denylist4=(POOL,))),
        digest(replace(DOMAIN, hairpin="off")),
        of_eams(("198.51.100.1", "2001:db8::1")),
        of_eams(("198.51.100.1", "2001:db8::2")),
        of_eams(("198.51.100.0/24", "2001:db8::/120")),
        of_eams(("198.51.100.0/24", "2001:db8::/112")),
        of_eams(("198.51.100.1", "2001:db8::1"), ("198.51.100.0/24", "2001:db8::/120")),
    ]
    assert len(set(found)) == len(found)
    assert all(len(one) == 16 for one in found)


def test_what_is_the_same_has_the_same() -> None:
    assert digest(DOMAIN) == digest(Domain(prefix6=IPv6Network("2001:db8:64::/96")))
    assert of_eams(("198.51.100.1", "2001:db8::1")) == of_eams(("198.51.100.1/32", "2001:db8::1/128"))
