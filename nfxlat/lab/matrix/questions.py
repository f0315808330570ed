"""The questions of the matrix. Each is put to a running cell and answered by packets, in a word or two.

An answer is a text, or a text for each direction. The order counts: connection tracking stays once it is on, and the
last question kills the translator.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise

from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.matrix import conntrack, packets
from nfxlat.lab.matrix.cells import Flow, Running
from nfxlat.lab.matrix.observer import LATE, MARK, PRIORITY, Seen
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.topology import TRANSLATOR
from nfxlat.nft.kernel import load

Answer = str | dict[str, str]
PATIENCE = 60.0  # emulated, everything takes ten times as long
LARGE = 1500
LARGE_PAYLOAD = 1600  # of a datagram in two fragments


def _interface(namespace: Namespace, running: Running) -> str:
    """Where `namespace` sees what comes from the translator; on the translator itself, what ends there."""
    if namespace is running.lab.translator:
        return "lo"
    return "to-r4" if namespace is running.lab.host4 else "to-r6"


def _sent(running: Running, flow: Flow) -> list[Seen]:
    """Send a marked packet along the flow; where it has been seen when it has arrived."""
    mark = packets.token()
    running.observer.drain()
    with Capture(flow.receiver, _interface(flow.receiver, running)) as capture:
        flow.sender.call(send_packet, packets.datagram(flow.source, flow.target, mark), flow.target)
        capture.wait(lambda packet: mark in packet, PATIENCE)
    return [seen for seen in running.observer.drain() if mark in seen.packet]


def _usual(running: Running, flow: Flow) -> list[Seen]:
    """`_sent`, of a packet that is treated as most of the flow are: with offload the kernel translates it.

    Whatever changes rules makes the flow be learnt anew.
    """
    way: list[Seen] = []

    def is_usual() -> bool:
        way[:] = _sent(running, flow)
        return not running.cell.offload or way[0].family == flow.families[1]

    wait_for(is_usual, f"a packet that the kernel translates in {running.cell.name}", PATIENCE)
    return way


def _each(ask: Callable[[Running, Flow], str]) -> Callable[[Running], Answer]:
    """The question for both directions."""
    return lambda running: {direction: ask(running, flow) for direction, flow in running.flows.items()}


def _family(number: int) -> str:
    return f"IPv{number}"


def _passes(way: Sequence[Seen]) -> list[list[Seen]]:
    """The way cut where the packet enters the stack anew."""
    passes: list[list[Seen]] = []
    for seen in way:
        enters = seen.hook in ("prerouting", "output") and not seen.late
        if enters or not passes or passes[-1][-1].family != seen.family:
            passes.append([])
        passes[-1].append(seen)
    return passes


def _hooks(way: Sequence[Seen]) -> str:
    parts = []
    for single in _passes(way):
        hooks = list(dict.fromkeys(seen.hook for seen in single))
        late = {seen.hook for seen in single if seen.late}
        parts.append(" ".join([_family(single[0].family), *(hook + "*" * (hook not in late) for hook in hooks)]))
    return ", ".join(parts)


def hooks(running: Running, flow: Flow) -> str:
    """The hooks that see the packet, in order; * for one whose chains behind nfxlat's do not."""
    return _hooks(_usual(running, flow))


def traversals(running: Running, flow: Flow) -> str:
    """How often the packet enters the stack, and which of these passes end early."""
    passes = _passes(_usual(running, flow))
    ends = [(_family(one[-1].family), one[-1].late and one[-1].hook in ("input", "postrouting")) for one in passes]
    short = [family for family, whole in ends if not whole]
    return ", ".join([str(len(passes)), *(f"{family} in part" for family in short)])


def _takers(way: Sequence[Seen]) -> str:
    takers: list[str] = []
    for before, behind in pairwise(way):
        taker = "nfxlat" if before.family != behind.family else f"{_family(before.family)} forwarding"
        takers += [taker] * (before.hops - behind.hops)
    return f"{len(takers)}: {' and '.join(takers)}" if takers else "0"


def hop_decrement(running: Running, flow: Flow) -> str:
    """How much is taken off TTL or Hop Limit, and by whom."""
    return _takers(_usual(running, flow))


def input_interface(running: Running, flow: Flow) -> str:
    """The input interface in forward or input of the new family."""
    way = _usual(running, flow)
    names = [seen.indev for seen in way if seen.family == flow.families[1] and seen.hook in ("forward", "input")]
    return names[0] if names else "none (output)"


def mark_and_priority(running: Running, flow: Flow) -> str:
    """What has become of mark 0x77 and priority 1:2, set in the old family ahead of everything, where it leaves."""
    give = (
        f"meta nfproto ipv{flow.families[0]} udp dport {packets.PORT} meta mark set {MARK} meta priority set {PRIORITY}"
    )
    if running.cell.offload:  # a stamp that is overwritten teaches nothing
        give = give.partition(" meta priority set")[0]
    fresh = {"prerouting": 'iifname != "siit0"', "output": ""}
    chains = [
        f"chain {hook} {{ type filter hook {hook} priority -600; {which} {give}; }}" for hook, which in fresh.items()
    ]
    with _table(running.lab.translator, "marks", chains):
        way = _usual(running, flow)
    last = way[-1]
    if way[0].family != flow.families[0]:
        assert (last.mark, last.note) == (0, "udp"), way
        return "no rule there sees it"
    assert way[0].mark == MARK, way
    assert way[0].note == "priority", way
    mark = "mark kept" if last.mark == MARK else f"mark {last.mark:#x}" if last.mark else "mark 0"
    return f"{mark}, priority {'kept' if last.note == 'priority' else 'reset'}"


