"""`xlat ... offload` in rules: what one allows is translated at ingress, by pair or by flow, its neighbour's is not.
And what the checker refuses goes wrong as it says. Rules natively or by the compat target, as this kernel has it.

host4 --- router4 --- translator --- router6 --- host6
"""

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from offloaded import Flow, Node

from nfxlat import config
from nfxlat.lab.netns import wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.rules import example, loaded, prepare
from nfxlat.lab.topology import DOMAIN, HOST4, HOST6, HOST6_4, HOST6_EAM4, HOST6_PREFIX, Lab
from nfxlat.nft.check.judge import check
from nfxlat.nft.language.program import Program, program
from nfxlat.service import doctor
from nfxlat.service.live_check import check_live

ALLOWED, BESIDE = 5000, 5001  # ports
RULES = """
    table ip t {{
        counter seen {{ }}
        chain c {{ type filter hook prerouting priority {priority}; policy accept;
            {to}
        }}
    }}
    table ip6 t {{
        chain c {{ type filter hook prerouting priority -450; policy accept;
            {back}
        }}
    }}
"""
OFFLOADED = "ip daddr @siit0_to xlat to siit0 offload"
BACK = "ip6 daddr 2001:db8:64::/96 xlat from siit0 offload"


def rules(lab: Lab, to: str, back: str = BACK, priority: int = -450) -> Program:
    (domain,) = config.parse(DOMAIN, "lab").domains
    return program(RULES.format(to=to, back=back, priority=priority), str(lab.directory / "rules.nft"), (domain,))


@contextmanager
def translating(lab: Lab, to: str, back: str = BACK, *, codes: str = "", priority: int = -450) -> Iterator[Node]:
    """With these rules at work, in which the checker finds `codes`."""
    found = rules(lab, to, back, priority)
    assert {finding.code for finding in check(found)} - {"output", "priority"} == set(codes.split())
    process = TranslatorProcess(lab.translator, lab.directory, "--offload", setup=False)
    with loaded(lab.translator, found), process:
        prepare(lab.translator, found)
        yield Node(process)


def queued(node: Node) -> int:
    number: int = node.process.summary()["totals"]["packets"]
    return number


def test_one_port_is_offloaded_and_its_neighbour_by_another_rule_is_not(shared_bare_lab: Lab) -> None:
    lab = shared_bare_lab
    to = f"udp dport {ALLOWED} ip daddr @siit0_to xlat to siit0 offload\nip daddr @siit0_to xlat to siit0"
    back = (
        f"ip6 daddr @siit0_from udp sport {ALLOWED} jump d\nip6 daddr @siit0_from xlat from siit0\n}}\n"
        "chain d { ip6 daddr @siit0_from xlat from siit0 offload"
    )
    with (
        translating(lab, to, back) as node,
        closing(Flow(lab, port=ALLOWED)) as flow,
        closing(Flow(lab, port=BESIDE)) as beside,
    ):
        for _ in range(5):
            beside.exchange()
        node.learn(flow)
        before = queued(node)
        for _ in range(20):
            flow.exchange()
        assert queued(node) == before
        translated = node.counted("translated")
        for _ in range(20):
            beside.exchange()
        wait_for(lambda: queued(node) == before + 40, "all of them to be counted")
        assert node.counted("translated") == translated
        assert node.process.summary()["totals"]["taught"] == 2
        stats = [sys.executable, "-m", "nfxlat", "stats", "--offload"]
        listed = lab.translator.run([*stats, "--json"]).stdout.splitlines()
        there, back = sorted(map(json.loads, listed), key=lambda one: str(one["interface"]))
        assert (there["interface"], there["source"], there["destination"]) == ("to-r4", HOST4, HOST6_4)
        assert (there["protocol"], there["ports"][1], there["state"]) == ("UDP", ALLOWED, "kernel")
        assert (back["interface"], back["becomes"]) == ("to-r6", [HOST6_4, HOST4])
        assert there["packets"] == translated
        assert there["octets"] == 16 * translated
        assert "0 pairs and 2 flows known" in lab.translator.run(stats).stdout
        assert "0 pairs and 2 flows known, 2 learnt:" in lab.translator.run(stats[:-1]).stdout


def test_one_pair_is_offloaded_whatever_the_ports_and_its_neighbour_is_not(shared_bare_lab: Lab) -> None:
    lab = shared_bare_lab
    to = f"ip daddr {HOST6_EAM4} xlat to siit0\nip daddr @siit0_to xlat to siit0 offload"
    back = f"ip6 saddr {HOST6} ip6 daddr @siit0_from xlat from siit0\nip6 daddr @siit0_from xlat from siit0 offload"
    with (
        translating(lab, to, back) as node,
        closing(Flow(lab, port=ALLOWED)) as flow,
        closing(Flow(lab, port=BESIDE)) as other,
        closing(Flow(lab, target=HOST6_EAM4, receiver=HOST6)) as beside,
    ):
        node.learn(flow)
        before = queued(node)
        for _ in range(5):
            other.exchange()
            beside.exchange()
        wait_for(lambda: queued(node) == before + 10, "all of them to be counted")


