"""`xlat ... offload`: what a decision hangs on, so that it can be repeated by pair, by flow, or not at all."""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from nfxlat.judgement import Finding, Severity
from nfxlat.lab.rules import explained
from nfxlat.nft.check.judge import check
from nfxlat.nft.kernel import includes
from nfxlat.nft.language.compile import compile_rules
from nfxlat.nft.language.program import Program, program
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

SIIT0 = Domain(prefix6=IPv6Network("2001:db8:64::/96"), pool4=(IPv4Network("198.51.100.0/24"),))
STATEMENT = "ip daddr 198.51.100.0/24 xlat to siit0 offload"
PORTS = "\n\t\tip daddr 198.51.100.0/24 tcp dport 80 xlat to siit0 offload"


DEFINED = """
define known = 6
define several = { tcp, udp }
define hosts = { 192.0.2.1, 192.0.2.8/29 }
define aged = { 192.0.2.1 timeout 5s }
define seen_too = @seen
define sub = d
define twice = 192.0.2.1
redefine twice = @seen
"""


def read(rules: str, *, before: str = "", chains: str = "", family: str = "ip", hook: str = "prerouting") -> Program:
    """`before` stands ahead of the chain in its table, `chains` behind."""
    return program(
        f"{DEFINED}table {family} t {{\n{before}\n\tchain c {{\n"
        f"\t\ttype filter hook {hook} priority -450; policy accept;\n\t\t{rules}\n\t}}\n{chains}\n}}\n",
        "x.nft",
        (SIIT0,),
    )


def by(found: Program) -> str:
    (statement,) = (one for one in found.statements if one.offload)
    assert statement.repeated.faults == ()
    return statement.repeated.by


def offload(found: Program) -> list[Finding]:
    return [finding for finding in check(found) if finding.code.startswith("offload")]


@pytest.mark.parametrize(
    "match",
    [
        "",
        "ip saddr { 192.0.2.1, 192.0.2.8/29 }",
        "ip saddr $hosts",
        "ip saddr != 192.0.2.0-192.0.2.9",
        "ip saddr & 255.255.0.0 == 192.0.0.0",
        'iifname "eth0"',
        'iifname != { "eth0", "eth1" }',
        "meta iif 3",
        'iifname . ip saddr { "eth0" . 192.0.2.1, "eth1" . 192.0.2.2 }',
        "meta pkttype host",
        "meta nfproto ipv4",
        "meta protocol ip",
        "fib daddr type unicast",
        "fib saddr . iif type != local",
        "iiftype ether",
        "notrack",
    ],
)
def test_addresses_and_interfaces_are_repeated_by_pair(match: str) -> None:
    assert by(read(f"{match} {STATEMENT}")) == "pair"
    assert by(read(f"{match} return\n\t\t{STATEMENT}")) == "pair"


@pytest.mark.parametrize(
    "match",
    [
        "tcp dport 80",
        "udp sport != { 53, 123-126 }",
        "th dport 1-1023",
        "ip protocol tcp",
        "meta l4proto { tcp, udp }",
        "meta l4proto TCP",
        "ip protocol 1-17",
        "ip protocol { icmp, 0x06 }",
        "ip protocol $known",
        "meta l4proto 1 - 6",
        "meta l4proto $several",
        "meta l4proto . th dport { tcp . 80, udp . 53 }",
        "ip saddr . tcp sport { 192.0.2.1 . 80 }",
        "tcp dport vmap { 22 : return, 25 : drop }",
    ],
)
def test_protocol_and_ports_are_repeated_by_flow(match: str) -> None:
    assert by(read(f"{match} {STATEMENT}")) == "flow"
    ahead = match if "vmap" in match else f'{match} counter log prefix "x" drop'
    assert by(read(f"{ahead}\n\t\t{STATEMENT}")) == "flow"
    assert by(read(f"ip daddr 192.0.2.1 goto d\n\t\t{STATEMENT}", chains=f"\tchain d {{\n\t\t{ahead}\n\t}}")) == "flow"


