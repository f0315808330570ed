"""What only the kernel can do: the packet goes to the worker's plain queue, and the kernel does it on the way."""

from collections.abc import Callable

import fuzz_datapath
import pytest
from packets import T, ipv4, ipv6
from scapy.layers.inet import TCP, UDP
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet

from nfxlat.datapath.counters import Counters, Total
from nfxlat.datapath.fastpath import FastPath
from nfxlat.datapath.inject import Injectors
from nfxlat.datapath.pathmtu import PathMtus
from nfxlat.datapath.worker import Worker
from nfxlat.wire import netlink
from nfxlat.wire import nfqueue as nl

WHOLE, UNFINISHED = nl.SKB_GSO | nl.SKB_CSUMNOTREADY, nl.SKB_CSUMNOTREADY
TUNNEL = UDP(dport=4789, chksum=0x1234) / VXLAN() / bytes(60)


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "core"])
@pytest.mark.parametrize("ip", [ipv4, ipv6])
@pytest.mark.parametrize(
    ("layer", "info", "cut", "again"),
    [
        (TCP(flags="AC") / bytes(5000), WHOLE, False, True),
        (TCP(flags="A") / bytes(5000), WHOLE, False, False),
        (TCP(flags="AC") / bytes(500), 0, False, False),
        (TCP(flags="A") / bytes(5000), WHOLE, True, True),
        (TUNNEL, UNFINISHED, False, True),
        (TUNNEL, 0, False, False),
    ],
    ids=["CWR", "no CWR", "CWR of a segment", "too long", "inner checksum", "finished checksum"],
)
def test_what_the_kernel_has_to_do_first(
    ip: Callable[[Packet], bytes], layer: Packet, info: int, cut: bool, again: bool, fast: bool
) -> None:
    queue, counters = fuzz_datapath.QUEUE, Counters()
    collector = fuzz_datapath.Collector(queue.buffer)
    worker = Worker(
        [],
        T,
        Injectors(collector, collector, True),
        counters,
        fast=FastPath(T, collector.frame) if fast else None,
        paths=PathMtus(lambda: 0.0),
    )
    attributes = [netlink.attribute(nl.NFQA_PACKET_HDR, bytes((0, 0, 0, 1, 8, 0, nl.PREROUTING)))]
    attributes += [netlink.attribute(nl.NFQA_IFINDEX_INDEV, (2).to_bytes(4, "big"))]
    attributes += [netlink.attribute(nl.NFQA_SKB_INFO, info.to_bytes(4, "big"))]
    attributes += [netlink.attribute(nl.NFQA_CAP_LEN, bytes(4))] if cut else []
    fuzz_datapath.deliver([fuzz_datapath.message(*attributes, netlink.attribute(nl.NFQA_PAYLOAD, ip(layer)))])
    assert worker.batch(queue) == 1
    verdict = int.from_bytes(queue._socket.sent[-1][24:28], "big")
    assert verdict == (nl.NF_QUEUE | queue.plain << nl.QUEUE_NUMBER_SHIFT if again else nl.NF_DROP)
    assert counters.totals[Total.REQUEUED] == again
    assert counters.totals[Total.PACKETS] == (not again)
