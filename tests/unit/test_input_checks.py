"""What the kernel checks of packets that come in, as rules; and what is read of its IPsec policies."""

import re
import struct
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import get_args

import pytest

from nfxlat.errors import OperatorError
from nfxlat.host.input_checks import _meets, _upper
from nfxlat.nft.language.builtin import compile_builtin
from nfxlat.nft.language.compile import Compiled, compile_rules
from nfxlat.nft.language.inputs import NO_INPUTS, Inputs, Policy
from nfxlat.nft.language.program import program
from nfxlat.queues import Queues
from nfxlat.terms import Model, Role
from nfxlat.wire import xfrm
from nfxlat.wire.netlink import Malformed, attribute
from nfxlat.xlat.domain import Domain, ReversePath

DOMAIN = Domain("siit0", prefix6=IPv6Network("2001:db8:64::/96"), pool4=(IPv4Network("198.51.100.0/24"),))
NATIVE = "ip6 daddr != @siit0_native"


def compiled(
    inputs: Inputs, domain: Domain = DOMAIN, role: Role = "router", model: Model = "hook", *, explain: bool = False
) -> Compiled:
    return compile_builtin(domain, role, model, Queues(), native=True, inputs=inputs, explain=explain)


def rules(text: str, chain: str) -> list[str]:
    """The rules of a chain without their comments."""
    body = text.partition(f"chain {chain} {{\n")[2].partition("}\n")[0]
    return [line.strip().partition(" comment ")[0] for line in body.splitlines() if line.strip()]


@pytest.mark.parametrize("model", ["hook", "route"])
def test_a_host_that_checks_nothing_costs_no_rule(model: Model) -> None:
    text = compiled(NO_INPUTS, model=model).text
    assert "_input" not in text
    assert all("meta pkttype host jump" in line for line in text.splitlines() if "-prerouting" in line)
    assert not any("pkttype" in line for line in text.splitlines() if "-output" in line)


def test_checks_stand_ahead_of_the_guards_for_what_comes_in_and_nothing_else() -> None:
    text = compiled(Inputs("strict")).text
    check = "fib saddr . iif oif missing fib daddr type != local counter drop"
    assert rules(text, "xlat_to_siit0_input") == [check, "jump xlat_to_siit0"]
    assert "chain xlat_from_siit0_input" not in text
    assert re.findall(r"jump (\S+) comment \"xlat_to_siit0-(prerouting|output)\"", text) == [
        ("xlat_to_siit0_input", "prerouting"),
        ("xlat_to_siit0", "output"),
    ]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (Inputs("loose"), ["fib saddr oif missing"]),
        (Inputs("strict", (("a0", "off"),)), ['iifname != { "a0" } fib saddr . iif oif missing']),
        (
            Inputs("off", (("a0", "loose"), ("b0", "strict"), ("c0", "strict"))),
            ['iifname { "b0", "c0" } fib saddr . iif oif missing', 'iifname { "a0" } fib saddr oif missing'],
        ),
        (
            Inputs("loose", (("a0", "strict"),)),
            ['iifname != { "a0" } fib saddr oif missing', 'iifname { "a0" } fib saddr . iif oif missing'],
        ),
    ],
)
def test_rp_filter_is_that_of_each_interface(inputs: Inputs, expected: list[str]) -> None:
    found = rules(compiled(inputs).text, "xlat_to_siit0_input")
    assert [rule.partition(" fib daddr")[0] for rule in found[:-1]] == expected


@pytest.mark.parametrize(("wanted", "form"), [("strict", "fib saddr . iif oif"), ("loose", "fib saddr oif")])
def test_reverse_path_of_the_configuration_is_for_both_families(wanted: ReversePath, form: str) -> None:
    text = compiled(Inputs("strict"), replace(DOMAIN, reverse_path=wanted)).text
    check = f"{form} missing fib daddr type != local"
    assert rules(text, "xlat_to_siit0_input")[0] == f"{check} counter drop"
    assert rules(text, "xlat_from_siit0_input")[0] == f"{check} {NATIVE} counter drop"


def test_no_check_at_all_is_a_choice() -> None:
    assert "_input" not in compiled(Inputs("strict"), replace(DOMAIN, reverse_path="off")).text


def test_another_word_is_refused() -> None:
    with pytest.raises(OperatorError, match=r"domain\.siit0\.reverse-path: invalid value 'maybe'"):
        replace(DOMAIN, reverse_path="maybe")  # type: ignore[arg-type]
    assert get_args(ReversePath) == ("kernel", "strict", "loose", "off")