@contextlib.contextmanager
def _table(namespace: Namespace, name: str, chains: Sequence[str]) -> Iterator[None]:
    namespace.call(load.run, "\n".join([f"table inet {name} {{", *chains, "}"]), what=name)
    try:
        yield
    finally:
        namespace.call(load.run, f"delete table inet {name}", what=name)


def _is_error(packet: bytes) -> bool:
    kind, protocol = (packet[20], packet[9]) if packet[0] >> 4 == 4 else (packet[40], packet[6])
    return (protocol, kind) in ((1, 3), (1, 11), (1, 12), (58, 1), (58, 2), (58, 3), (58, 4))


def _told(error: bytes) -> str:
    """An ICMP error in words: what, and from where."""
    if error[0] >> 4 == 4:
        kind, code, mtu, source = error[20], error[21], error[26:28], error[12:16]
        what = {11: "time exceeded"}.get(kind, f"mtu {int.from_bytes(mtu, 'big')}" if code == 4 else "")
    else:
        kind, code, mtu, source = error[40], error[41], error[44:48], error[8:24]
        what = {2: f"mtu {int.from_bytes(mtu, 'big')}", 3: "time exceeded"}.get(kind, "")
    return f"{what or f'type {kind} code {code}'} from {ip_address(source)}"


def _complaint(running: Running, flow: Flow, packet: bytes, mark: bytes) -> str:
    """Send what cannot pass. Who says so, in which family, and what its sender hears; or "arrives"."""
    observer, lab = running.observer, running.lab
    if running.cell.offload:
        _usual(running, flow)
    observer.drain()
    reports: list[Seen] = []
    own = flow.sender is lab.translator
    refused = ""
    with (
        Capture(flow.sender, _interface(flow.sender, running)) as back,
        Capture(flow.receiver, _interface(flow.receiver, running)) as there,
    ):
        try:
            flow.sender.call(send_packet, packet, flow.target)
        except OSError as error:
            refused = f", {errno.errorcode[error.errno or 0]}"

        def heard() -> list[bytes]:
            reports.extend(observer.drain())
            if own:
                return [seen.packet for seen in reports if seen.is_error and seen.hook == "input" and seen.late]
            return [seen for seen in back.drain() if seen[0] >> 4 == flow.families[0] and _is_error(seen)]

        def arrived() -> bool:
            return any(mark in seen for seen in there.drain())

        wait_for(lambda: heard() or arrived(), f"error or packet in {running.cell.name}", PATIENCE)
        if not (errors := heard()):
            return "none, it arrives"
    made = next(seen for seen in reports if seen.is_error)
    by = "nfxlat" if made.note == "sent" else "kernel"
    return f"{by} in {_family(made.family)}, {_told(errors[0])}{refused}"


def time_exceeded(running: Running, flow: Flow) -> str:
    """Who sends Time Exceeded, and from where its sender hears it."""
    mark = packets.token()
    packet = packets.datagram(flow.source, flow.target, mark, flow.last_hop)
    return _complaint(running, flow, packet, mark).replace("time exceeded ", "")


def too_big(running: Running, flow: Flow) -> str:
    """Who sends Packet Too Big or Fragmentation Needed about 1500 octets, and what its sender hears."""
    mark = packets.token()
    return _complaint(running, flow, packets.sized(flow.source, flow.target, mark, LARGE), mark)


def fragments(running: Running, flow: Flow) -> str:
    """How a datagram in two fragments arrives."""
    mark = packets.token()
    with Capture(flow.receiver, _interface(flow.receiver, running)) as capture:
        for packet in packets.fragments(flow.source, flow.target, mark.ljust(LARGE_PAYLOAD, b".")):
            flow.sender.call(send_packet, packet, flow.target)

        def seen() -> list[bytes]:
            # lo shows each packet twice
            return [packet for packet in dict.fromkeys(capture.drain()) if packets.is_marked(packet)]

        def octets() -> int:
            return sum(len(packet) - packets.header_length(packet) for packet in seen())

        wait_for(lambda: octets() >= LARGE_PAYLOAD + 8, f"fragments in {running.cell.name}", PATIENCE)
        found = seen()
    identifications = {packets.fragment_identification(packet) for packet in found}
    if identifications == {None}:
        return f"{len(found)} whole"
    kept = {None if number is None else number & 0xFFFF for number in identifications} == {packets.IDENTIFICATION}
    return f"{len(found)} fragments, id {'kept' if kept else 'new'}"


