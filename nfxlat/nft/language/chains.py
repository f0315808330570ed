"""What the `xlat` statement needs beside itself, as values.

Into each table that holds a statement, since nft cannot jump from one table to another:

    chain xlat_to_siit0        guards; then to one of those that follow. The statement becomes a jump here, so that a
                               packet that the guards let off goes on behind the statement
    chain xlat_to_siit0_pair   the same for statements with `offload`: what is queued bears in its stamp that their
    chain xlat_to_siit0_flow   decision may be repeated, for the pair of addresses or for the flow (nft.language.repeat)
    chain xlat_to_siit0_plain  queue, and behind it a drop: what nobody takes does not leak
    chain xlat_to_siit0_tcp
    chain xlat_to_siit0_tcp_1  of the second worker, and so on

For each domain, whatever the rules select, in each family: no conntrack for what comes back from the domain device, no
stamp and no mark left over, the kernel's own ICMP errors, no way into the device. That is a table of its own
(`xlat_siit0`), unless the file has a table `nfxlat_siit0`: then it goes there.

One worker: what is TCP, or UDP with a stamp, goes to its second queue, packets with extension headers and UDP's
fragments too; not what the kernel has to cut (BIG TCP, and what has CWR). Both queues are one line
(datapath.queue_pair): what a rule cannot tell does not cost a flow its order.

Several workers: NFQUEUE's own hash ignores ports, and its ranges cannot stride over a worker's two queues, so nft's
jhash spreads them. All packets of a flow that have ports go to one worker, and so do all its fragments, to the first
one: fragments have no ports but the first, and would overtake each other. So does what is neither TCP nor UDP. Whole
datagrams and fragments of one flow are thus in order among themselves only. By addresses (Queues.spread) all packets of
a pair of hosts go to one worker, whatever they look like: all are in order, and one pair has one worker.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nfxlat.nft.language.emit import Chain, Queued, Rule
from nfxlat.nft.language.inputs import NO_INPUTS, Inputs, own_match
from nfxlat.nft.language.program import Program
from nfxlat.nft.language.repeat import Repeat
from nfxlat.nft.language.sets import set_name
from nfxlat.nft.language.statement import TAKES
from nfxlat.queues import Queues
from nfxlat.terms import Role
from nfxlat.wire import stamp
from nfxlat.wire.nfqueue import COPY_RANGE
from nfxlat.xlat.domain import Domain

PROTOCOL = {"ip": "ip protocol", "ip6": "meta l4proto"}  # behind extension headers, and of fragments too
WHOLE = {"ip": "ip frag-off & 0x3fff == 0", "ip6": "exthdr frag missing"}
FRAGMENT = {"ip": "ip frag-off & 0x3fff != 0", "ip6": "exthdr frag exists"}
MARK = "nfxlat_"  # begins the names of the chains by which a table is known to be ours
SEED = 7915  # of all hashes: a flow goes to the same worker by whichever rule
FITS = f"meta length <= {COPY_RANGE} tcp flags & cwr == 0"
UDP_STAMPED = f"meta priority & {stamp.ANY_MASK | stamp.UDP:#x} == {stamp.ANY | stamp.UDP:#x}"
ANY_STAMP = f"meta priority & {stamp.ANY_MASK:#x} == {stamp.ANY:#x}"
REPEAT: Mapping[Repeat, int] = {"pair": stamp.REPEAT_PAIR, "flow": stamp.REPEAT_FLOW}
SENT, UNSENT = (f"meta mark {sign}{stamp.INJECTED_MARK:#x}" for sign in ("", "!= "))
ERRORS = {
    "ip": "icmp type { destination-unreachable, time-exceeded, parameter-problem }",
    "ip6": "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }",
}
REJECT = {"ip": "icmp type host-unreachable", "ip6": "icmpv6 type no-route"}


@dataclass(frozen=True, slots=True)
class QueueChain:
    """A chain that holds a rule to queue number `queue`, and behind it a drop; `label` is its kind and worker."""

    family: str
    table: str
    guard: str
    label: str
    domain: str
    queue: int

    @property
    def chain(self) -> str:
        return f"{self.guard}_{self.label}"

    @property
    def comment(self) -> str:
        """Of the queue rule."""
        return f"{self.guard}-queue-{self.label}"

    def value(self) -> Chain:
        return Chain(self.chain, (Queued(self.queue, self.comment), Rule("drop", f"{self.guard}-closed-{self.label}")))


def guard_chain(domain: Domain, direction: str, repeat: Repeat = "") -> str:
    return f"xlat_{direction}_{domain.name}{f'_{repeat}' if repeat else ''}"


def own_table(domain: Domain) -> str:
    """Made for a domain that the file has no table of."""
    return f"xlat_{domain.name}"


def home_table(name: str) -> str:
    """Where a file has it, all that the domain `name` needs goes there; and it is where `--setup` has its rules."""
    return f"nfxlat_{name}"


def home(program: Program, domain: Domain, ip: str) -> tuple[str, str] | None:
    """The file's own table for all that the domain needs in the family, if it has one."""
    table = program.source.tables.get((ip, home_table(domain.name)))
    return table.key if table is not None and table.blocks else None


