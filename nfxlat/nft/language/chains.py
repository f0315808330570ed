"""What the `xlat` statement needs beside itself, as nft text, and why.

Into each table that holds a statement, since nft cannot jump from one table to another:

    chain xlat_to_siit0        guards; then to one of the two that follow. The statement becomes a jump here, so that a
                               packet that the guards let off goes on behind the statement
    chain xlat_to_siit0_tcp    queue, and behind it a drop: what nobody takes does not leak
    chain xlat_to_siit0_plain

For each domain, whatever the rules select, a table of its own in each family (`xlat_siit0`): no conntrack for what
comes back from the domain device, no stamp and no mark left over, the kernel's own ICMP errors, no way into the device.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from nfxlat.nft.language import sets
from nfxlat.nft.language.sets import GeneratedSet
from nfxlat.nft.language.statement import TAKES
from nfxlat.nft.language.templates import INJECTED_MARK
from nfxlat.terms import Role
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.special import MARTIANS4, MARTIANS6

LINK_SCOPE6 = "{ fe80::/10, ff01::/16, ff02::/16 }"
TCP = {
    "ip": "ip protocol tcp ip frag-off & 0x3fff == 0",
    "ip6": "ip6 nexthdr tcp",  # a fragment's first Next Header is 44
}
UDP = {
    "ip": "meta priority & 0xffff0000 == 0x6e670000 ip protocol udp ip frag-off & 0x3fff == 0",
    "ip6": "meta priority & 0xffff0000 == 0x6e670000 ip6 nexthdr udp",
}
ERRORS = {
    "ip": "icmp type { destination-unreachable, time-exceeded, parameter-problem }",
    "ip6": "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }",
}
REJECT = {"ip": "icmp type host-unreachable", "ip6": "icmpv6 type no-route"}
WIDTH = 110
ROUTES_SHOWN = 16

WHY = {
    "injected": "what nfxlat has translated comes in here; taken again by its own domain it would go in circles",
    "raw": "what nfxlat sends through a raw socket bears this mark up to the chain `sent`",
    "local": "an address of this node stays its own",
    "forged": "from outside, with this node's address as source: once injected, nothing checks that any more",
    "martians": "raw sockets and loopback skip the kernel's check, so a missed one reaches services bound to loopback",
    "link": "neighbour discovery must live",
    "native": "pool4 inside prefix6: these are IPv6 hosts, reached without translation",
    "tcp": "unfragmented TCP may come as superframes, so it has a queue of its own",
    "udp": "the stamp tells that this is one datagram, or a row of datagrams of known size",
    "queue": "no `bypass`, and a drop behind it: without a listener nothing leaks untranslated",
    "untracked": "conntrack would see one half of each flow in each family, and call it invalid",
    "stamped": "the stamp in the priority is for nfxlat alone: what was not queued gets its 0 back",
    "sent": "the mark has done its work: it reaches no fwmark rule and no ICMP error (fwmark_reflect)",
    "forward": "only what no rule took is ever routed into the device; an answer is better than silence",
    "output": "this node's own packets, and its kernel's ICMP errors about translated packets, which go to a "
    "translated address and never pass prerouting",
    "owner": "nothing leads here: by its name `unload` knows the tables that came from this file",
    "output-errors": "the rules choose among this node's packets, but its kernel's ICMP errors about translated "
    "packets must be taken in any case",
}


@dataclass(frozen=True, slots=True)
class Style:
    """How to write it: `queues` of each domain's name (None: closed, as for the compat target), `explain` why."""

    queues: dict[str, int] | None
    explain: bool = False
    owner: str = ""  # name of the chain that marks a table as loaded from one file
    origin: str = ""  # that file's name
    elements: bool = True  # False: the structure alone, whatever the domains' mappings are


@dataclass(frozen=True, slots=True)
class QueueChain:
    """A chain that holds a queue rule, `offset` being the queue's distance from the domain's first one."""

    family: str
    table: str
    chain: str
    domain: str
    offset: int


def guard_chain(domain: Domain, direction: str) -> str:
    return f"xlat_{direction}_{domain.name}"


def own_table(domain: Domain) -> str:
    return f"xlat_{domain.name}"