@pytest.mark.parametrize(
    "ahead",
    [
        "icmp type echo-request limit rate 5/second accept",
        "meta l4proto icmp ct state new drop",
        "ip protocol { icmp, sctp } meta mark 5 drop",
        "ip protocol { 1, 47 } meta mark 5 drop",
        "ip saddr @unknown icmp type echo-request counter drop",
        "ct state new icmp type echo-request drop",
        "ip protocol icmp jump d",
        "meta l4proto ipv6-icmp meta mark 5 drop",
        "meta nfproto ipv6 tcp dport 80 drop",
        "ip6 saddr 2001:db8::1 tcp dport 80 accept",
        "ip6 daddr 2001:db8:64::/96 tcp dport 80 xlat from siit0",
        "sctp dport 80 accept",
        "ip frag-off & 0x1fff != 0 tcp dport 80 drop",
        "ip frag-off & 0x3fff == 0 accept",
        "exthdr frag exists meta l4proto udp accept",
        "tcp dport 80",
        "tcp dport 80 continue",
    ],
)
def test_what_never_meets_it_or_decides_nothing_counts_for_nothing(ahead: str) -> None:
    limited = "\tchain d {\n\t\tlimit rate 5/second drop\n\t}"
    found = read(f"{ahead}\n\t\t{STATEMENT}", family="inet", chains=limited)
    assert by(found) == "pair"
    assert offload(found) == []


@pytest.mark.parametrize(
    ("ahead", "what"),
    [
        ("ip dscp set af11 icmp type echo-request drop", "ip dscp"),
        ("meta mark set 5 meta l4proto icmp drop", "meta mark"),
        ("update @seen { ip saddr } icmp type echo-request drop", "update"),
        ("counter name all icmp type echo-request drop", "counter all"),
        ('log prefix "x" meta nfproto ipv6 drop', "log"),
        ("ip saddr 192.0.2.1 counter name all tcp dport 80 drop", "counter all"),
        ("meta l4proto 2|4 meta mark 5 drop", "|"),
        ("ip frag-off & 0x1fff != 0 | 1 meta mark 5 drop", "ip frag-off"),
        ("iifname ipv6 meta mark 5 drop", "meta mark"),
        ("iifname xlat log", "log"),
        ("jump $sub", "ct"),
        ("ip saddr 192.0.2.1 goto $unknown", "$unknown"),
        ("ip saddr 192.0.2.1 jump { limit rate 5/second drop; }", "a chain without a name"),
        ("ip saddr 192.0.2.1 goto { counter; tcp dport 80 drop }", "a chain without a name"),
    ],
)
def test_what_stands_ahead_of_a_match_meets_all_and_what_only_looks_like_one_ends_nothing(
    ahead: str, what: str
) -> None:
    before = "\tset seen { type ipv4_addr; }"
    chains = "\tchain d {\n\t\tct state new drop\n\t}"
    (found,) = offload(read(f"{ahead}\n\t\t{STATEMENT}", before=before, chains=chains, family="inet"))
    assert found.what == f"{what}, on the way to xlat to siit0 offload"


def test_a_counter_ahead_of_a_match_is_told() -> None:
    (note,) = offload(read(f"counter icmp type echo-request drop\n\t\t{STATEMENT}"))
    assert note.code == "offload-counter"


def test_rules_behind_count_for_nothing() -> None:
    assert by(read(f"{STATEMENT}\n\t\ttcp dport 80 ct state new drop")) == "pair"