def table_of(program: Program, domain: Domain, ip: str) -> tuple[str, str]:
    """Where all goes that the domain needs in the family."""
    return home(program, domain, ip) or (ip, own_table(domain))


def queue_chains(family: str, table: str, domain: Domain, direction: str, queues: Queues) -> list[QueueChain]:
    """Two for each worker."""
    guard = guard_chain(domain, direction)
    return [QueueChain(family, table, guard, _label(kind, n), domain.name, number) for n, kind, number in queues.each()]


def _label(kind: str, worker: int) -> str:
    return f"{kind}_{worker}" if worker else kind


def guard(
    domain: Domain,
    direction: str,
    family: str,
    hooks: set[str],
    implied: frozenset[str],
    queues: Queues,
    repeat: Repeat = "",
    inputs: Inputs = NO_INPUTS,
) -> Chain:
    """The chain that a statement jumps to, in a table of `family`, reached from `hooks`; `implied` are the guards that
    it does without, since the statements say as much themselves; `repeat` is what may be learnt of what they take.
    """
    name = guard_chain(domain, direction, repeat)
    rules = [*_guards(name, domain, direction, family, hooks, implied, inputs)]
    if repeat:
        noted = f"meta priority set meta priority | {REPEAT[repeat]:#x}"
        rules.append(Rule(f"{ANY_STAMP} {noted}", f"{name}-offload", f"offload-{repeat}"))
    return Chain(name, (*rules, *_dispatch(name, guard_chain(domain, direction), TAKES[direction], hooks, queues)))


def _guards(
    name: str, domain: Domain, direction: str, family: str, hooks: set[str], implied: frozenset[str], inputs: Inputs
) -> Iterator[Rule]:
    ip = TAKES[direction]
    if family == "inet":
        yield Rule(f"meta nfproto != {'ipv4' if ip == 'ip' else 'ipv6'} return", f"{name}-other-family")
    if hooks - {"output"} and "injected" not in implied:
        devices = f'{{ "{domain.name}", "{domain.vrf}" }}' if domain.vrf else f'"{domain.name}"'
        yield Rule(f"iifname {devices} return", f"{name}-injected", "injected-vrf" if domain.vrf else "injected")
    if "prerouting" in hooks and "frame" not in implied:
        yield Rule("meta pkttype != host return", f"{name}-to-many", "frame")
    if "output" in hooks and "sent" not in implied:
        yield Rule(f"{SENT} return", f"{name}-sent-by-nfxlat", "raw")
    if ip == "ip6" and "native" not in implied:
        yield Rule(f"ip6 daddr @{set_name(domain.name, 'native')} return", f"{name}-native", "native")
    own = _own(domain, ip, hooks, inputs)
    if hooks & {"prerouting", "output"} and "local" not in implied and own["daddr"]:
        yield Rule(f"{own['daddr']} return", f"{name}-to-this-node", "local")
    if "prerouting" in hooks and own["saddr"]:
        local = "" if hooks == {"prerouting"} else "iif != 0 "  # at output there is no input interface: 0
        yield Rule(f"{local}{own['saddr']} counter drop", f"{name}-forged-source", "forged")


def _own(domain: Domain, ip: str, hooks: set[str], inputs: Inputs) -> dict[str, str]:
    """What matches this node's own addresses, by the side of a packet that has them. In a VRF they are named, where
    they are known; else the fib knows those of the input interface, and at output none."""
    if not domain.vrf:
        return {side: f"fib {side} type local" for side in ("saddr", "daddr")}
    if inputs.members is not None:
        return {side: own_match(ip, side, inputs) for side in ("saddr", "daddr")}
    return {side: f"fib {side} . iif type local" if hooks == {"prerouting"} else "" for side in ("saddr", "daddr")}


def _dispatch(name: str, to_: str, ip: str, hooks: set[str], queues: Queues) -> Iterator[Rule]:
    """To the queue chains, whose names begin with `to_`."""
    workers, by_ports = queues.workers, queues.spread == "ports"

    def to(kind: str, header: str) -> str:
        if workers == 1:
            return f"goto {to_}_{kind}"
        verdicts = ", ".join(f"{n} : goto {to_}_{_label(kind, n)}" for n in range(workers))
        key = f"{header} sport . {header} dport" if by_ports else f"{ip} saddr . {ip} daddr"
        whole = f"{WHOLE[ip]} " if by_ports else ""
        return f"{whole}jhash {key} mod {workers} seed {SEED:#x} vmap {{ {verdicts} }}"

    protocol = PROTOCOL[ip]
    yield Rule(f"{protocol} tcp {FITS} {to('tcp', 'tcp')}", f"{name}-tcp", "tcp")
    if "prerouting" in hooks:
        yield Rule(f"{UDP_STAMPED} {protocol} udp {to('tcp', 'udp')}", f"{name}-udp", "udp")
    if workers > 1 and not by_ports:
        yield Rule(to("plain", ""), f"{name}-plain", "pairs")
        return
    if workers > 1:
        yield Rule(f"{protocol} {{ 6, 17 }} {to('plain', 'th')}", f"{name}-plain-ports", "workers")
    yield Rule(f"goto {to_}_plain", f"{name}-plain")


