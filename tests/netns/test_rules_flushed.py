"""Rules that somebody else removes: noticed within a second, told, repaired; and nothing leaks meanwhile.

host4 --- router4 --- translator --- router6 --- host6
"""

import socket
import time
from collections.abc import Iterator

import pytest

from nfxlat.lab.capture import Capture
from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST6_4, HOST6_EAM4, Lab
from nfxlat.nft.kernel import compat, load
from nfxlat.service.repairs import REPAIRS

pytestmark = pytest.mark.quiet

FIREWALL = """\
flush ruleset
table inet firewall {
    chain input {
        type filter hook input priority filter; policy accept;
        ct state invalid drop
    }
}
"""


def nft(lab: Lab, commands: str) -> None:
    with lab.translator.entered():
        load.run(commands)


def rules_of(lab: Lab) -> str:
    return lab.translator.run(["nft", "list", "ruleset"]).stdout


@pytest.mark.parametrize("commands", ["flush ruleset", FIREWALL], ids=["flush", "a firewall that starts anew"])
def test_a_flushed_ruleset_is_repaired(lab: Lab, process: TranslatorProcess, commands: str) -> None:
    before = rules_of(lab)
    nft(lab, commands)
    process.told("was removed by another program; repaired")
    assert lab.host4.call(ping, HOST6_EAM4).ok
    assert before in rules_of(lab) or set(before.splitlines()) <= set(rules_of(lab).splitlines())
    assert "table inet firewall" in rules_of(lab) or commands == "flush ruleset"
    assert process.summary()["rules"] == {"lost": 1, "repaired": 1}


def test_tables_that_are_made_dormant_are_woken(lab: Lab, process: TranslatorProcess) -> None:
    """All rules are there, and see no packet."""
    nft(lab, "add table ip nfxlat_siit0 { flags dormant; }; add table ip6 nfxlat_siit0 { flags dormant; }")
    process.told("was made dormant by another program; repaired")
    assert "dormant" not in rules_of(lab)
    assert lab.host4.call(ping, HOST6_EAM4).ok


@pytest.mark.parametrize("what", ["rules", "routes"])
def test_nothing_leaves_untranslated_between_flush_and_repair(lab: Lab, process: TranslatorProcess, what: str) -> None:
    """Under traffic, again and again; the translator could send the originals on, since it has a default route."""
    lab.translator.ip("route add default via 192.0.2.17")
    lab.translator.ip("-6 route add default via 2001:db8:1::2")
    with lab.host4.entered():
        source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with source, Capture(lab.router4, "to-x") as side4, Capture(lab.router6, "to-x") as side6:
        for round_ in range(1, REPAIRS):
            if what == "rules":
                nft(lab, "flush ruleset")
            else:
                lab.translator.ip("route flush proto 118")
            while sum("repaired" in line for line in process.output()) < round_:
                source.sendto(b"original", (HOST6_4, 9))
                time.sleep(0.001)
        source.sendto(b"the last one", (HOST6_4, 9))
        side6.wait(lambda packet: b"the last one" in packet)
        out4 = [packet for packet in side4.drain() if b"original" in packet and packet[0] >> 4 == 4 and packet[9] == 17]
        out6 = [packet for packet in side6.drain() if b"original" in packet and (packet[0] >> 4, packet[6]) != (6, 58)]
    sent = len(out4)
    assert 0 < sent >= len(out6)
    # what the node sends back would have one hop less: each original was seen once only, on its way in
    assert {packet[8] for packet in out4} == {63}
    assert all(packet[0] >> 4 == 6 for packet in out6)


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ("delete table ip nfxlat_siit0", "rules of chain ip nfxlat_siit0 output, ip nfxlat_siit0 prerouting"),
        (
            "flush chain ip nfxlat_siit0 xlat_to_siit0_plain",
            "2 rules of chain ip nfxlat_siit0 xlat_to_siit0_plain were",
        ),
        ("flush set ip nfxlat_siit0 siit0_to", "elements of set ip nfxlat_siit0 siit0_to were changed"),
        (
            "delete element ip nfxlat_siit0 siit0_to { 203.0.113.2 }",
            "elements of set ip nfxlat_siit0 siit0_to were changed",
        ),
    ],
    ids=["table", "chain", "set", "element"],
)
def test_a_part_that_is_lost_comes_back(lab: Lab, process: TranslatorProcess, commands: str, words: str) -> None:
    before = rules_of(lab)
    nft(lab, commands)
    process.told(words)
    wait_for(lambda: sorted(rules_of(lab).splitlines()) == sorted(before.splitlines()), "the rules as they were")
    assert lab.host4.call(ping, HOST6_EAM4).ok
    assert process.summary()["rules"] == {"lost": 1, "repaired": 1}


def test_rules_that_others_add_are_left_alone(lab: Lab, process: TranslatorProcess) -> None:
    nft(lab, "add rule ip nfxlat_siit0 xlat_forward counter")
    nft(lab, "add table inet other")
    nft(lab, "delete table inet other")
    nft(lab, "flush ruleset ip6")  # the end of what is to be waited for
    process.told("; repaired")
    assert process.summary()["rules"] == {"lost": 1, "repaired": 1}
    assert "counter" in rules_of(lab)


def test_two_that_flush_each_other_do_not_go_on_for_ever(lab: Lab, process: TranslatorProcess) -> None:
    took = []
    for number in range(1, REPAIRS + 1):
        nft(lab, "flush ruleset")
        took.append(process.told("; repaired", number))
    assert min(took) < 1  # a busy machine may be slower, but not five times in a row
    nft(lab, "flush ruleset")
    process.told(f"for the {REPAIRS + 1}th time within a minute: not repaired")
    assert "nfxlat" not in rules_of(lab)
    assert process.summary()["rules"] == {"lost": REPAIRS + 1, "repaired": REPAIRS}


@pytest.mark.parametrize(
    "run_arguments", [("--model", "route"), ("--model", "device"), ("--workers", "2")], ids=["route", "device", "two"]
)
def test_other_models_and_more_workers_are_repaired_too(lab: Lab, process: TranslatorProcess) -> None:
    before = rules_of(lab)
    nft(lab, "flush ruleset")
    process.told("was removed by another program; repaired")
    assert lab.host4.call(ping, HOST6_EAM4).ok
    assert rules_of(lab) == before


@pytest.fixture
def own_rules(bare_lab: Lab) -> Iterator[TranslatorProcess]:
    """Without --setup, and with a rule of the operator's own."""
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, setup=False) as process:
        yield process


def test_without_setup_the_loss_of_the_rules_is_told(bare_lab: Lab, own_rules: TranslatorProcess) -> None:
    with bare_lab.translator.entered():
        load.run("table ip own {\nchain q {\ndrop\n}\n}")
        for number in (7, 8):
            if load.queue_expression_available():
                load.run(f"insert rule ip own q queue num {number}")
            else:
                compat.insert_queue_rule("ip", "own", "q", number, "own")
        wait_for(lambda: any("found rules" in line and "8" in line for line in own_rules.output()), "the rules")
        load.run("add table inet other")
        load.run("flush ruleset")
    own_rules.told("rules: no rule sends packets to queue 7 and 8 any more")
    assert own_rules.summary()["rules"] == {"lost": 1, "repaired": 0}
