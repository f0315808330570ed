"""Rules put over others in place are what they would be, had they been loaded where nothing was."""

import random
import re
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

import pytest

from nfxlat.lab.netns import Namespace
from nfxlat.nft.kernel import load, ruleset
from nfxlat.nft.language.compile import compile_rules
from nfxlat.nft.language.program import program
from nfxlat.xlat.domain import Domain

pytestmark = pytest.mark.netns

RED = Domain("red", prefix6=IPv6Network("2001:db8:64::/96"), pool4=(IPv4Network("198.51.100.0/24"),))
BLUE = Domain("blue", prefix6=IPv6Network("2001:db8:65::/96"), pool4=(IPv4Network("203.0.113.0/24"),))
FILE = "/lab/mine.nft"
LOADS = 40
RULES = (
    "tcp dport 25 drop",
    "ip saddr @friends accept",
    "ip saddr @friends counter",
    "ip saddr vmap @known",
    "counter name seen",
    "jump aside",
    "ip daddr @red_to xlat to red",
    "ip daddr 198.51.100.0/24 xlat to red",
    "ip daddr @blue_to xlat to blue",
)


def made(rng: random.Random) -> str:
    """One of many files with the same objects: elements, rules, base chains and their policies differ."""
    friends = rng.choice(("$hosts", "$hosts", "{ 192.0.2.1, 192.0.2.2 }", "{ 192.0.2.3 }", "{ 192.0.2.3 }", ""))
    pairs = [f"192.0.2.{n} : {rng.choice(('drop', 'accept', 'jump aside'))}" for n in rng.sample((1, 2, 3), 2)]
    elements = f"elements = {{ {', '.join(pairs)} }}" if rng.random() < 0.8 else ""
    base, policy = rng.choice(("prerouting", "prerouting", "early")), rng.choice(("accept", "drop"))
    chains = [_chain(base, f"prerouting priority -450; policy {policy};", [*_some(rng), RULES[7]])]
    if rng.random() < 0.5:
        chains.append(_chain("output", f"output priority -450; policy {rng.choice(('accept', 'drop'))};", _some(rng)))
    return f"""define hosts = {{ 192.0.2.{rng.randrange(7, 9)} }}
table ip mine {{
	set friends {{
		type ipv4_addr
		{f"elements = {friends}" if friends else ""}
	}}
	map known {{ type ipv4_addr : verdict; {elements} }}
	counter seen {{ }}
	chain aside {{
		ip ttl {rng.randrange(3)} drop
	}}
{"".join(chains)}}}
"""


def _some(rng: random.Random) -> list[str]:
    return rng.sample(RULES, rng.randrange(1, 4))


def _chain(name: str, hook: str, rules: list[str]) -> str:
    lines = "\n\t\t".join((f"type filter hook {hook}", *rules))
    return f"\tchain {name} {{\n\t\t{lines}\n\t}}\n"


def install(text: str) -> ruleset.How:
    compiled = compile_rules(program(text, FILE, (RED, BLUE)), native=ruleset.native())
    return ruleset.install(compiled, FILE)


def listed() -> dict[tuple[str, str], str]:
    """What each table holds, less counts, marks, and what may stay and does nothing: generated sets, and base chains
    without rules that accept."""
    text = re.sub(r"packets \d+ bytes \d+", "", load.ruleset())
    found = {}
    for table, body in re.findall(r"^table (\S+ \S+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        for head, inside in re.findall(r"^\t(\S[^\n]*) \{\n(.*?)^\t\}", body, re.MULTILINE | re.DOTALL):
            words = " ".join(inside.split())
            empty = re.fullmatch(r"type filter hook [^;]*; policy accept;", words)
            if not empty and not re.match(r"chain nfxlat_|set (red|blue)_", head):
                found[table, head] = words
    return found


@pytest.fixture
def node() -> Iterator[Namespace]:
    with Namespace("place") as namespace, namespace.entered():
        yield namespace


@pytest.mark.parametrize("seed", range(2))
def test_a_load_in_place_is_as_a_first_load(node: Namespace, seed: int) -> None:
    rng = random.Random(seed)
    in_place = 0
    former = made(rng)
    for _ in range(LOADS):
        load.run("flush ruleset")
        text = made(rng)
        install(former)
        how, there = install(text), listed()
        load.run("flush ruleset")
        install(text)
        assert there == listed(), f"{how}\n{former}\n{text}"
        in_place += how == "in place"
        former = text
    assert in_place > LOADS // 4