def tracked(role: Role, ip: str) -> bool:
    """Whether conntrack sees what comes back: it must meet the entry of the source NAT."""
    return role != "router" and ip == "ip"


def untracked(domain: Domain, *, ends: bool) -> Rule:
    """For the first place at prerouting; `ends`: what follows it there is not for these packets."""
    end = " return" if ends else ""
    return Rule(f'iifname "{domain.name}" notrack{end}', f"xlat_{domain.name}-untracked", "untracked")


def sent(domain: Domain, role: Role, ip: str, *, ends: bool) -> Rule:
    """Takes the mark off at output."""
    end = " return" if ends else ""
    text = f"{SENT}{'' if tracked(role, ip) else ' notrack'} meta mark set 0{end}"
    return Rule(text, f"xlat_{domain.name}-sent", "sent")


def domain_chains(
    domain: Domain, role: Role, ip: str, headed: set[str], output: str, *, reassembled: bool = False
) -> list[Chain]:
    """The base chains of a domain in family `ip` (ip, ip6).

    `headed` are the hooks at which the file's own chains begin with `untracked` and `sent`. `output` says which of this
    node's own packets are to be taken besides: "all", kernel "errors", or "" for none. `reassembled`: a statement wants
    whole datagrams.
    """
    name, chains = f"xlat_{domain.name}", []
    if not tracked(role, ip) and "prerouting" not in headed:
        chains.append(Chain("xlat_untracked", (untracked(domain, ends=False),), "prerouting priority -450"))
    stamped = Rule(f"{ANY_STAMP} meta priority set 0", f"{name}-stamped", "stamped")
    rules = (stamped, fragments(domain, ip)) if reassembled else (stamped,)
    chains.append(Chain("xlat_stamped", rules, "prerouting priority -449"))
    if reassembled:
        chains += reassembling(domain)
    if "output" not in headed:
        chains.append(Chain("xlat_sent", (sent(domain, role, ip, ends=False),), "output priority -449"))
    if intercepted(role, ip):
        reject = f'oifname "{domain.name}" counter reject with {REJECT[ip]}'
        chains.append(Chain("xlat_forward", (Rule(reject, f"{name}-no-route", "forward"),), "forward priority -450"))
    if output:
        direction = next(d for d, family in TAKES.items() if family == ip)
        what = f"{ERRORS[ip]} " if output == "errors" else ""
        # Others of the same address are in other VRFs; a CLAT's address may be its host's own, which then hears them.
        routed = f'oifname "{domain.name}" ' if domain.vrf or answered_by_device(role, ip) else ""
        if answered_by_device(role, ip):  # here, where few packets pass, and not in the chain for what comes in
            routed += f"{UNSENT} "
        jump = f"{routed}{what}{ip} daddr @{set_name(domain.name, direction)} jump {guard_chain(domain, direction)}"
        why = "output-host" if answered_by_device(role, ip) else "output-errors" if output == "errors" else "output"
        chains.append(Chain("xlat_output", (Rule(jump, f"{name}-output", why),), "output priority -450"))
    return chains


def fragments(domain: Domain, ip: str) -> Rule:
    """Marks the fragments that are going to be put together, of what the domain translates."""
    direction = next(d for d, family in TAKES.items() if family == ip)
    text = f"{ip} daddr @{set_name(domain.name, direction)} {FRAGMENT[ip]} meta priority set {stamp.REASSEMBLED:#x}"
    return Rule(text, f"xlat_{domain.name}-fragment", "fragment")


def reassembling(domain: Domain) -> list[Chain]:
    """Defragmentation turned on (nft_tproxy.c, nft_tproxy_init), and the mark taken off before conntrack."""
    name = f"xlat_{domain.name}"
    on = Rule("meta l4proto udp tproxy to :9", f"{name}-defragmentation", "defragmentation")
    text = f"meta priority {stamp.REASSEMBLED:#x} meta priority set 0"
    off = Rule(text, f"{name}-unstamped", "unstamped")
    return [Chain("xlat_defragmentation", (on,)), Chain("xlat_unstamped", (off,), "prerouting priority -201")]


def intercepted(role: Role, ip: str) -> bool:
    """Whether all that is translated of family `ip` is taken ahead of routing, forwarded or this node's own."""
    return role == "router" or (role == "masquerade" and ip == "ip6")


def answered_by_device(role: Role, ip: str) -> bool:
    """Whether the kernel's ICMP errors about what this host sends go into the domain device: to the CLAT's address."""
    return role == "host" and ip == "ip6"


def owner_chain(owner: str, origin: str) -> Chain:
    """A chain that nothing reaches: its name tells which tables came from one file."""
    return Chain(owner, note=origin, why="owner")