@pytest.mark.parametrize(
    ("match", "what"),
    [
        ("meta mark 5", "meta mark"),
        ("mark and 0xff == 5", "mark"),
        ("ct state new", "ct"),
        ("ct mark 5", "ct"),
        ("limit rate 5/second", "limit"),
        ("quota over 5 mbytes", "quota"),
        ("quota name q", "quota"),
        ("numgen random mod 2 0", "numgen"),
        ("jhash ip saddr mod 2 0", "jhash"),
        ('meta hour "09:00"-"17:00"', "meta hour"),
        ("meta skuid 1000", "meta skuid"),
        ("skuid 1000", "skuid"),
        ("socket cgroupv2 level 1 x", "socket"),
        ("tcp flags syn", "tcp flags"),
        ("ip ttl 5", "ip ttl"),
        ("ip dscp ef", "ip dscp"),
        ("ip length > 100", "ip length"),
        ("ip frag-off & 0x4000 != 0", "ip frag-off"),
        ("meta length > 100", "meta length"),
        ("meta priority 5", "meta priority"),
        ("ether saddr 02:00:00:00:00:01", "ether saddr"),
        ('fib daddr oifname "siit0"', "fib"),
        ("fib saddr . iif oif missing", "fib"),
        ("@th,16,16 80", "@th"),
        ("exthdr hbh exists", "exthdr"),
        ("meta ipsec exists", "meta ipsec"),
        ("meta nftrace set 1", "meta nftrace"),
        ("meta mark set 5", "meta mark"),
        ("add @seen { ip saddr }", "add"),
        ("ip saddr @seen", "set seen"),
        ("ip saddr @timed", "set timed"),
        ("ip saddr @counted", "set counted"),
        ("ip saddr @elsewhere", "set elsewhere"),
        ("ip saddr { 192.0.2.1 limit rate 5/second }", "limit"),
        ("ip saddr vmap @elsewhere", "set elsewhere"),
        ("ip saddr $seen_too", "set seen"),
        ("ip saddr $aged", "timeout"),
        ("ip saddr $unknown", "$unknown"),
        ("ip saddr { 192.0.2.1, $unknown }", "$unknown"),
        ("ip saddr $twice", "$twice"),
    ],
)
def test_what_the_program_cannot_repeat_is_refused(match: str, what: str) -> None:
    before = """
        set seen { type ipv4_addr; }
        set timed { type ipv4_addr; timeout 1h; }
        set counted { type ipv4_addr; counter; }
        chain learning { type filter hook forward priority 0; update @seen { ip saddr }; }
    """
    on_it = offload(read(f"{match} {STATEMENT}", before=before))
    ahead = offload(read(f"{match} return\n\t\t{STATEMENT}", before=before))
    above = offload(
        read(
            f"{match} jump d",
            before=before,
            chains=f"\tchain d {{\n\t\tip saddr 192.0.2.1 accept\n\t\t{STATEMENT}\n\t}}",
        )
    )
    for found in (on_it, ahead, above):
        assert [finding.severity for finding in found] == [Severity.ERROR]
        assert found[0].what == f"{what}, on the way to xlat to siit0 offload"
        assert found[0].effect
        assert found[0].instead


@pytest.mark.parametrize(
    "half", ["ip frag-off &", "ip frag-off & 0x3fff", "exthdr frag", "ip saddr .", "meta", "fib daddr ."]
)
def test_a_rule_that_is_half_written_is_refused(half: str) -> None:
    assert offload(read(f"{half}\n\t\t{STATEMENT}"))


def test_a_set_of_this_file_may_change_with_the_rules() -> None:
    before = "\tset hosts { type ipv4_addr; elements = { 192.0.2.1 }; }\n\tmap m { type ipv4_addr : verdict; }"
    for match in ("ip saddr @hosts", "ip saddr vmap @m", "ip daddr @siit0_to"):
        assert by(read(f"{match} return\n\t\t{STATEMENT}", before=before)) == "pair"


def test_maps_are_followed_into_their_chains() -> None:
    before = "\tmap m {\n\t\ttype ipv4_addr : verdict\n\t\telements = { 192.0.2.1 : jump d }\n\t}"
    chains = "\tchain d {\n\t\tct state new drop\n\t}"
    (found,) = offload(read(f"ip saddr vmap @m\n\t\t{STATEMENT}", before=before, chains=chains))
    assert found.where == "x.nft:21:3"


def test_a_map_may_lead_at_run_time_to_chains_that_nothing_else_leads_to() -> None:
    before = "\tmap m {\n\t\ttype ipv4_addr : verdict\n\t}"
    chains = "\tchain d {\n\t\tct state new drop\n\t}"
    (found,) = offload(read(f"ip saddr vmap @m\n\t\t{STATEMENT}", before=before, chains=chains))
    assert found.what.startswith("ct, ")
    assert offload(read(f"ip saddr vmap @m\n\t\t{STATEMENT}", before=before)) == []


@pytest.mark.parametrize(
    ("match", "by_address"),
    [
        ("fib daddr type local", True),
        ("fib saddr . iif type != { local, multicast }", True),
        ("fib daddr type unicast", False),
        ("fib saddr type { local, blackhole }", False),
        ("fib saddr type vmap { local : drop }", False),
    ],
)
def test_of_ipv6_the_kind_of_an_address_may_be_its_route_s_affair(match: str, by_address: bool) -> None:
    """A blackhole or unreachable route makes it another kind; of IPv4 the local table alone is asked."""
    statement = "ip6 daddr 2001:db8:64::/96 xlat from siit0 offload"
    found = offload(read(f"{match} counter drop\n\t\t{statement}", family="inet"))
    assert [finding.what for finding in found] == ([] if by_address else ["fib, on the way to xlat from siit0 offload"])
    assert offload(read(f"{match} counter drop\n\t\t{STATEMENT}", family="inet")) == []


