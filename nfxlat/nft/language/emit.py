"""Sets, chains and rules as values, and the one place where they become nft text.

A rule's comment identifies it: what is loaded is compared with what was meant by table, chain and comment. `why` is a
key of `WHY`, the explanations that `rules compile --explain` and the files of rules/ carry.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import wrap

from nfxlat.xlat import prefixes
from nfxlat.xlat.prefixes import Span

WIDTH = 110

WHY = {
    "injected": "packets that nfxlat has translated come in here; taken again by their own domain they would loop",
    "injected-vrf": "packets that nfxlat has translated come in here, and then as the VRF's, as all packets of a VRF "
    "do; taken again by their own domain they would loop",
    "raw": "packets that nfxlat sends by raw socket carry this mark up to the chain xlat_sent",
    "local": "packets to addresses of this node are not translated",
    "forged": "from outside, with an address of this node as source: after injection nothing would check that",
    "native": "never translated: IPv6 hosts in pool4 inside prefix6, and link scope (neighbour discovery)",
    "frame": "a frame to a link-layer broadcast or multicast address is for nobody to forward (RFC 1812 5.3.4)",
    "vrf": "only what comes in on an interface of the domain's VRF is its to translate",
    "bridged": "with br_netfilter a bridge shows what it passes on to others: that is not for this node",
    "closed": "an interface with forwarding 0: what comes in there is left to the kernel, which does not forward it",
    "reverse-path": "as rp_filter, or reverse-path in the configuration, has it for the interface: no route leads back",
    "ipsec": "IPsec policies, in the kernel's order: the first that a packet meets decides",
    "plaintext": "its policy wants it to come out of a security association",
    "tcp": "TCP may arrive as superframes, and has a queue of its own; what is longer than a message of that (BIG TCP) "
    "goes to the plain one, where the kernel cuts it into segments, and so does what has CWR: the kernel alone knows "
    "whether that is every segment's",
    "udp": "the stamp says that this is one datagram, a fragment, or a superframe of datagrams of known size",
    "offload-pair": "the decision may be repeated at ingress, in the kernel, for all packets of this interface between "
    "these two addresses: rules on the way here look at nothing else",
    "offload-flow": "the decision may be repeated at ingress, in the kernel, for all packets of this flow: rules on "
    "the way here look at its protocol or ports",
    "workers": "each flow of TCP or UDP goes to one worker, by its ports, and by the same seed in each rule; fragments "
    "and packets without ports go to the first",
    "pairs": "all packets of a pair of hosts go to one worker, by the same seed in each rule",
    "queue": "no `bypass`, and a drop behind the queue: without a listener nothing leaks untranslated",
    "untracked": "packets that nfxlat has translated come in here; conntrack would see half of each flow in each "
    "family, and call it invalid",
    "fragment": "fragments that no rule has taken so far are put together at -400; what they become has the priority "
    "of the first, and that tells nfxlat to fragment the result anew",
    "defragmentation": "nothing jumps here: that such a rule is there turns defragmentation on, without conntrack",
    "unstamped": "what was put together and is not for nfxlat gets priority 0 back",
    "stamped": "the stamp in the priority is only for nfxlat: packets that were not queued get priority 0 back",
    "sent": "the mark is no longer needed: it must not reach fwmark rules or ICMP errors (fwmark_reflect)",
    "forward": "only packets that no rule took are routed into the device; an answer is better than silence",
    "output": "this node's own packets, and its kernel's ICMP errors about translated packets: they go to translated "
    "addresses and never pass prerouting",
    "owner": "nothing jumps here: the name tells which tables were loaded together",
    "output-errors": "the rules take some of this node's packets, but its kernel's ICMP errors about translated "
    "packets must always be taken",
    "output-host": "what the kernel says of this host's translated packets, such as that they are too big, goes to the "
    "address that they come from, and so into the device",
}


@dataclass(frozen=True, slots=True)
class Style:
    """How to write it. `closed`: without queue rules, for the compat target; `explain`: say why each rule is there;
    `over`: to be put over a former load, whose tables and queue chains stay."""

    closed: bool = False
    explain: bool = False
    over: bool = False
    elements: bool = True  # False: the structure alone, whatever the domains' mappings are


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its matches and verdict, the comment that identifies it, and why it is there."""

    text: str
    comment: str
    why: str = ""

    def lines(self, style: Style) -> list[str]:
        return [*why_lines(self.why, style), f'{self.text} comment "{self.comment}"']


@dataclass(frozen=True, slots=True)
class Queued:
    """The rule that queues to number `queue`: left out of a closed chain."""

    queue: int
    comment: str
    why: str = "queue"

    def lines(self, style: Style) -> list[str]:
        text = [] if style.closed else [f'queue num {self.queue} comment "{self.comment}"']
        return [*why_lines(self.why, style), *text]


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; `base` is what makes it a base chain, such as "prerouting priority -449"; `note` its own comment."""

    name: str
    rules: tuple[Rule | Queued, ...] = ()
    base: str = ""
    note: str = ""
    why: str = ""

    def lines(self, style: Style) -> list[str]:
        body = [f"type filter hook {self.base}; policy accept;"] if self.base else []
        body += why_lines(self.why, style)
        body += [f'comment "{self.note}"'] if self.note else []
        if not (style.over and any(isinstance(rule, Queued) for rule in self.rules)):
            body += [line for rule in self.rules for line in rule.lines(style)]
        return [f"chain {self.name} {{", *(f"\t{line}" for line in body), "}"]


@dataclass(frozen=True, slots=True)
class GeneratedSet:
    """A set of addresses that are `bits` (32, 128) wide, and what is in it."""

    name: str
    bits: int
    spans: list[Span]

    def lines(self, style: Style) -> list[str]:
        """As nft has it; without its elements where the structure alone is asked for."""
        lines = [f"set {self.name} {{", f"\ttype ipv{4 if self.bits == 32 else 6}_addr", "\tflags interval"]
        lines.append("\tauto-merge")
        if self.spans and style.elements:  # nft has no empty list
            lines.append(f"\telements = {{ {', '.join(prefixes.span_texts(self.spans, self.bits))} }}")
        return [*lines, "}"]


Item = Chain | GeneratedSet


@dataclass(frozen=True, slots=True)
class Table:
    """A table of its own, which takes the place of one of that name."""

    family: str
    name: str
    items: tuple[Item, ...]

    def lines(self, style: Style) -> list[str]:
        body = [f"\t{line}" if line else "" for line in item_lines(self.items, style)]
        head = [] if style.over else replaced(self.family, self.name)
        return [*head, f"table {self.family} {self.name} {{", *body, "}"]


def item_lines(items: Iterable[Item], style: Style) -> list[str]:
    """Sets and chains with an empty line between any two."""
    lines: list[str] = []
    for item in items:
        lines += ([""] if lines else []) + item.lines(style)
    return lines


def replaced(family: str, name: str) -> list[str]:
    """What takes a table away whether it is there or not."""
    return [f"table {family} {name}", f"delete table {family} {name}"]


def why_lines(key: str, style: Style) -> list[str]:
    """The explanation as comments; none unless asked for."""
    return [f"# {line}" for line in wrap(WHY.get(key, ""), WIDTH)] if style.explain else []
