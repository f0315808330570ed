"""What the kernel checks of a packet before it forwards, for rules that take packets before it looks.

    xlat_to_siit0_input    checks that rules can make; then to xlat_to_siit0. Where a statement's packets all come from
                           prerouting it leads here: the fib knows output interfaces there alone

- what comes in on an interface that is not in the domain's VRF is none of its; each packet of a VRF meets prerouting
  twice, the second time as one of the VRF's own interface (drivers/net/vrf.c)
- a frame to a link-layer broadcast or multicast address is never forwarded (RFC 1812 5.3.4; ip_forward.c,
  ip6_output.c): the statement's own rule has `meta pkttype host`, or else the guard
- what a bridge hands to iptables or nftables only because of br_netfilter, and passes on to somebody else, is not this
  node's: its frame's destination is not the bridge (br_netfilter_hooks.c makes all such packets PACKET_HOST)
- an interface with forwarding 0 forwards nothing (route.c, ip_route_input_slow)
- a source that fails the reverse-path check is dropped (fib_frontend.c, __fib_validate_source); IPv6 has no such check
- what an IPsec policy wants encrypted is not taken in plaintext (xfrm_policy.c, __xfrm_policy_check)

What the kernel drops by itself when it gets there returns to it, and has its counters and messages.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from nfxlat.nft.language.emit import Chain, Rule
from nfxlat.nft.language.sets import set_name
from nfxlat.nft.language.statement import TAKES
from nfxlat.terms import Family
from nfxlat.xlat.domain import Domain

Mode = Literal["off", "strict", "loose"]
FIB: dict[Mode, str] = {"strict": "fib saddr . iif oif missing", "loose": "fib saddr oif missing"}
FRAME = "meta pkttype host"  # a frame to this node alone


@dataclass(frozen=True, slots=True)
class Policy:
    """An IPsec policy for packets that come in, as far as plaintext is concerned: "pass", "drop", or "ipsec" where
    they must come out of a security association. `upper` matches protocol and ports, as nft has it."""

    source: IPv4Network | IPv6Network
    destination: IPv4Network | IPv6Network
    verdict: Literal["pass", "ipsec", "drop"]
    upper: str = ""

    @property
    def family(self) -> Family:
        return "ip" if self.source.version == 4 else "ip6"

    @property
    def selector(self) -> str:
        """What it is about, as matches of nft."""
        return f"{self.family} saddr {self.source} {self.family} daddr {self.destination}{self.upper}"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a host has set; empty: nothing is known of it.

    `reverse4` is how strict rp_filter is for interfaces that `unlike4` does not name; `closed4` are interfaces that do
    not forward IPv4; `bridges` are bridges with their link-layer addresses; `policies` are those of each direction
    ("fwd", "in"), in the order in which the kernel looks at them. `members` are the interfaces of the domain's VRF, and
    `own` this node's addresses in it; None: it has no VRF.
    """

    reverse4: Mode = "off"
    unlike4: tuple[tuple[str, Mode], ...] = ()
    closed4: tuple[str, ...] = ()
    bridges: tuple[tuple[str, str], ...] = ()
    policies: tuple[tuple[str, tuple[Policy, ...]], ...] = ()
    members: tuple[str, ...] | None = None
    own: tuple[str, ...] = ()


NO_INPUTS = Inputs()


def input_chain(guard: str) -> str:
    """The chain ahead of the chain `guard`."""
    return f"{guard}_input"


def input_chains(
    domain: Domain, direction: str, family: str, guard: str, inputs: Inputs, spared: frozenset[str]
) -> list[Chain]:
    """The chain ahead of `guard` in a table of `family`, with those that it needs; none if there is nothing to check.

    `spared` are guards that the statements do without (nft.language.implied).
    """
    ip = TAKES[direction]
    untranslated = _untranslated(domain, ip, spared, inputs)
    policies = _policy_chains(ip, guard, inputs, untranslated)
    jumps = (Rule(f"jump {one.name}", f"{guard}-ipsec-policies", "ipsec") for one in policies[:-1])
    rules = (*_rules(domain, ip, guard, inputs, untranslated), *jumps)
    if not rules:
        return []
    first = []
    if family == "inet":
        first.append(Rule(f"meta nfproto != {'ipv4' if ip == 'ip' else 'ipv6'} return", f"{guard}-input-other-family"))
    if "injected" not in spared and inputs.members is None:
        first.append(Rule(f'iifname "{domain.name}" return', f"{guard}-input-injected", "injected"))
    last = Rule(f"jump {guard}", f"{guard}-checked")
    return [Chain(input_chain(guard), (*first, *rules, last)), *policies]