def test_interfaces_that_forward_nothing_and_bridges_are_left_to_the_kernel() -> None:
    inputs = Inputs(closed4=("a0", "b0"), bridges=(("br0", "02:00:00:00:00:01"), ("br1", "02:00:00:00:00:02")))
    text = compiled(inputs, explain=True).text
    pairs = '"br0" . 02:00:00:00:00:01, "br1" . 02:00:00:00:00:02'
    bridged = f'meta iifkind "bridge" iifname . ether daddr != {{ {pairs} }} return'
    to, back = ([rule for rule in rules(text, f"xlat_{way}_siit0_input") if rule[0] != "#"] for way in ("to", "from"))
    assert to == [bridged, 'iifname { "a0", "b0" } return', "jump xlat_to_siit0"]
    assert back == [bridged, "jump xlat_from_siit0"]


HOST, SITE = IPv6Network("2001:db8:2::/64"), IPv6Network("::/0")


def test_the_first_ipsec_policy_decides() -> None:
    policies = (
        Policy(HOST, SITE, "pass", " meta l4proto 17"),
        Policy(HOST, SITE, "ipsec"),
        Policy(IPv4Network("10.0.0.0/8"), IPv4Network("0.0.0.0/0"), "drop"),
        Policy(SITE, SITE, "pass"),
    )
    text = compiled(Inputs(policies=(("fwd", policies), ("in", policies[:1])))).text
    assert rules(text, "xlat_from_siit0_input") == ["jump xlat_from_siit0_ipsec_fwd", "jump xlat_from_siit0"]
    assert rules(text, "xlat_from_siit0_ipsec_fwd") == [
        "ip6 saddr 2001:db8:2::/64 ip6 daddr ::/0 meta l4proto 17 return",
        "ip6 saddr 2001:db8:2::/64 ip6 daddr ::/0 goto xlat_from_siit0_secured",
    ]
    assert rules(text, "xlat_from_siit0_secured") == [
        f"meta ipsec missing fib daddr type != local {NATIVE} counter drop"
    ]
    assert rules(text, "xlat_to_siit0_ipsec_fwd") == [
        "ip saddr 10.0.0.0/8 ip daddr 0.0.0.0/0 fib daddr type != local counter drop"
    ]
    assert "ipsec_in" not in text, "it refuses nothing"


def test_rules_of_the_operator_s_own_have_what_the_configuration_says() -> None:
    strict = replace(DOMAIN, reverse_path="strict")
    text = """\
table inet mine {
	chain both {
		ip daddr @siit0_to xlat to siit0
	}
	chain early {
		type filter hook prerouting priority -450
		jump both
		ip6 daddr @siit0_from xlat from siit0
	}
	chain out {
		type filter hook output priority -450
		jump both
	}
}
"""
    result = compile_rules(program(text, "x.nft", (strict,)), queues=Queues()).text
    assert "ip daddr @siit0_to jump xlat_to_siit0\n" in result, "the fib has no output interface at output"
    assert "ip6 daddr @siit0_from jump xlat_from_siit0_input\n" in result
    assert rules(result, "xlat_from_siit0_input") == [
        "meta nfproto != ipv6 return",
        'iifname "siit0" return',
        f"fib saddr . iif oif missing fib daddr type != local {NATIVE} counter drop",
        "jump xlat_from_siit0",
    ]
    assert "meta pkttype != host return" in rules(result, "xlat_to_siit0")


# --- policies as the kernel lists them ---


def body(
    *attributes: bytes, family: int = 10, way: int = 2, action: int = 0, protocol: int = 0, ports: bytes = bytes(8)
) -> bytes:
    addresses = bytes.fromhex("20010db800640000") + bytes(8) + bytes.fromhex("20010db800020000") + bytes(8)
    if family == 2:
        addresses = bytes((198, 51, 100, 0)) + bytes(12) + bytes((10, 1, 0, 0)) + bytes(12)
    lengths = bytes((24, 8)) if family == 2 else bytes((96, 64))
    selector = addresses + ports + struct.pack("=H", family) + lengths + bytes((protocol, 0, 0, 0)) + bytes(8)
    tail = struct.pack("=IIBBBBI", 7, 1, way, action, 0, 0, 0)
    return selector + bytes(96) + tail + b"".join(attributes)


def template(optional: int) -> bytes:
    return bytes(50) + bytes((optional,)) + bytes(13)


def test_a_policy_is_read() -> None:
    ports = struct.pack("!HHHH", 53, 0xFFFF, 0, 0)
    found = xfrm.policy(body(attribute(xfrm.XFRMA_TMPL, template(0)), protocol=17, ports=ports))
    assert found == xfrm.InPolicy(
        "fwd",
        7,
        IPv6Network("2001:db8:2::/64"),
        IPv6Network("2001:db8:64::/96"),
        "ipsec",
        17,
        destination_port=(53, 0xFFFF),
    )
    assert _upper(found) == " meta l4proto 17 th dport & 0xffff == 0x35"


