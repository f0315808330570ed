"""Rules that a route selects for: accepted where they say that, and judged where they do not."""

from ipaddress import IPv4Network, IPv6Network

import pytest

from nfxlat.nft.check.judge import check
from nfxlat.nft.language.program import program
from nfxlat.nft.shipped import RULES
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

DOMAIN = Domain(
    prefix6=IPv6Network("2001:db8:64::/96"),
    eamt=Eamt([(IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2"))]),
)
SHIPPED = (RULES / "xlat" / "route-selected.nft").read_text()
FIB, OUT = 'fib daddr oifname "siit0"', '\t\toifname "siit0"'


def codes(text: str) -> set[str]:
    return {finding.code for finding in check(program(text, "x.nft", (DOMAIN,)))}


@pytest.mark.parametrize(
    "match",
    [
        FIB,
        'fib daddr oif "siit0"',
        'fib daddr . mark oifname "siit0"',
        "fib daddr oifname == siit0",
        f"meta l4proto tcp {FIB}",
    ],
)
def test_a_route_into_the_domain_s_device_is_a_match_on_the_translated_destination(match: str) -> None:
    assert codes(SHIPPED.replace(FIB, match)) == set()


def test_a_return_ahead_says_it_too() -> None:
    returning = SHIPPED.replace(f"{FIB} xlat to", 'fib daddr oifname != "siit0" return\n\t\txlat to')
    assert codes(returning) == set()


@pytest.mark.parametrize(
    ("match", "code"),
    [
        ('fib daddr oifname "eth0"', "destination"),
        ('fib daddr . iif oifname "siit0"', "destination"),
        ('fib saddr oifname "siit0"', "destination"),
        ('oifname "siit0"', "interface"),
    ],
)
def test_at_prerouting_nothing_else_says_so(match: str, code: str) -> None:
    assert code in codes(SHIPPED.replace(FIB, match))


def test_at_output_the_kernel_refuses_the_lookup() -> None:
    assert codes(SHIPPED.replace(OUT, f"\t\t{FIB}")) == {"destination", "interface"}


def test_at_output_another_device_is_no_match() -> None:
    assert codes(SHIPPED.replace(OUT, '\t\toifname "eth0"')) == {"destination"}


def test_one_chain_for_both_hooks_cannot_say_so() -> None:
    text = SHIPPED.replace("\tchain output {", "\tchain both {").replace("hook output", "hook output", 1)
    jump = "\tchain output {\n\t\ttype filter hook output priority -450; policy accept;\n\t\tjump prerouting\n\t}\n}\n"
    assert "interface" in codes(text.rstrip().removesuffix("}") + jump)


@pytest.mark.parametrize(
    ("way", "in_vain"),
    [
        ('iifname "siit0" jump d', True),
        ('iifname { "siit0" } jump d', True),
        ('iifname vmap { "siit0" : jump d, "eth0" : drop }', True),
        ('iifname { "siit0", "eth0" } jump d', False),
        ('iifname != "siit0" jump d', False),
        ('iifname "siit0" jump d; iifname "eth0" jump d', False),
    ],
)
def test_what_comes_from_the_domain_s_own_device_alone_is_no_match(way: str, in_vain: bool) -> None:
    text = (
        "table ip t {\n\tchain d {\n\t\tip daddr 203.0.113.2 xlat to siit0\n\t}\n"
        f"\tchain c {{\n\t\ttype filter hook prerouting priority -450; {way}\n\t}}\n}}\n"
    )
    assert ("loop" in codes(text)) is in_vain