def test_counters_that_miss_what_is_offloaded_are_told_and_named_ones_refused() -> None:
    (note,) = offload(read(f"counter {STATEMENT}"))
    assert (note.severity, note.code) == (Severity.NOTE, "offload-counter")
    (named,) = offload(read(f"counter name all\n\t\t{STATEMENT}"))
    assert (named.severity, named.what) == (Severity.ERROR, "counter all, on the way to xlat to siit0 offload")
    (log,) = offload(read(f'log prefix "x" level info\n\t\t{STATEMENT}'))
    assert (log.severity, log.what) == (Severity.ERROR, "log, on the way to xlat to siit0 offload")
    (way,) = offload(read("counter jump d", chains=f"\tchain d {{\n\t\t{STATEMENT}\n\t}}"))
    assert way.code == "offload-counter"
    for exact in ("counter name all drop", 'ip saddr 192.0.2.1 log prefix "x" counter packets 0 bytes 0 return'):
        assert offload(read(f"{exact}\n\t\t{STATEMENT}")) == []


@pytest.mark.parametrize(
    ("verdict", "in_chain", "called", "earlier"),
    [
        ("drop", True, True, True),
        ("accept", True, True, False),
        ("return", True, False, False),
        ("goto e", True, False, False),
    ],
)
def test_what_a_verdict_ends_depends_on_where_it_stands(
    verdict: str, in_chain: bool, called: bool, earlier: bool
) -> None:
    """What is accepted goes on to the next chain of the hook, what returns goes on behind the jump."""
    counted = f"ip saddr 192.0.2.1 counter name all {verdict}"
    end = "\tchain e {\n\t}"
    early = f"\tchain d {{\n\t\ttype filter hook prerouting priority -460;\n\t\t{counted}\n\t}}\n{end}"
    assert (offload(read(f"{counted}\n\t\t{STATEMENT}", chains=end)) == []) is in_chain
    sub = f"\tchain d {{\n\t\t{counted}\n\t}}\n{end}"
    assert (offload(read(f"jump d\n\t\t{STATEMENT}", chains=sub)) == []) is called
    assert (offload(read(STATEMENT, chains=early)) == []) is earlier


def test_included_files_are_read_for_their_variables_and_for_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "hosts.nft").write_text("define pool = 198.51.100.0/24\ndefine fast = @s_new\n", encoding="utf-8")
    (tmp_path / "rule.nft").write_text("ip ttl 5 drop\n", encoding="utf-8")
    (tmp_path / "outer.nft").write_text('include "hosts.nft"\n', encoding="utf-8")

    def found(text: str) -> list[str]:
        judged = offload(program(text, str(tmp_path / "x.nft"), (SIIT0,), includes.read))
        return [finding.what.partition(",")[0] for finding in judged]

    def with_include(name: str) -> str:
        return f'include "{name}"\n{read(rules, before=set_).source.text.removeprefix(DEFINED)}'

    set_, rules = "\tset s_new { type ipv4_addr; timeout 1h; }", "ip daddr $pool xlat to siit0 offload"
    assert found(with_include("hosts.nft")) == found(with_include("outer.nft")) == []
    assert found(with_include("nowhere.nft")) == ["include", "$pool"]
    rules = f"ip saddr $fast drop\n\t\t{rules}"
    assert found(with_include("hosts.nft")) == ["set s_new"]
    rules = f'include "rule.nft"\n\t\t{STATEMENT}'
    assert found(with_include("hosts.nft")) == ["include"]


@pytest.mark.parametrize(
    ("family", "hook", "first"),
    [
        ("ip", "prerouting", True),
        ("inet", "prerouting", True),
        ("ip6", "prerouting", False),
        ("netdev", "ingress", True),
    ],
)
def test_chains_of_the_file_that_come_first_count(family: str, hook: str, first: bool) -> None:
    for priority, ct in ((-460, first), (-440, first and hook == "ingress")):
        chain = f"chain d {{\n\t\ttype filter hook {hook} priority {priority};\n\t\tct state new drop\n\t}}"
        other = f"\ntable {family} u {{\n\t{chain}\n}}\n"
        found = program(read(STATEMENT).source.text + other, "x.nft", (SIIT0,))
        assert bool(offload(found)) == ct