def test_the_example_offloads_one_way_by_pair_and_the_other_by_flow_on_web_ports_alone(shared_bare_lab: Lab) -> None:
    lab = shared_bare_lab
    with lab.host6.entered():
        listener = socket.create_server((HOST6_PREFIX, 80), family=socket.AF_INET6)
    with example(lab, "offload", {}) as processes, closing(Flow(lab, port=BESIDE)) as beside, listener:
        node = Node(processes["siit0"])

        def crossed_back() -> bool:
            beside.exchange()
            return node.counted("translated", "6to4") > 0

        wait_for(crossed_back, "a datagram that crosses 6to4 in the kernel")
        assert node.counted("translated", "4to6") == 0
        with lab.host4.entered():
            client = socket.create_connection((HOST6_4, 80), 10)
        server, _ = listener.accept()
        with client, server:

            def crossed() -> bool:
                client.send(b"x")
                return server.recv(1) == b"x" and node.counted("translated", "4to6") > 0

            wait_for(crossed, "a segment that crosses 4to6 in the kernel")


def test_without_offload_such_rules_translate_as_ever(shared_bare_lab: Lab) -> None:
    lab = shared_bare_lab
    found = rules(lab, OFFLOADED)
    process = TranslatorProcess(lab.translator, lab.directory, setup=False)
    with loaded(lab.translator, found), process, closing(Flow(lab)) as flow:
        prepare(lab.translator, found)
        for _ in range(5):
            flow.exchange()
        wait_for(lambda: process.summary()["totals"]["packets"] == 10, "all of them to be counted")


def test_it_says_where_no_rule_allows_it(shared_bare_lab: Lab) -> None:
    with translating(shared_bare_lab, "ip daddr @siit0_to xlat to siit0", BACK.removesuffix(" offload")) as node:
        told = "offload: no rule that is loaded allows it yet (xlat to siit0 offload)"
        assert told in node.process.output()


@pytest.mark.advice("offload")
def test_what_a_limit_refuses_crosses_once_the_decision_is_repeated(shared_bare_lab: Lab) -> None:
    limit = "limit rate 1/hour burst 50 packets"
    with (
        translating(shared_bare_lab, f"{limit} ip daddr @siit0_to xlat to siit0 offload", codes="offload") as node,
        closing(Flow(shared_bare_lab)) as flow,
    ):

        def crossed() -> bool:
            flow.here.send(b"x")
            return node.counted("translated") > 0

        wait_for(crossed, "a datagram that crosses in the kernel")
        for _ in range(100):
            flow.here.send(b"x")
        wait_for(lambda: node.counted("translated") > 100, "twice what the limit lets by")


@pytest.mark.advice("offload-counter")
def test_a_counter_misses_what_is_offloaded(shared_bare_lab: Lab) -> None:
    lab = shared_bare_lab
    rule = "ip daddr @siit0_to counter xlat to siit0 offload"
    with translating(lab, rule, codes="offload-counter") as node, closing(Flow(lab)) as flow:
        node.learn(flow)
        before = counted(lab)
        for _ in range(20):
            flow.exchange()
        assert counted(lab) == before


def counted(lab: Lab, *chain: str) -> int:
    listed = json.loads(lab.translator.run(["nft", "--json", "list", "chain", *(chain or ("ip", "t", "c"))]).stdout)
    rules = [one["rule"]["expr"] for one in listed["nftables"] if "rule" in one]
    return sum(part["counter"]["packets"] for expressions in rules for part in expressions if "counter" in part)


@pytest.mark.advice("offload")
def test_behind_the_stamp_nothing_is_offloaded(shared_bare_lab: Lab) -> None:
    lab = shared_bare_lab
    rule = "ip daddr @siit0_to xlat to siit0 offload"
    with translating(lab, rule, codes="offload", priority=-440) as node, closing(Flow(lab)) as flow:

        def crossed() -> bool:
            flow.exchange()
            return node.counted("translated", "6to4") > 20

        wait_for(crossed, "datagrams that cross 6to4 in the kernel")
        assert node.counted("translated", "4to6") == 0


@pytest.mark.advice("passed-over")
def test_a_chain_of_others_that_comes_first_is_named_and_does_not_see_what_is_offloaded(shared_bare_lab: Lab) -> None:
    lab = shared_bare_lab
    other = "table inet early { chain pre { type filter hook prerouting priority -500; counter; }; }"
    lab.translator.run(["nft", *f"add {other}".split()])
    try:
        with translating(lab, OFFLOADED) as node, closing(Flow(lab)) as flow:
            told = "inet early pre (prerouting, priority -500)"
            assert f"offload: these chains see no packets of known pairs: {told}" in node.process.output()
            (named,) = (
                one for one in lab.translator.call(check_live, rules(lab, OFFLOADED)) if one.code == "passed-over"
            )
            assert named.what == f"{told} sees packets before the rules of siit0, which say offload"
            findings = lab.translator.call(lambda: list(doctor._neighbours()))
            assert [one.found for one in findings if one.what == "chains ahead of offload"] == [told]
            node.learn(flow)
            before = counted(lab, "inet", "early", "pre")
            for _ in range(20):
                flow.exchange()
            assert counted(lab, "inet", "early", "pre") - before == 40  # what comes in by siit0, translated
    finally:
        lab.translator.run(["nft", "delete", "table", "inet", "early"])