def queue_chains(family: str, table: str, domain: Domain, direction: str) -> list[QueueChain]:
    guard = guard_chain(domain, direction)
    return [QueueChain(family, table, f"{guard}{kind}", domain.name, n) for n, kind in enumerate(("_plain", "_tcp"))]


def statement_chains(domain: Domain, direction: str, family: str, hooks: Iterable[str], style: Style) -> list[str]:
    """The lines of the chains that a statement jumps to, in a table of `family`, reached from `hooks`."""
    guard = guard_chain(domain, direction)
    lines = _chain(guard, _guards(domain, direction, family, set(hooks), style))
    for kind, offset in (("plain", 0), ("tcp", 1)):
        body = list(_why("queue", style))
        if style.queues is not None:
            number = style.queues[domain.name] + offset
            body.append(f'queue num {number} comment "{guard}-queue-{kind}"')
        body.append(f'drop comment "{guard}-closed-{kind}"')
        lines += ["", *_chain(f"{guard}_{kind}", body)]
    return lines


def _guards(domain: Domain, direction: str, family: str, hooks: set[str], style: Style) -> Iterator[str]:
    ip, name = TAKES[direction], guard_chain(domain, direction)
    inbound = bool(hooks & {"prerouting", "output"})

    def rule(text: str, label: str) -> str:
        return f'{text} comment "{name}-{label}"'

    if family == "inet":
        yield rule(f"meta nfproto != {'ipv4' if ip == 'ip' else 'ipv6'} return", "other-family")
    yield from _why("injected", style)
    yield rule(f'iifname "{domain.name}" return', "injected")
    if "output" in hooks:
        yield from _why("raw", style)
        yield rule(f"meta mark {INJECTED_MARK:#x} return", "sent-by-nfxlat")
    if ip == "ip6":
        yield from _why("link", style)
        yield rule(f"ip6 daddr {LINK_SCOPE6} return", "link-scope")
    if native := prefixes.texts(prefixes.native6(domain)) if ip == "ip6" else []:
        yield from _why("native", style)
        yield rule(f"ip6 daddr {{ {', '.join(native)} }} return", "native")
    if inbound:
        yield from _why("local", style)
        yield rule("fib daddr type local return", "to-this-node")
        if "prerouting" in hooks:
            yield from _why("forged", style)
            local = "" if hooks == {"prerouting"} else "iif != 0 "  # at output there is no input interface: 0
            yield rule(f"{local}fib saddr type local counter drop", "forged-source")
    martians = ", ".join(prefixes.texts(MARTIANS4 if ip == "ip" else MARTIANS6))
    yield from _why("martians", style)
    yield rule(f"{ip} saddr {{ {martians} }} counter drop", "martian-source")
    yield rule(f"{ip} daddr {{ {martians} }} counter drop", "martian-destination")
    yield from _why("tcp", style)
    yield rule(f"{TCP[ip]} goto {name}_tcp", "tcp")
    if "prerouting" in hooks:
        yield from _why("udp", style)
        yield rule(f"{UDP[ip]} goto {name}_tcp", "udp")
    yield rule(f"goto {name}_plain", "plain")


def domain_table(domain: Domain, role: Role, ip: str, own_output: bool, style: Style) -> list[str]:
    """The domain's own table in family `ip` (ip, ip6); `own_output`: the rules take from the output hook themselves."""
    name, direction = own_table(domain), next(d for d, family in TAKES.items() if family == ip)
    chains = [owner_chain(style)] if style.owner else []
    base = "type filter hook {} priority {}; policy accept;"

    def add(chain: str, hook: str, priority: int, *rules: str) -> None:
        body = [base.format(hook, priority), *_why(chain, style), *rules]
        chains.append(_chain(chain, body))

    tracked = role != "router" and ip == "ip"  # what comes back must meet the entry of the source NAT
    if not tracked:
        add("untracked", "prerouting", -450, f'iifname "{domain.name}" notrack comment "{name}-untracked"')
    stamp = "meta priority & 0xfffe0000 == 0x6e660000 meta priority set 0"
    add("stamped", "prerouting", -449, f'{stamp} comment "{name}-stamped"')
    mark = f"meta mark {INJECTED_MARK:#x}{'' if tracked else ' notrack'} meta mark set 0"
    add("sent", "output", -449, f'{mark} comment "{name}-sent"')
    if intercepted(role, ip):
        reject = f'oifname "{domain.name}" counter reject with {REJECT[ip]} comment "{name}-no-route"'
        add("forward", "forward", -450, reject)
        chains.append(translated_set(domain, ip).lines(elements=style.elements))
        body = [base.format("output", -450), *_why("output-errors" if own_output else "output", style)]
        errors = f"{ERRORS[ip]} " if own_output else ""
        jump = f"{errors}{ip} daddr @translated jump {guard_chain(domain, direction)}"
        chains.append(_chain("output", [*body, f'{jump} comment "{name}-output"']))
        chains.append(statement_chains(domain, direction, ip, {"output"}, style))
    lines = [f"table {ip} {name}", f"delete table {ip} {name}", f"table {ip} {name} {{"]
    for number, chain in enumerate(chains):
        lines += ([""] if number else []) + _indented(chain)
    return [*lines, "}"]


