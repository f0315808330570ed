"""Addresses have one text, whatever the version of Python: that of inet_ntop(3)."""

import ast
import pickle
from ipaddress import IPv4Network, IPv6Address, IPv6Network, collapse_addresses
from pathlib import Path
from socket import AF_INET6, inet_ntop

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nfxlat import ipaddresses

PACKAGE = Path(__file__).parents[2] / "nfxlat"
NOT_FOR_INPUT = ("lab", "bench", "conformance")  # with addresses of their own
MAKERS = {"IPv6Address", "IPv6Network", "IPv6Interface", "ip_address", "ip_network", "ip_interface"}
ASKERS = {"isinstance", "TypeVar", "cast", "ip_address"}
GROUPS = st.tuples(*[st.sampled_from([0, 0, 0, 1, 0x1234, 0xFFFF])] * 8)


@given(GROUPS)
@example((0, 0, 0, 0, 0, 0xFFFF, 0xC000, 0x201))
@example((0, 0, 0, 0, 0, 0, 0xC000, 0x201))
def test_an_address_reads_as_ip_and_nft_write_it(groups: tuple[int, ...]) -> None:
    octets = b"".join(group.to_bytes(2, "big") for group in groups)
    text = inet_ntop(AF_INET6, octets)
    assert str(ipaddresses.address6(octets)) == f"{ipaddresses.address(octets)}" == text
    assert str(ipaddresses.network6((octets, 128))) == f"{text}/128"
    assert ipaddresses.address6(text) == IPv6Address(octets)


def test_a_mapped_prefix_reads_the_same_however_it_came_about() -> None:
    text = "::ffff:192.0.2.0/120"
    made = ipaddresses.network6("::ffff:c000:0200/120")
    halves = list(made.subnets())
    assert [str(network) for network in collapse_addresses(halves)] == [text]
    assert str(pickle.loads(pickle.dumps(made))) == str(ipaddresses.network(text)) == str(made) == text
    assert str(made.network_address) == "::ffff:192.0.2.0"
    assert made == IPv6Network(text)
    assert hash(made) == hash(IPv6Network(text))


def test_ipv4_and_what_is_no_address_are_as_ipaddress_has_them() -> None:
    assert ipaddresses.network("192.0.2.0/24") == IPv4Network("192.0.2.0/24")
    assert ipaddresses.network("2001:db8::1/64", strict=False) == IPv6Network("2001:db8::/64")
    for make in (ipaddresses.address, ipaddresses.address6, ipaddresses.network, ipaddresses.network6):
        with pytest.raises(ValueError, match="2001:db8::x"):
            make("2001:db8::x")


def _makes(tree: ast.AST) -> list[int]:
    """Lines at which a class or function of `ipaddress` that makes IPv6 addresses is called, or handed to a call."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        handed = [] if name in ASKERS else [arg.id for arg in node.args if isinstance(arg, ast.Name)]
        if MAKERS & {name, *handed}:
            found.append(node.lineno)
    return found


def test_nothing_else_makes_ipv6_addresses_of_input() -> None:
    assert _makes(ast.parse("map(IPv6Network, x)\nip_address(y)\nisinstance(x, IPv6Address)")) == [1, 2]
    files = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in NOT_FOR_INPUT]
    made = {str(path.relative_to(PACKAGE)): _makes(ast.parse(path.read_text())) for path in files}
    del made["ipaddresses.py"]
    assert {path: lines for path, lines in made.items() if lines} == {}, "use nfxlat.ipaddresses"
