"""The null translator: what the hook model intercepts it injects again unchanged, so it shows what that alone costs.

    python -m nfxlat.bench.null [--ready-fd FD] PREFIX4 ...

Rules, queues, domain device and stamp are those of `nfxlat run --setup`, but for IPv4 towards PREFIX4 ... in both
directions, and nothing of a packet is read or written but the link header in front of it. Forwarding has to be on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network

from nfxlat.datapath.frame import Frame
from nfxlat.datapath.inject import DeviceInjector
from nfxlat.datapath.nfqueue import NetlinkQueue
from nfxlat.datapath.source import Record
from nfxlat.host import device
from nfxlat.host.stamp import Stamp
from nfxlat.nft.kernel import ruleset
from nfxlat.nft.language import builtin
from nfxlat.outcome import Reason
from nfxlat.queues import Queues
from nfxlat.wire.nfqueue import SKB_CSUMNOTREADY, SKB_GSO
from nfxlat.wire.stamp import gso_size_of, is_udp
from nfxlat.wire.transport import HEADER_LENGTH, TCP, UDP
from nfxlat.xlat.domain import Domain

NAME, QUEUES = "null0", Queues()
UNUSED6 = IPv6Network("2001:db8:6e::/96")  # a router needs a prefix6
IP_HEADER = 20  # the generators send no options
MSS = 1448  # of TCP without a stamp: an MTU of 1500, timestamps


@contextlib.contextmanager
def rules(networks: Sequence[str]) -> Iterator[str]:
    """The router's rules for IPv4 towards `networks`; yields how its queue rules were made."""
    domain = Domain(NAME, prefix6=UNUSED6, pool4=tuple(map(IPv4Network, networks)))
    compiled = builtin.compile_builtin(domain, "router", "hook", QUEUES, native=ruleset.native())
    how = ruleset.install(compiled, f"rules {NAME}")
    try:
        yield how
    finally:
        ruleset.remove(compiled.owner)


def octets_before(buffer: bytearray, record: Record, frame: Frame) -> bytes | None:
    """What of `frame` hands the packet on as it is; None where a superframe's segments are not known."""
    start, length, priority, kind = record
    info, protocol = kind.skb_info, buffer[start + 9]
    if info & SKB_GSO:
        at = start + IP_HEADER
        gso_size = gso_size_of(priority)
        if protocol == TCP:
            header = (buffer[at + 12] >> 4) * 4
            gso_size = gso_size or MSS
        elif is_udp(priority):
            header = HEADER_LENGTH[UDP]
        else:
            return None
        if length - IP_HEADER - header > gso_size:
            return frame.superframe(4, protocol, header, gso_size)
    if info & (SKB_CSUMNOTREADY | SKB_GSO):
        return frame.unfinished(4, protocol) if protocol in (TCP, UDP) else None
    return frame.whole(4)


def pass_on(source: NetlinkQueue, injector: DeviceInjector) -> None:
    """One batch."""
    buffer, base = source.buffer, source.base
    messages: list[int] = []
    for record in source.receive():
        before = octets_before(buffer, record, injector.frame)
        start, length, _, kind = record
        if before is not None and kind.whole:
            begin = start - len(before)
            buffer[begin:start] = before
            messages += (base + begin, len(before) + length)
    injector.put_all(messages, [])
    source.conclude(())
    injector.flush()


def main() -> None:
    """Pass on until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m nfxlat.bench.null", description=__doc__)
    parser.add_argument("networks", nargs="+", metavar="PREFIX4")
    parser.add_argument("--ready-fd", type=int)
    arguments = parser.parse_args()

    def report(line: str) -> None:
        print(line, flush=True)

    refused: Counter[Reason] = Counter()

    def refuse(reason: Reason, what: int) -> None:
        refused[reason] += 1

    stopped, stopper = os.pipe()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: os.write(stopper, b"."))
    with contextlib.ExitStack() as stack:
        sources = {}
        for _, kind, number in QUEUES.each():
            source = NetlinkQueue(number, superframes=kind == "tcp")
            stack.callback(source.close)
            sources[source.fileno()] = source
        domain_device, _ = device.create_or_adopt(NAME, report=report)
        stack.callback(device.remove, domain_device)
        report(f"rules by {stack.enter_context(rules(arguments.networks))} queue")
        stack.callback(Stamp(NAME, report, udp=True).close)
        with device.in_namespace(domain_device.far_namespace):
            packet_socket = DeviceInjector.open_socket(domain_device.far_interface)
        injector = DeviceInjector(packet_socket, domain_device.near_mac, domain_device.far_mac, refuse)
        stack.callback(injector.close)
        poll = select.epoll()
        for descriptor in (stopped, *sources):
            poll.register(descriptor, select.EPOLLIN)
        if arguments.ready_fd is not None:
            os.write(arguments.ready_fd, b"ready\n")
            os.close(arguments.ready_fd)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == stopped:
                    report(f"{refused.total()} packets refused by the injector")
                    return
                pass_on(sources[descriptor], injector)


if __name__ == "__main__":
    main()
