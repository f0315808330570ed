"""Judgements on nft files: each on a file that is at fault, and silent on the same file without the fault."""

import json
import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from string import Formatter

import pytest

from nfxlat.cli import main
from nfxlat.judgement import Finding, Judgement, Severity
from nfxlat.nft.check.judge import check
from nfxlat.nft.check.judgements.statement import Match, Meaning, Place
from nfxlat.nft.check.judgements.surroundings import Domains, Others
from nfxlat.nft.language.program import program
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

PREFIX6 = IPv6Network("2001:db8:64::/96")
EAM = (IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2"))
SIIT0 = Domain(prefix6=PREFIX6, pool4=(IPv4Network("198.51.100.0/24"),), eamt=Eamt([EAM]))
OVERLAPPING = Domain("other", prefix6=IPv6Network("2001:db8:65::/96"), pool4=(IPv4Network("198.51.100.128/25"),))
LOOPING = Domain(prefix6=PREFIX6, eamt=Eamt([(EAM[0], IPv6Network("2001:db8:64::1/128"))]))
PING = Domain("ping", prefix6=PREFIX6, eamt=Eamt([(EAM[0], IPv6Network("2001:db8:65::1/128"))]))
PONG = Domain("pong", prefix6=IPv6Network("2001:db8:65::/96"), pool4=(IPv4Network("192.0.2.0/24"),))
NO_EAM = Domain(prefix6=PREFIX6)

ROUTER = """\
table ip a {
	chain pre {
		type filter hook prerouting priority -450; policy accept;
		ip daddr { 198.51.100.0/24, 203.0.113.2 } xlat to siit0
	}
	chain out {
		type filter hook output priority -450; policy accept;
		ip daddr 198.51.100.0/24 xlat to siit0
	}
}
table ip6 b {
	chain pre {
		type filter hook prerouting priority -450; policy accept;
		ip6 daddr 2001:db8:64::/96 xlat from siit0
	}
	chain out {
		type filter hook output priority -450; policy accept;
		ip6 daddr 2001:db8:64::/96 xlat from siit0
	}
}
"""
HOST = """\
define dev = siit0
table ip a {
	chain post {
		type filter hook postrouting priority srcnat + 1; policy accept;
		oifname $dev xlat to siit0
	}
}
table ip6 b {
	chain pre {
		type filter hook prerouting priority -450; policy accept;
		ip6 daddr 2001:db8:2::2 ip6 saddr 2001:db8:64::/96 xlat from siit0
		ip6 daddr 2001:db8:2::2 icmpv6 type { packet-too-big, time-exceeded } xlat from siit0
	}
}
"""
# what `xlat ... reassembled` takes is let go ahead of it
REASSEMBLED = """\
table ip a {
	chain early {
		type filter hook prerouting priority -450; policy accept;
		ip frag-off & 0x3fff != 0 ip protocol icmp return
		ip daddr 198.51.100.0/24 meta pkttype host xlat to siit0
	}
	chain whole {
		type filter hook prerouting priority raw; policy accept;
		ip daddr 198.51.100.0/24 xlat to siit0 reassembled
	}
	chain out {
		type filter hook output priority -450; policy accept;
		ip daddr 198.51.100.0/24 xlat to siit0
	}
}
""" + ROUTER.partition("}\ntable ip6")[2].join(("table ip6", ""))
IP_RULE = "ip daddr { 198.51.100.0/24, 203.0.113.2 } xlat to siit0"
IP6_RULE = "ip6 daddr 2001:db8:64::/96 xlat from siit0"
OUT_RULE = "ip daddr 198.51.100.0/24 xlat to siit0"
FLOWTABLE = "flowtable f { hook ingress priority 0; devices = { e }; }"
FORWARD = "table inet fw {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy accept;\n%s\t}\n}\n"


def judged(text: str, *domains: Domain) -> list[Finding]:
    return check(program(text, "x.nft", domains or (SIIT0,)))


def codes(text: str, *domains: Domain) -> set[str]:
    return {finding.code for finding in judged(text, *domains)}


@pytest.mark.parametrize("text", [ROUTER, HOST, REASSEMBLED])
def test_good_rules_have_no_finding(text: str) -> None:
    assert judged(text) == []


# the judgement, the good text, what of it is changed into what (once), the line of the finding
FAULTS: list[tuple[Judgement, str, str, str, int]] = [
    (Place.NAT_CHAIN, ROUTER, "type filter hook prerouting", "type nat hook prerouting", 3),
    (Place.TYPE, ROUTER, "type filter hook output", "type route hook output", 7),
    (Place.PRIORITY_DEFRAGMENTATION, ROUTER, "prerouting priority -450", "prerouting priority -400", 3),
    (Place.PRIORITY_CONNTRACK, ROUTER, "prerouting priority -450", "prerouting priority filter", 3),
    (Place.PRIORITY_UNKNOWN, ROUTER, "prerouting priority -450", "prerouting priority $unknown", 3),
    (Place.PRIORITY_STAMP, ROUTER, "prerouting priority -450", "prerouting priority -440", 3),
    (Place.PRIORITY_SRCNAT, HOST, "srcnat + 1", "srcnat", 4),
    (Place.HOOK_INPUT, ROUTER, "hook prerouting", "hook input", 3),
    (Place.HOOK_FORWARD, ROUTER, "hook prerouting", "hook forward", 3),
    (Place.HOOK_POSTROUTING, HOST, "hook prerouting", "hook postrouting", 10),
    (Place.HOOK_OTHER, ROUTER, "hook prerouting", "hook ingress", 3),
    (Place.FAMILY, ROUTER, IP_RULE, "ip daddr 198.51.100.0/24 xlat from siit0", 4),
    (Place.FAMILY, ROUTER, "table ip6 b", "table ip b", 14),
    (Place.FAMILY_BELOW_IP, ROUTER, "table ip a", "table bridge a", 4),
    (
        Place.UNREACHED,
        ROUTER,
        "chain pre {\n\t\ttype filter hook prerouting priority -450; policy accept;",
        "chain pre {",
        3,
    ),
    (Place.REASSEMBLED_HOOK, REASSEMBLED, "prerouting priority raw", "output priority raw", 8),
    (Place.REASSEMBLED_TOO_EARLY, REASSEMBLED, "prerouting priority raw", "prerouting priority -400", 8),
    (Place.REASSEMBLED_TOO_LATE, REASSEMBLED, "prerouting priority raw", "prerouting priority -200", 8),
    (Place.PRIORITY_UNKNOWN, REASSEMBLED, "prerouting priority raw", "prerouting priority $unknown", 8),
    (Place.HOOK_FORWARD, REASSEMBLED, "prerouting priority raw", "forward priority raw", 8),
    (Place.FRAGMENTS_TAKEN, REASSEMBLED, "\t\tip frag-off & 0x3fff != 0 ip protocol icmp return\n", "", 8),
    (Place.DORMANT, ROUTER, "table ip a {", "table ip a {\n\tflags dormant;", 5),
    (Match.SEED, ROUTER, IP_RULE, f"jhash ip saddr . ip daddr mod 4 < 2 {IP_RULE}", 4),
    (Match.SOURCE_ALONE, ROUTER, IP_RULE, "ip saddr 192.0.2.0/24 xlat to siit0", 4),
    (Match.NO_DESTINATION, ROUTER, IP_RULE, 'iifname "eth0" xlat to siit0', 4),
    (Match.SOURCE_ALONE_6TO4, ROUTER, IP6_RULE, "ip6 saddr 2001:db8:64::/96 xlat from siit0", 14),
    (Match.SIDE_IN_PREFIX6, ROUTER, IP_RULE, "ip daddr 192.0.2.0/24 xlat to siit0", 4),
    (Match.SIDE_WRONG, ROUTER, IP6_RULE, "ip6 daddr 2001:db8:2::2 xlat from siit0", 14),
    (Match.SIDE_UNMAPPED, ROUTER, IP6_RULE, "ip6 daddr 2001:db8:65::/96 xlat from siit0", 14),
    (Match.ERRORS_MISSED, HOST, "icmpv6 type", "ip6 saddr 2001:db8:64::/96 icmpv6 type", 11),
    (Match.INTERFACE_AT_PREROUTING, ROUTER, IP_RULE, f'oifname "eth0" {IP_RULE}', 4),
    (Match.INTERFACE_BY_FIB_AT_OUTPUT, ROUTER, OUT_RULE, f'fib daddr oifname "siit0" {OUT_RULE}', 8),
    (Match.LOOP, ROUTER, IP_RULE, f'iifname "siit0" {IP_RULE}', 4),
    (Match.ROUTE_ELSEWHERE, HOST, "oifname $dev", 'oifname "eth0"', 5),
    (Match.NO_ROUTE, HOST, "oifname $dev", "ip saddr 192.0.0.1", 5),
    (Match.TWO_PREFIXES, ROUTER, IP6_RULE, "ip6 daddr 64::ff0b::/96 xlat from 64::ff9b::/96", 14),
    (Meaning.PREFIX, ROUTER, IP6_RULE, "ip6 daddr 2001:db8::64::/96 xlat from siit0", 14),
    (Meaning.PREFIX, ROUTER, IP6_RULE, "ip6 daddr 2001:db8:64::/96 xlat from 2001:db8:64::/95", 14),
    (Meaning.DOMAIN, ROUTER, IP6_RULE, "ip6 daddr 2001:db8:64::/96 xlat from siit9", 14),
    (Meaning.OPEN_ADDRESS, ROUTER, IP6_RULE, "ip6 daddr 64:ff9b::/96 xlat from 64:ff9b::/96", 14),
    (Meaning.OPEN_ADDRESS_TOO, ROUTER, IP6_RULE, "ip6 daddr 64:ff9b::/96 xlat from 64::ff9b::/96", 14),
    (Domains.NAME, ROUTER, "table ip a", "table ip xlat_siit0", 1),
    (Domains.OUTPUT, ROUTER, f"\t\t{OUT_RULE}\n", "", 4),
    (Domains.ONE_WAY, ROUTER, ROUTER.partition("table ip6")[1] + ROUTER.partition("table ip6")[2], "", 4),
    (Others.BYPASS, ROUTER, IP_RULE, "ip daddr 198.51.100.9 queue num 7 bypass", 4),
    (Others.FLOWTABLE, ROUTER, "table ip a {", f"table ip a {{\n{FLOWTABLE}", 2),
    (Others.FLOWTABLE, ROUTER, IP_RULE, "flow add @f", 4),
    (Others.UNTRACKED_NAT, ROUTER, IP_RULE, f"{IP_RULE}\n ip saddr {{ 192.0.2.9, 198.51.100.7 }} masquerade", 5),
    (Others.STATEFUL, ROUTER, "table ip a {", FORWARD % "ct state invalid drop\n" + "table ip a {", 3),
    (Others.FORWARD_DROP, ROUTER, "table ip a {", FORWARD.replace("accept", "drop") % "" + "table ip a {", 3),
]
# shown by tests of their own below, since they need other domains
ELSEWHERE = {Domains.LOOP, Domains.LOOP_OTHER, Domains.OVERLAP, Domains.OVERLAP_OUTPUT, Match.HOST_SOURCE}


def says(finding: Finding, judgement: Judgement) -> bool:
    """Whether a finding is of a judgement, whatever the facts are."""
    texts = ((finding.what, judgement.what), (finding.effect, judgement.effect), (finding.instead, judgement.instead))
    same = (finding.code, finding.severity) == (judgement.code, judgement.severity)
    return same and all(re.fullmatch(_pattern(template), text) for text, template in texts)


def _pattern(template: str) -> str:
    parts = Formatter().parse(template)
    return "".join(re.escape(literal) + (".+" if name is not None else "") for literal, name, _, _ in parts)


@pytest.mark.parametrize(("judgement", "good", "was", "becomes", "line"), FAULTS, ids=lambda value: str(value)[:40])
def test_each_fault_is_named_at_its_place(judgement: Judgement, good: str, was: str, becomes: str, line: int) -> None:
    assert was in good
    assert not [finding for finding in judged(good) if says(finding, judgement)]
    found = [finding for finding in judged(good.replace(was, becomes, 1)) if says(finding, judgement)]
    assert found
    assert found[0].where.startswith(f"x.nft:{line}:")


def test_every_judgement_on_rules_has_a_row() -> None:
    assert {row[0] for row in FAULTS} | ELSEWHERE == {*Place, *Meaning, *Match, *Domains, *Others}


def test_an_error_is_what_load_refuses_and_a_note_is_not() -> None:
    severity = {
        f.code: f.severity for f in judged(ROUTER.replace("-450", "-440") + FORWARD % "ct state invalid drop\n")
    }
    assert severity == {"priority": Severity.NOTE, "stateful": Severity.WARNING}
    assert judged(ROUTER.replace("type filter", "type nat", 1))[0].severity is Severity.ERROR


@pytest.mark.parametrize("chain", ["pre", "out"])
def test_a_hook_that_load_adds_is_only_a_note(chain: str) -> None:
    rule = "\t\tip daddr 198.51.100.0/24 xlat to siit0\n"
    [note] = judged(ROUTER.replace(rule, ""))
    assert (note.code, note.severity) == ("output", Severity.NOTE)
    assert "load adds one, in table ip xlat_siit0" in note.instead


def test_one_direction_alone_is_told() -> None:
    [found] = [f for f in judged(ROUTER.partition("table ip6")[0]) if f.code == "one-way"]
    assert "xlat from siit0" in found.what


def test_matches_of_the_way_to_the_statement_count() -> None:
    text = (
        "table ip a { set s { type ipv4_addr; }\n chain xl { xlat to siit0; }\n chain pre { "
        "type filter hook prerouting priority -450; ip daddr @s jump xl; }; }\n"
    )
    assert "destination" not in codes(text)
    assert "destination" in codes(text.replace("ip daddr @s", "ip saddr @s"))
    returning = "table ip a { chain pre { type filter hook prerouting priority -450; ip daddr != @s return; %s; }; }"
    assert "destination" not in codes(returning % "xlat to siit0")


def test_an_address_of_the_link_layer_is_no_broken_ipv6_address() -> None:
    assert "prefix" not in codes(ROUTER.replace(IP_RULE, f"ether saddr {{ 02:00:00:00:00:01, 2:0:0:0:0:a }} {IP_RULE}"))


@pytest.mark.parametrize("seeded", [True, False])
def test_a_hash_on_the_way_to_the_statement_needs_a_seed(seeded: bool) -> None:
    rule = f"jhash ip saddr mod 100 {'seed 0x1eb ' if seeded else ''}vmap {{ 0-4 : jump xl }}"
    text = ROUTER.replace(IP_RULE, rule).replace("chain pre {", f"chain xl {{ {IP_RULE}; }}\n\tchain pre {{", 1)
    assert ("seed" in codes(text)) != seeded


def test_overlap_of_two_domains_is_told() -> None:
    second = ROUTER.replace("siit0", "other").replace("table ip a", "table ip c").replace("table ip6 b", "table ip6 d")
    second = second.replace("2001:db8:64::/96", "2001:db8:65::/96")
    second = second.replace("{ 198.51.100.0/24, 203.0.113.2 }", "198.51.100.128/25")
    [found] = judged(ROUTER + second, SIIT0, OVERLAPPING)
    assert says(found, Domains.OVERLAP)
    assert "198.51.100.0/24 of siit0 and 198.51.100.128/25 of other" in found.what
    apart = Domain("other", prefix6=IPv6Network("2001:db8:65::/96"), pool4=(IPv4Network("192.0.2.0/24"),))
    assert "overlap" not in codes(ROUTER + second, SIIT0, apart)


def test_a_host_inside_a_prefix6_is_a_loop() -> None:
    text = ROUTER.replace("198.51.100.0/24", "203.0.113.2")
    assert [f for f in judged(text, LOOPING) if says(f, Domains.LOOP)]
    second = (
        "table ip6 d { chain pre { type filter hook prerouting priority -450; "
        "ip6 daddr 2001:db8:65::/96 xlat from pong; }; }\n"
    )
    [found] = [f for f in judged(text.replace("siit0", "ping") + second, PING, PONG) if f.code == "loop"]
    assert says(found, Domains.LOOP_OTHER)
    assert "taken by pong too" in found.effect


def test_a_host_without_a_mapping_of_its_own_is_told() -> None:
    assert [f for f in judged(HOST, NO_EAM) if says(f, Match.HOST_SOURCE)]


@pytest.mark.parametrize(
    ("rules", "silent"),
    [
        ("\t\tct state invalid drop\n", False),
        ("\t\tct state established,related accept\n", True),
        ('\t\tiifname "siit0" accept\n\t\tct state invalid drop\n', True),
        ("\t\tct state untracked accept\n\t\tct state invalid drop\n", True),
        ('\t\tiifname "siit1" accept\n\t\tct state invalid drop\n', False),
    ],
)
def test_a_stateful_forward_chain_must_let_the_device_pass(rules: str, silent: bool) -> None:
    assert ("stateful" not in codes(ROUTER + FORWARD % rules)) == silent
    closed = (FORWARD % rules).replace("policy accept", "policy drop")
    assert ("stateful" not in codes(ROUTER + closed)) == ("accept" in rules and silent and "established" not in rules)


THREAD = (Path(__file__).parent / "thread.nft").read_text()


def test_the_tables_of_the_thread_are_refused_with_each_of_their_faults(capsys: pytest.CaptureFixture[str]) -> None:
    found = [(f.code, int(f.where.split(":")[1])) for f in judged(THREAD) if f.severity is Severity.ERROR]
    assert found.count(("nat-chain", 3)) == found.count(("nat-chain", 9)) == 1
    assert ("open-address", 4) in found
    assert ("open-address", 10) in found
    assert ("destination", 10) in found
    assert ("route", 4) in found
    assert main(["rules", "check", str(Path(__file__).parent / "thread.nft")]) == 1
    assert "rules/xlat/netdev.nft is an example that works" in capsys.readouterr().out
    said = "\n".join(line for finding in judged(THREAD) for line in finding.lines())
    for phrase in (
        "64::ff0b:: has '::' more than once",
        "64::ff9b:: has '::' more than once",
        "did you mean 64:ff9b::/96?",
        "nothing says how to map the source",
        "nothing says how to map the destination",
        "ICMPv6 errors about translated packets come from routers with addresses of their own",
        "nat chains see only the first packet of a connection",
    ):
        assert phrase in said


@pytest.mark.parametrize("verb", ["check", "compile", "load"])
def test_the_tables_of_the_thread_do_not_get_past_any_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    file = tmp_path / "thread.nft"
    file.write_text(THREAD)
    assert main(["rules", verb, str(file)]) == (1 if verb == "check" else 2)
    captured = capsys.readouterr()
    assert (captured.out == "") == (verb != "check")


def test_check_speaks_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "thread.nft"
    file.write_text(THREAD)
    assert main(["rules", "check", "--json", str(file)]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert {"code", "severity", "where", "what", "effect", "instead"} == set(findings[0])
    assert findings[0]["where"] == f"{file}:3:5"