def test_what_commands_put_in_front_counts_wherever_it_stands() -> None:
    text = read(STATEMENT).source.text + "insert rule ip t c ct state new drop\n"
    assert offload(program(text, "x.nft", (SIIT0,)))


@pytest.mark.parametrize("command", ["add rule ip t c", "rule t c", "add ip t c", "add t c", "ip t c", "t c"])
def test_a_rule_by_command_may_leave_words_out(command: str) -> None:
    text = read(STATEMENT).source.text + f"{command} tcp dport 25 limit rate 5/second drop\n"
    assert [one.what.partition(",")[0] for one in offload(program(text, "x.nft", (SIIT0,)))] == ["limit"]
    text = text.replace("limit rate 5/second drop", "xlat to siit0")
    assert f"{command} tcp dport 25 jump xlat_to_siit0" in compile_rules(program(text, "x.nft", (SIIT0,))).text


def test_a_later_rule_hangs_on_what_the_former_let_by() -> None:
    found = read(f"ip daddr 198.51.100.0/24 tcp dport 80 xlat to siit0\n\t\t{STATEMENT}")
    assert by(found) == "flow"


@pytest.mark.parametrize("hook", ["output", "postrouting"])
def test_at_another_hook_it_does_nothing(hook: str) -> None:
    (found,) = offload(read('oifname "siit0" xlat to siit0 offload', hook=hook))
    assert found.what == f"offload at hook {hook}"


def test_behind_the_stamp_it_does_nothing() -> None:
    text = read(STATEMENT).source.text.replace("-450", "-445")
    (found,) = offload(program(text, "x.nft", (SIIT0,)))
    assert found.what == "offload at priority -445, after -450"


def test_what_is_no_router_s_has_none() -> None:
    clat = Domain(
        prefix6=IPv6Network("2001:db8:64::/96"), eamt=Eamt([(IPv4Network("192.0.0.1"), IPv6Network("2001:db8:2::2"))])
    )
    text = (
        "table ip t {\n\tchain c {\n\t\ttype filter hook postrouting priority srcnat + 1;\n"
        '\t\toifname "siit0" xlat to siit0\n\t}\n}\n'
        "table ip6 t {\n\tchain c {\n\t\ttype filter hook prerouting priority -450;\n"
        "\t\tip6 daddr 2001:db8:2::2 xlat from siit0 offload\n\t}\n}\n"
    )
    (found,) = offload(program(text, "x.nft", (clat,)))
    assert (found.severity, found.what) == (Severity.WARNING, "offload in a domain that is no router's")


def test_each_way_has_its_chain_and_all_the_same_queues() -> None:
    rules = f"tcp dport 22 ip daddr 198.51.100.0/24 xlat to siit0{PORTS}"
    text = compile_rules(read(rules)).text
    table = text.partition("table ip xlat_siit0")[0]
    assert "dport 22 ip daddr 198.51.100.0/24 jump xlat_to_siit0\n" in table
    assert "dport 80 jump xlat_to_siit0_flow\n" in table
    assert table.count("chain xlat_to_siit0_plain {") == table.count("chain xlat_to_siit0_tcp {") == 1
    assert table.count("meta priority set meta priority | 0x10000000") == 1


def test_what_is_to_be_run_beside_it_is_told_unless_the_domain_says_so() -> None:
    found = read(STATEMENT)
    assert found.offloaded() == {"siit0"}
    assert "--queue 7 --offload\n" in explained(found).text
    told = program(found.source.text, "x.nft", (replace(SIIT0, offload=True),))
    assert told.offloaded() == set()
    assert "--queue 7\n" in explained(told).text


def test_a_mapping_and_a_comment_may_stand_beside_it() -> None:
    rules = (
        "ip saddr 192.0.0.1 ip daddr 198.51.100.0/24 "
        'xlat to 2001:db8:64::/96 with source { 192.0.0.1 : 2001:db8:2::2 } offload comment "x"'
    )
    text = compile_rules(read(rules)).text
    assert 'ip daddr 198.51.100.0/24 jump xlat_to_xlat0_pair comment "x"' in text
