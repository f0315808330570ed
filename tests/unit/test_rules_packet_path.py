"""How many rules a packet passes up to its queue: each costs every packet.

The rules are walked as nft does: each in turn until one matches that ends the packet's way, `jump` and `goto` followed.
"""

from ipaddress import IPv4Network, IPv6Network
from itertools import pairwise

import pytest

from nfxlat.nft.language.builtin import compile_builtin
from nfxlat.nft.language.scan import scan
from nfxlat.nft.language.source import Source
from nfxlat.queues import Queues
from nfxlat.terms import Model, Role
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

DOMAIN = Domain(
    prefix6=IPv6Network("2001:db8:64::/96"),
    pool4=(IPv4Network("198.51.100.0/24"),),
    eamt=Eamt([(IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2"))]),
)
# of no packet that comes from outside and is to be translated
NEVER = ('iifname "siit0"', "meta mark", "siit0_native", "type local", "nfproto")
KINDS = {
    "tcp": ("udp", "icmp"),
    "udp": ("tcp", "priority", "icmp"),
    "stamped": ("tcp", "icmp"),
    "other": ("tcp", "udp"),
}


def passed(source: Source, family: str, chain: str, kind: str) -> list[str]:
    """The rules that a packet of a kind meets from the base chain on, the last being the one that queues it."""
    met: list[str] = []
    assert walk(source, (family, "nfxlat_siit0"), chain, (*NEVER, *KINDS[kind]), met), met
    return met


def walk(source: Source, table: tuple[str, str], chain: str, absent: tuple[str, ...], met: list[str]) -> bool:
    """Whether the packet's way ends here."""
    for rule in source.rules:
        if rule.chain.key != (*table, chain):
            continue
        text = " ".join(token.text for token in rule.tokens).partition(" comment ")[0]
        met.append(text)
        matches, _, verdicts = text.partition(" vmap ")
        if any(word in matches.partition("goto")[0] for word in absent):
            continue
        if "queue" in text.split():
            return True
        if verdicts or "goto" in text.split():
            words = text.replace(",", " ").split()
            target = next(after for word, after in pairwise(words) if word == "goto")
            return walk(source, table, target, absent, met)
        if "jump" in text.split() and walk(source, table, text.split()[-1], absent, met):
            return True
    return False


# (tcp, stamped UDP, UDP, other), and what the hand-written rules that these took the place of had
@pytest.mark.parametrize(
    ("role", "model", "family", "chain", "counts", "before"),
    [
        ("router", "hook", "ip", "prerouting", (6, 7, 8, 8), (7, 8, 9, 9)),
        ("router", "hook", "ip6", "prerouting", (7, 8, 9, 9), (8, 9, 10, 10)),
        ("router", "hook", "ip", "output", (6, 7, 8, 8), (6, 7, 8, 8)),
        ("router", "hook", "ip6", "output", (7, 8, 9, 9), (7, 8, 9, 9)),
        ("router", "route", "ip", "prerouting", (5, 6, 7, 7), (6, 7, 8, 8)),
        ("router", "route", "ip6", "prerouting", (6, 7, 8, 8), (6, 7, 8, 8)),
        ("host", "hook", "ip", "postrouting", (3, 4, 4, 4), (3, 4, 4, 4)),
        ("host", "hook", "ip6", "prerouting", (5, 6, 7, 7), (5, 6, 7, 7)),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_packet_passes_no_more_rules_than_before(
    role: Role, model: Model, family: str, chain: str, counts: tuple[int, ...], before: tuple[int, ...], workers: int
) -> None:
    source = scan(compile_builtin(DOMAIN, role, model, Queues(7, workers), native=True).text, "rules")
    found = [len(passed(source, family, chain, kind)) for kind in ("tcp", "stamped", "udp", "other")]
    if workers == 1:
        assert tuple(found) == counts
    extra = (0, 0, 0, 1) if workers > 1 else (0, 0, 0, 0)  # of UDP that is not stamped
    assert all(now <= then + more for now, then, more in zip(found, before, extra, strict=True)), found


@pytest.mark.parametrize("workers", [1, 3])
def test_each_kind_of_packet_ends_in_its_queue(workers: int) -> None:
    source = scan(compile_builtin(DOMAIN, "router", "hook", Queues(20, workers), native=True).text, "rules")
    for family in ("ip", "ip6"):
        for kind, queue in (("tcp", 21), ("stamped", 21), ("udp", 20), ("other", 20)):
            assert passed(source, family, "prerouting", kind)[-1] == f"queue num {queue}"
