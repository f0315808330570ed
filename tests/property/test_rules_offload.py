"""What `offload` is allowed for: all packets of one pair, or of one flow, get to the statement or none, and none that
does is missing from a counter or from the log.

Rules are made up, and what a packet meets is worked out from what was made up, not from their text.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from itertools import product, takewhile
from typing import NamedTuple

import pytest

from nfxlat.nft.language.program import program
from nfxlat.xlat.domain import Domain

SIIT0 = Domain(prefix6=IPv6Network("2001:db8:64::/96"), pool4=(IPv4Network("198.51.100.0/24"),))
RULESETS = 4000


class Packet(NamedTuple):
    interface: str
    source: int  # last octet: 192.0.2.x
    protocol: int  # 1, 6, 17
    port: int  # of the destination
    ttl: int


PACKETS = [Packet(*one) for one in product(("eth0", "eth1"), (1, 2), (1, 6, 17), (25, 80), (5, 64))]
TAKEN = [packet for packet in PACKETS if packet.protocol != 1]
Match = tuple[str, Callable[[Packet], bool]]


@dataclass
class Rule:
    """Matches and statements in their order; `leads` are the verdicts by the source's last octet, None by any."""

    matches: list[Match]
    leads: dict[int | None, str]
    text: str


DEFINES = """define web = 80
define ports = { 25, 80 }
define both = { tcp, udp }
define one = 192.0.2.1
define sub = deep
"""
MATCHES: list[Match] = [
    ("ip saddr 192.0.2.1", lambda p: p.source == 1),
    ("ip saddr $one", lambda p: p.source == 1),
    ("ip saddr != 192.0.2.1", lambda p: p.source != 1),
    ("ip saddr & 0.0.0.1 == 0.0.0.1", lambda p: p.source & 1 == 1),
    ("ip saddr @hosts", lambda p: p.source == 2),
    ('iifname "eth0"', lambda p: p.interface == "eth0"),
    ('iifname "eth*"', lambda p: True),
    ('iifname != { "eth1", "eth2" }', lambda p: p.interface == "eth0"),
    ('iifname . ip saddr { "eth0" . 192.0.2.1 }', lambda p: p[:2] == ("eth0", 1)),
    ("tcp dport 80", lambda p: p.protocol == 6 and p.port == 80),
    ("tcp dport $web", lambda p: p.protocol == 6 and p.port == 80),
    ("udp dport != $ports", lambda p: False),
    ("th dport 1-79", lambda p: p.protocol != 1 and p.port == 25),
    ("meta l4proto tcp", lambda p: p.protocol == 6),
    ("meta l4proto != tcp", lambda p: p.protocol != 6),
    ("meta l4proto 1 - 6", lambda p: p.protocol <= 6),
    ("meta l4proto 2|4", lambda p: p.protocol == 6),
    ("meta l4proto $both", lambda p: p.protocol != 1),
    ("ip protocol icmp", lambda p: p.protocol == 1),
    ("ip protocol { 1, 47 }", lambda p: p.protocol == 1),
    ("icmp type echo-request", lambda p: p.protocol == 1),
    ("meta l4proto . th dport { tcp . 80, udp . 25 }", lambda p: (p.protocol, p.port) in ((6, 80), (17, 25))),
    ("ip ttl 5", lambda p: p.ttl == 5),
    ("ip ttl != 5", lambda p: p.ttl != 5),
    ("ip frag-off & 0x3fff == 0", lambda p: True),
    ("ip frag-off & 0x1fff != 0", lambda p: False),
    ("meta nfproto ipv6", lambda p: False),
    ("meta protocol ip", lambda p: True),
    ("fib daddr type unicast", lambda p: True),
    ("counter", lambda p: True),
    ("counter name every", lambda p: True),
    ('log prefix "x"', lambda p: True),
]
SEEING = {"counter", "counter name every", 'log prefix "x"'}
CHAINS = ("early", "main", "sub", "deep")
CALLS = {"early": ("sub", "deep"), "main": ("sub", "deep"), "sub": ("deep",), "deep": ()}
BASES = {"early": -460, "main": -450}
XLAT = "xlat to siit0 offload"