def host_checks(domain: Domain, ip: str, inputs: Inputs) -> Iterator[Rule]:
    """What a packet of family `ip` (ip, ip6) is asked by its interface, each rule with its `why`."""
    yield from _rules(domain, ip, "", inputs, "")


def _rules(domain: Domain, ip: str, guard: str, inputs: Inputs, untranslated: str) -> Iterator[Rule]:
    if inputs.members is not None:
        others = f"iifname != {_names(inputs.members)} " if inputs.members else ""
        yield Rule(f"{others}return", f"{guard}-other-vrf", "vrf")
    if inputs.bridges:
        pairs = ", ".join(f'"{name}" . {address}' for name, address in inputs.bridges)
        text = f'meta iifkind "bridge" iifname . ether daddr != {{ {pairs} }} return'
        yield Rule(text, f"{guard}-bridged", "bridged")
    if ip == "ip" and inputs.closed4:
        yield Rule(f"iifname {_names(inputs.closed4)} return", f"{guard}-not-forwarding", "closed")
    for number, (interfaces, mode) in enumerate(_reverse_path(domain, ip, inputs)):
        comment = f"{guard}-reverse-path{f'-{number}' if number else ''}"
        yield Rule(f"{interfaces}{FIB[mode]}{untranslated} counter drop", comment, "reverse-path")


def _names(interfaces: Sequence[str]) -> str:
    quoted = (f'"{name}"' for name in interfaces)
    return f"{{ {', '.join(quoted)} }}"


def own_match(ip: str, side: str, inputs: Inputs, operator: Literal["", "!= "] = "") -> str:
    """Matches what has an address of this node in the VRF as `side` (saddr, daddr), or with an operator what has not;
    "" where there is none. The fib tells by the main table alone which are local (nft_fib_ipv4.c)."""
    wanted = [address for address in inputs.own if (":" in address) == (ip == "ip6")]
    return f"{ip} {side} {operator}{{ {', '.join(wanted)} }}" if wanted else ""


def _untranslated(domain: Domain, ip: str, spared: frozenset[str], inputs: Inputs) -> str:
    """Matches that let off what is not going to be translated."""
    local = " fib daddr type != local"
    if domain.vrf:
        local = f" {own_match(ip, 'daddr', inputs, '!= ')}".rstrip()
    matches = "" if "local" in spared else local
    if ip == "ip6" and "native" not in spared:
        matches += f" ip6 daddr != @{set_name(domain.name, 'native')}"
    return matches


def _reverse_path(domain: Domain, ip: str, inputs: Inputs) -> Iterator[tuple[str, Mode]]:
    """(match on the interface, mode) of each check."""
    wanted = domain.reverse_path
    if wanted in ("strict", "loose"):
        yield "", wanted
    elif wanted == "kernel" and ip == "ip":
        if inputs.reverse4 != "off":
            unlike = [name for name, _ in inputs.unlike4]
            yield f"iifname != {_names(unlike)} " if unlike else "", inputs.reverse4
        for mode in FIB:
            if named := [name for name, other in inputs.unlike4 if other == mode]:
                yield f"iifname {_names(named)} ", mode


def _policy_chains(ip: str, guard: str, inputs: Inputs, untranslated: str) -> list[Chain]:
    """A chain for each direction that has policies which refuse something, and last the one that they lead to. The
    first policy that a packet meets decides, so each ends its way here."""
    secured, found = f"{guard}_secured", []
    for way, policies in inputs.policies:
        rules: list[Rule] = []
        kept = 0  # rules up to the last that refuses something
        for policy in policies:
            if policy.family != ip:
                continue
            selector = policy.selector
            verdict = {"pass": "return", "ipsec": f"goto {secured}", "drop": "counter drop"}[policy.verdict]
            if policy.verdict == "drop":
                selector += untranslated
            rules.append(Rule(f"{selector} {verdict}", f"{guard}-ipsec-{way}-{len(rules)}"))
            kept = kept if policy.verdict == "pass" else len(rules)
        if kept:
            found.append(Chain(f"{guard}_ipsec_{way}", tuple(rules[:kept])))
    if found:
        rule = Rule(f"meta ipsec missing{untranslated} counter drop", f"{guard}-plaintext", "plaintext")
        found.append(Chain(secured, (rule,)))
    return found