_STATES = ("new", "established", "related", "invalid", "untracked")
_TRACKING = [
    f"chain {hook} {{ type filter hook {hook} priority {LATE + 1}; "
    + " ".join(
        f'udp dport {packets.PORT} ct state {state} log group 77 prefix "{hook} late ct-{state}";' for state in _STATES
    )
    + " }"
    for hook in ("input", "forward", "output")
]


def conntrack_state(running: Running) -> Answer:
    """What connection tracking says of the flow's packets, the first one and its answer, in each family."""
    answer = {}
    conntrack.flush(running.lab.translator)
    with _table(running.lab.translator, "tracking", _TRACKING):
        for direction, flow in running.flows.items():
            states = [seen for seen in _usual(running, flow) if seen.note.startswith("ct-")]
            said = dict.fromkeys(f"{_family(seen.family)} {seen.note.removeprefix('ct-')}" for seen in states)
            answer[direction] = ", ".join(said)
    return answer


def conntrack_entries(running: Running) -> Answer:
    """What it holds after a packet in each direction."""
    with _table(running.lab.translator, "tracking", _TRACKING):
        for flow in running.flows.values():
            _usual(running, flow)
        return ", ".join(conntrack.entries(running.lab.translator)) or "nothing"


def tracked_fragments(running: Running) -> Answer:
    """`fragments`, with connection tracking in the namespace."""
    with _table(running.lab.translator, "tracking", _TRACKING):
        return _each(fragments)(running)


def own_packets(running: Running) -> Answer:
    """The node's own packet from its IPv4 address: hooks, and hops taken."""
    if not running.cell.own:
        return "as above"
    outwards = running.flows["4to6"]
    way = _sent(running, replace(outwards, sender=running.lab.translator, source=TRANSLATOR[0]))
    return f"{_hooks(way)}; {_takers(way)}"


def absent(running: Running) -> Answer:
    """The translator is killed: where a packet ends, and what its sender hears."""
    if running.process is None:
        return "does not apply"
    if running.cell.offload:
        for flow in running.flows.values():
            _usual(running, flow)
    running.process.kill()
    return _each(_closed if running.cell.offload else _without)(running)


def _closed(running: Running, flow: Flow) -> str:
    """`_without`, once the program at ingress has ended: with its link, or when it misses the supervisor."""
    answers: list[str] = []

    def is_closed() -> bool:
        answers.append(_without(running, flow))
        return not answers[-1].startswith("leaves by")

    wait_for(is_closed, f"an end of {running.cell.name}", PATIENCE)
    return answers[-1] if len(answers) == 1 else f"crosses for 10 s at most, then {answers[-1]}"


def _without(running: Running, flow: Flow) -> str:
    lab, mark = running.lab, packets.token()
    running.observer.drain()
    flow.sender.call(send_packet, packets.datagram(flow.source, flow.target, mark), flow.target)
    if flow.sender is not lab.translator:  # behind it, on the same way
        native = TRANSLATOR[0] if flow.sender is lab.host4 else TRANSLATOR[1]
        assert flow.sender.call(ping, native, timeout=PATIENCE / 3).ok
    seen = running.observer.drain()
    way = [one for one in seen if mark in one.packet]
    heard = [one for one in seen if one.is_error and one.hook == "postrouting" and one.late]
    last = way[-1]
    end = f"dropped at {_family(last.family)} {last.hook}"
    if last.hook == "postrouting" and last.late:
        end = "dies in siit0" if last.outdev == "siit0" else f"leaves by {last.outdev}"
    return end + (f", sender hears {_told(heard[0].packet)}" if heard else ", in silence")


QUESTIONS: dict[str, tuple[str, Callable[[Running], Answer]]] = {
    "hooks": ("hooks", _each(hooks)),
    "traversals": ("stack traversals", _each(traversals)),
    "hop_decrement": ("TTL, Hop Limit", _each(hop_decrement)),
    "time_exceeded": ("Time Exceeded", _each(time_exceeded)),
    "too_big": ("1500 octets, too big", _each(too_big)),
    "input_interface": ("input interface", _each(input_interface)),
    "mark_and_priority": ("mark, priority", _each(mark_and_priority)),
    "own_packets": ("the node's own packets", own_packets),
    "fragments": ("two fragments", _each(fragments)),
    "conntrack_state": ("ct state", conntrack_state),
    "conntrack_entries": ("conntrack holds", conntrack_entries),
    "tracked_fragments": ("two fragments, conntrack on", tracked_fragments),
    "absent": ("translator killed", absent),
}


def measure(running: Running) -> dict[str, Answer]:
    """All answers of a cell, by question."""
    with contextlib.ExitStack() as stack:
        for flow in running.flows.values():
            _sink(stack, flow.receiver, flow.families[1])
        return {name: ask(running) for name, (_, ask) in QUESTIONS.items()}


def _sink(stack: contextlib.ExitStack, namespace: Namespace, family: int) -> None:
    """A socket for the marked packets, so that nobody answers them with an ICMP error."""
    with namespace.entered():
        sink = stack.enter_context(socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM))
    sink.bind(("", packets.PORT))