def test_a_policy_of_ipv4_has_prefixes_without_what_lies_behind_them() -> None:
    found = xfrm.policy(body(family=2, way=0))
    assert found is not None
    assert (found.way, found.source, found.destination) == (
        "in",
        IPv4Network("10.0.0.0/8"),
        IPv4Network("198.51.100.0/24"),
    )


@pytest.mark.parametrize(
    ("templates", "action", "verdict"),
    [
        ((), 0, "pass"),
        ((1,), 0, "pass"),
        ((1, 0), 0, "ipsec"),
        ((0,), 0, "ipsec"),
        ((0,), 1, "drop"),
        ((), 1, "drop"),
    ],
)
def test_templates_that_are_not_optional_ask_for_ipsec(templates: tuple[int, ...], action: int, verdict: str) -> None:
    found = xfrm.policy(body(attribute(xfrm.XFRMA_TMPL, b"".join(map(template, templates))), action=action))
    assert found is not None
    assert found.verdict == verdict


@pytest.mark.parametrize(
    "message",
    [
        b"",
        body()[:167],
        body(family=0),
        body(way=3),
        body(attribute(xfrm.XFRMA_IF_ID, b"\x01\0\0\0")),
    ],
)
def test_what_is_no_policy_for_plaintext_is_left_out(message: bytes) -> None:
    assert xfrm.policy(message) is None


def test_a_mark_of_a_policy_is_matched_and_icmp_types_are_not() -> None:
    marked = xfrm.policy(body(attribute(xfrm.XFRMA_MARK, struct.pack("=II", 5, 0xFF)), protocol=58, ports=b"\1" * 8))
    assert marked is not None
    assert _upper(marked) == " meta mark & 0xff == 0x5 meta l4proto 58"


def test_octets_that_are_no_attributes_are_told() -> None:
    with pytest.raises(Malformed):
        xfrm.policy(body(b"\x01\0\5\0"))


@pytest.mark.parametrize(
    ("network", "meets"),
    [
        ("10.0.0.0/8", True),
        ("10.0.0.128/25", False),
        ("192.0.2.0/24", False),
        ("0.0.0.0/0", True),
        ("10.1.0.5/32", True),
    ],
)
def test_policies_that_concern_nothing_translated_are_told_from_others(network: str, meets: bool) -> None:
    spans = [(0x0A000000, 0x0A00007F), (0x0A010000, 0x0A01FFFF)]
    assert _meets(IPv4Network(network), spans) == meets


RED = replace(DOMAIN, vrf="red")
IN_RED = Inputs(members=("lan", "wan"), own=("192.0.2.1", "2001:db8::1"))


def test_in_a_vrf_only_what_comes_in_on_its_interfaces_is_taken() -> None:
    text = compiled(IN_RED, RED).text
    for way in ("to", "from"):
        assert rules(text, f"xlat_{way}_siit0_input")[0] == 'iifname != { "lan", "wan" } return'
    assert rules(compiled(Inputs(members=()), RED).text, "xlat_to_siit0_input")[0] == "return"


def test_in_a_vrf_this_node_s_addresses_are_named_since_the_fib_does_not_know_them() -> None:
    text = compiled(IN_RED, RED).text
    assert "type local" not in text
    assert "ip daddr { 192.0.2.1 } return" in rules(text, "xlat_to_siit0")
    assert "iif != 0 ip6 saddr { 2001:db8::1 } counter drop" in rules(text, "xlat_from_siit0")
    assert "saddr {" not in compiled(Inputs(members=("lan",)), RED).text


def test_in_a_vrf_this_node_s_own_packets_are_taken_where_they_leave_by_the_device() -> None:
    lines = [line.strip() for line in compiled(IN_RED, RED).text.splitlines() if "-output" in line]
    assert lines
    assert all(line.startswith('oifname "siit0" ') for line in lines)


def test_checks_in_a_vrf_spare_its_own_addresses() -> None:
    strict = replace(RED, reverse_path="strict")
    found = rules(compiled(IN_RED, strict).text, "xlat_to_siit0_input")
    assert "fib saddr . iif oif missing ip daddr != { 192.0.2.1 } counter drop" in found


def test_rules_of_one_s_own_in_a_vrf_ask_the_fib_by_the_interface() -> None:
    source = "table ip t {\n chain p {\n  type filter hook prerouting priority -450;\n  xlat to siit0\n }\n}\n"
    text = compile_rules(program(source, "x.nft", (RED,))).text
    assert rules(text, "xlat_to_siit0")[:4] == [
        'iifname { "siit0", "red" } return',
        "meta pkttype != host return",
        "fib daddr . iif type local return",
        "fib saddr . iif type local counter drop",
    ]
    assert 'oifname "siit0" ip daddr @siit0_to jump xlat_to_siit0' in text