def made(rng: random.Random) -> dict[str, list[Rule]]:
    """Chains with rules, one of which ends in the statement."""
    found = {chain: [_rule(rng, chain) for _ in range(rng.randrange(4))] for chain in CHAINS}
    chain = rng.choice(CHAINS[1:])
    matches = rng.sample(MATCHES, rng.randrange(3))
    statement = Rule(matches, {None: XLAT}, f"{_text(matches)} ip daddr 198.51.100.0/24 {XLAT}")
    found[chain].insert(rng.randrange(len(found[chain]) + 1), statement)
    if chain != "main":
        matches = rng.sample(MATCHES, rng.randrange(2))
        found["main"].append(Rule(matches, {None: f"jump {chain}"}, f"{_text(matches)} jump {chain}"))
    return found


def _rule(rng: random.Random, chain: str) -> Rule:
    matches = rng.sample(MATCHES, rng.randrange(3))
    verdicts = [
        "accept",
        "drop",
        "return",
        "continue",
        *(f"{way} {to}" for way in ("jump", "goto") for to in CALLS[chain]),
    ]
    if rng.random() < 0.2:
        leads: dict[int | None, str] = {octet: rng.choice(verdicts) for octet in rng.sample((1, 2), rng.choice((1, 2)))}
        pairs = ", ".join(f"192.0.2.{octet} : {verdict}" for octet, verdict in leads.items())
        return Rule(matches, leads, f"{_text(matches)} ip saddr vmap {{ {pairs} }}")
    verdict = rng.choice(verdicts)
    written = verdict.replace("deep", "$sub") if rng.random() < 0.3 else verdict
    return Rule(matches, {None: verdict}, f"{_text(matches)} {written}")


def _text(matches: list[Match]) -> str:
    return " ".join(text for text, _ in matches)


def text_of(chains: dict[str, list[Rule]]) -> str:
    lines = [
        DEFINES,
        "table inet t {",
        "\tcounter every {\n\t}",
        "\tset hosts { type ipv4_addr; elements = { 192.0.2.2 }; }",
    ]
    for name in reversed(CHAINS):
        lines.append(f"\tchain {name} {{")
        if name in BASES:
            lines.append(f"\t\ttype filter hook prerouting priority {BASES[name]}; policy accept;")
        lines += [f"\t\t{rule.text}" for rule in chains[name]] + ["\t}"]
    return "\n".join((*lines, "}", ""))


def met(chains: dict[str, list[Rule]], packet: Packet) -> frozenset[str] | None:
    """Which of `SEEING` a packet meets that gets to the statement; None: it does not get there."""
    seen: set[str] = set()
    for base in BASES:
        end = _walk(chains, base, packet, seen)
        if end == XLAT:
            return frozenset(seen)
        if end == "drop":
            break
    return None


def _walk(chains: dict[str, list[Rule]], name: str, packet: Packet, seen: set[str]) -> str:
    """How a packet leaves a chain: "accept", "drop", the statement, or "" for back to where it was called."""
    for rule in chains[name]:
        passed = list(takewhile(lambda one: one[1](packet), rule.matches))
        seen |= {text for text, _ in passed} & SEEING
        if len(passed) < len(rule.matches):
            continue
        verdict = rule.leads.get(packet.source, rule.leads.get(None, "continue"))
        way, _, to = verdict.partition(" ")
        if verdict in ("accept", "drop", XLAT):
            return verdict
        if verdict == "return":
            return ""
        if way in ("jump", "goto") and ((end := _walk(chains, to, packet, seen)) or way == "goto"):
            return end
    return ""


def decided(chains: dict[str, list[Rule]], by: str) -> Iterator[set[frozenset[str] | None]]:
    """What becomes of the packets of each pair, or flow."""
    keys: dict[tuple[object, ...], set[frozenset[str] | None]] = {}
    for packet in TAKEN:
        key = packet[:2] if by == "pair" else packet[:4]
        keys.setdefault(key, set()).add(met(chains, packet))
    yield from keys.values()


@pytest.mark.parametrize("seed", range(4))
def test_all_packets_of_what_is_repeated_are_decided_alike(seed: int) -> None:
    rng = random.Random(seed)
    seen = {"pair": 0, "flow": 0, "": 0}
    for _ in range(RULESETS // 4):
        chains = made(rng)
        text = text_of(chains)
        (statement,) = program(text, "x.nft", (SIIT0,)).statements
        repeated = statement.repeated
        seen["" if repeated.faults else repeated.by] += 1
        if not repeated.faults:
            told = {"counter"} if repeated.counted else set()
            for found in decided(chains, repeated.by):
                assert len({one is None for one in found}) == 1, text
                assert all(one is None or one <= told for one in found), text
    assert min(seen.values()) > RULESETS // 40, seen  # neither all refused, nor all accepted
