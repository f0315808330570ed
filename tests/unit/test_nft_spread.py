"""Rules for several workers: every packet has exactly one place to go to, and a flow always the same."""

import re

import pytest

from nfxlat import config
from nfxlat.lab import topology
from nfxlat.nft.language import templates
from nfxlat.nft.language.spread import chain_of, spread

DOMAIN = config.parse(topology.DOMAIN, "lab").domain()


@pytest.mark.parametrize("role", ["router", "host"])
def test_one_worker_has_the_rules_as_they_are(role: str) -> None:
    assert templates.rules(DOMAIN, role, 1) == templates.rules(DOMAIN, role)


@pytest.mark.parametrize("role", ["router", "host"])
@pytest.mark.parametrize("workers", [2, 5])
def test_each_worker_has_its_two_queue_chains_in_each_family(role: str, workers: int) -> None:
    for family in templates.rules(DOMAIN, role, workers).split("table ip6 ", 1):
        for worker in range(workers):
            for chain in ("queue_plain", "queue_tcp"):
                block = re.findall(rf"\tchain {chain_of(chain, worker)} \{{\n\t\tdrop comment .*\n\t\}}\n", family)
                assert len(block) == 1


def test_tcp_and_udp_go_by_ports_and_all_else_to_the_first_worker() -> None:
    lines = [line.strip() for line in templates.rules(DOMAIN, "router", 2).splitlines() if "goto queue" in line]
    unfragmented = "ip frag-off & 0x3fff == 0"
    by_tcp = "jhash tcp sport . tcp dport mod 2 vmap { 0 : goto queue_tcp, 1 : goto queue_tcp_1 }"
    by_udp = by_tcp.replace("tcp sport . tcp dport", "udp sport . udp dport")
    assert [line.partition(" comment ")[0] for line in lines[:4]] == [
        f"ip protocol tcp {unfragmented} {by_tcp}",
        f"meta priority & 0xffff0000 == 0x6e670000 ip protocol udp {unfragmented} {by_udp}",
        f"ip protocol udp {unfragmented} {by_udp.replace('queue_tcp', 'queue_plain')}",
        "goto queue_plain",
    ]
    assert len(lines) == 8
    assert all(" frag-off " in line for line in lines[:3])
    assert all(line.startswith(("ip6 nexthdr ", "meta priority ", "goto queue_plain ")) for line in lines[4:])


def test_comments_stay_unique() -> None:
    comments = re.findall(r'comment "([^"]+)"', templates.rules(DOMAIN, "router", 3))
    assert len(set(comments)) == len(comments)


def test_rules_that_name_no_queue_are_left_alone() -> None:
    assert (
        spread("table ip t {\n\tchain c {\n\t\taccept\n\t}\n}\n", 4)
        == "table ip t {\n\tchain c {\n\t\taccept\n\t}\n}\n"
    )
