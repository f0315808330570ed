"""What a program of rules is resolved into: the hooks of each statement, its destinations, the roles of domains."""

from dataclasses import FrozenInstanceError
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from nfxlat import config
from nfxlat.nft.language.meaning import Unresolved
from nfxlat.nft.language.program import Program, program
from nfxlat.nft.shipped import RULES
from nfxlat.terms import Role
from nfxlat.xlat.domain import Domain

SIIT0 = Domain(prefix6=IPv6Network("2001:db8:64::/96"), pool4=(IPv4Network("198.51.100.0/24"),))
BASE = "type filter hook %s priority -450;"
JUMPS = f"""\
define mine = {{ 198.51.100.0/25, 198.51.100.200 }}
table inet t {{
	map ways {{ type inet_service : verdict; elements = {{ 53 : jump dns }}; }}
	chain xl {{ ip daddr $mine xlat to siit0; }}
	chain dns {{ jump xl; }}
	chain pre {{ {BASE % "prerouting"} udp dport vmap @ways; }}
	chain out {{ {BASE % "output"} goto xl; }}
	chain in {{ {BASE % "input"} accept; }}
	chain lost {{ ip6 daddr 2001:db8:64::/96 xlat from siit0; }}
}}
"""


def read(name: str) -> Program:
    file = Path(RULES, "xlat", f"{name}.nft")
    return program(file.read_text(), file.name, config.load(file.with_suffix(".toml")).domains)


def test_a_statement_has_the_hooks_that_lead_to_it_by_jumps_and_verdict_maps() -> None:
    to, lost = program(JUMPS, "x.nft", [SIIT0]).statements
    assert to.hooks == {"prerouting", "output"}
    assert [chain.name for chain in to.bases] == ["pre", "out"]
    assert not lost.hooks
    assert not lost.bases


def test_a_statement_has_the_destinations_that_are_written_out() -> None:
    to, lost = program(JUMPS, "x.nft", [SIIT0]).statements
    assert to.destinations == (IPv4Network("198.51.100.0/25"), IPv4Network("198.51.100.200"))
    assert lost.destinations == (IPv6Network("2001:db8:64::/96"),)
    assert (to.family, lost.family) == ("ip", "ip6")


def test_a_statement_has_its_domain_or_why_not() -> None:
    found = program(JUMPS.replace("from siit0", "from siit9"), "x.nft", [SIIT0])
    to, unknown = found.statements
    assert to.domain is SIIT0
    assert unknown.domain is None
    assert isinstance(unknown.meaning, Unresolved)
    assert (unknown.meaning.kind, len(unknown.meaning.faults)) == ("unknown", 1)
    assert found.uses() == [(to, SIIT0)]
    assert (found.of(SIIT0), found.of(SIIT0, "from")) == ([to], [])
    assert found.hooks(SIIT0, "from") == set()


@pytest.mark.parametrize(
    ("name", "role"),
    [("router", "router"), ("border-relay", "router"), ("clat", "host"), ("masquerade", "masquerade")],
)
def test_the_role_follows_from_where_a_domain_s_packets_are_taken(name: str, role: Role) -> None:
    found = read(name)
    assert found.roles
    assert set(found.roles.values()) == {role}
    assert found.routed() == ([*found.domains.values()] if role == "router" else [])


def test_a_program_is_values_that_nobody_changes() -> None:
    found = program(JUMPS, "x.nft", [SIIT0])
    for value, field in ((found, "statements"), (found.source, "rules"), (found.statements[0], "meaning")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, field, ())
    for mapping in (found.domains, found.roles, found.source.tables, found.source.chains):
        with pytest.raises(TypeError):
            mapping["x"] = None  # type: ignore[index]