def intercepted(role: Role, ip: str) -> bool:
    """Whether all that is translated of family `ip` is taken ahead of routing, forwarded or this node's own."""
    return role == "router" or (role == "masquerade" and ip == "ip6")


def owner_chain(style: Style) -> list[str]:
    """A chain that nothing reaches: its name tells `unload` which tables came from this file."""
    return _chain(style.owner, [*_why("owner", style), f'comment "nfxlat rules load {style.origin}"'])


def translated_set(domain: Domain, ip: str) -> GeneratedSet:
    """The set `translated` of a router's own table in family `ip`."""
    return sets.of_domain("translated", domain, "router", "to" if ip == "ip" else "from")


def host_comments(domain: Domain, role: Role, queue: int, config: Sequence[str], routes: Sequence[str]) -> list[str]:
    """What the host needs beside the rules, as comments: the domain, its device, its routes, sysctls, the daemon."""
    lines = [f"domain {domain.name}, as {role}:", *(f"    {line}" for line in config)]
    run = f"nfxlat run --config FILE --domain {domain.name} --queue {queue}"
    lines += ["translator, which makes the device:", f"    {run}{'' if role == 'router' else ' --role host'}"]
    own = [n for n in prefixes.clat4(domain) if n.prefixlen == n.max_prefixlen] if role == "host" else []
    if own:
        lines += ["addresses of this host:", *(f"    ip address add {n} dev {domain.name}" for n in own[:ROUTES_SHOWN])]
    lines += ["terminal routes, without which kernel ICMP errors cannot be made and a dead translator leaks:"]
    lines += [f"    {route}" for route in routes[:ROUTES_SHOWN]]
    if len(routes) > ROUTES_SHOWN:
        lines.append(f"    ... and {len(routes) - ROUTES_SHOWN} more")
    if role == "router":
        lines += ["forwarding:", "    sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"]
    elif role == "masquerade":
        lines += ["forwarding, into the device:", "    sysctl -w net.ipv4.ip_forward=1"]
    return lines


def terminal_routes(domain: Domain, role: Role) -> Iterator[str]:
    """ip(8) commands: the unreachable route first, since it holds while the device is not there."""
    mtu4 = f"mtu {(domain.mtu6 or 1500) - 20}"
    mtu6 = f"mtu {(domain.mtu4 or 1500) + 20}"
    if role == "host":
        yield "ip route add unreachable default metric 4294967295"
        own = next((f" src {network[0]}" for network in prefixes.clat4(domain)), "")
        yield f"ip route add default dev {domain.name} metric 2048 {mtu4}{own}"
        networks4, networks6 = [], prefixes.clat6(domain)
    else:
        networks4, networks6 = prefixes.terminal4(domain), prefixes.terminal6(domain)
    for network in prefixes.texts(networks4):
        yield f"ip route add unreachable {network} metric 4294967295"
        yield f"ip route add {network} dev {domain.name} {mtu4}"
    for network in prefixes.texts(networks6):
        yield f"ip -6 route add unreachable {network} metric 4294967295"
        yield f"ip -6 route add {network} dev {domain.name} {mtu6}"


def _why(key: str, style: Style) -> list[str]:
    return [f"# {line}" for line in wrap(WHY.get(key, ""), WIDTH)] if style.explain else []


def _chain(name: str, body: Iterable[str]) -> list[str]:
    return [f"chain {name} {{", *(f"\t{line}" for line in body), "}"]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"\t{line}" if line else "" for line in lines]
