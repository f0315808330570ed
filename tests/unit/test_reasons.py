"""Each `Reason` by a packet that meets it: in the core, in the data path's worker, or in the injectors' errno table.

`MET` has a row for every member of `Reason`, and each is made to happen here: a reason that nothing meets any more is
found, and so is a new one without a row.
"""

import errno
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import fuzz_datapath
import pytest
from packets import A4, A6, B4, B6, T, ipv4, ipv6, translator
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrRouting,
)
from scapy.packet import Raw

from nfxlat.datapath.counters import Counters
from nfxlat.datapath.inject import Injectors, reason_of
from nfxlat.datapath.pathmtu import PathMtus
from nfxlat.datapath.worker import Worker
from nfxlat.outcome import Action, Reason
from nfxlat.wire import netlink
from nfxlat.wire import nfqueue as nl
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.translator import Translator

HOSTS = Eamt([(IPv4Network(A4), IPv6Network("2001:db8:a::7")), (IPv4Network(B4), IPv6Network("2001:db8:b::80"))])
DEVICE = 9

Met = Callable[[], Reason]


def error4(quote: bytes, icmp_type: int = 11) -> bytes:
    """Raw octets behind an ICMP header; scapy computes the checksum."""
    return ipv4(ICMP(type=icmp_type) / Raw(quote))


def core(action: Action, packet: bytes, **keys: Any) -> Met:
    """What the core says of the packet in a domain with these keys."""

    def meet() -> Reason:
        outcome = translator(**keys).translate(packet)
        assert outcome.action is action
        assert bool(outcome.packets) == (action in (Action.TRANSLATED, Action.REJECTED))
        return outcome.reason

    return meet


def translated(packet: bytes, **keys: Any) -> Met:
    return core(Action.TRANSLATED, packet, **keys)


def rejected(packet: bytes, **keys: Any) -> Met:
    return core(Action.REJECTED, packet, **keys)


def dropped(packet: bytes, **keys: Any) -> Met:
    return core(Action.DROPPED, packet, **keys)


def unreachable(reason: Reason) -> Met:
    def meet() -> Reason:
        outcome = translator().unreachable(ipv4(), reason)
        assert outcome.action is Action.REJECTED
        return outcome.reason

    return meet


def queued(packet: bytes, *, indev: int = 2, info: int = 0, cut: bool = False, accepted: bool = False) -> Met:
    """What a worker counts for a packet out of the queue, and whether its verdict is ACCEPT."""

    def meet() -> Reason:
        queue = fuzz_datapath.QUEUE
        attributes = [netlink.attribute(nl.NFQA_PACKET_HDR, bytes((0, 0, 0, 1, 8, 0, nl.PREROUTING)))]
        attributes += [netlink.attribute(nl.NFQA_IFINDEX_INDEV, indev.to_bytes(4, "big"))]
        attributes += [netlink.attribute(nl.NFQA_SKB_INFO, info.to_bytes(4, "big"))]
        attributes += [netlink.attribute(nl.NFQA_CAP_LEN, bytes(4))] if cut else []
        fuzz_datapath.deliver([fuzz_datapath.message(*attributes, netlink.attribute(nl.NFQA_PAYLOAD, packet))])
        counters, collector = Counters(), fuzz_datapath.Collector(queue.buffer)
        worker = Worker(
            [],
            T,
            Injectors(collector, collector, False),
            counters,
            fast=None,
            paths=PathMtus(lambda: 0.0),
            device_index=DEVICE,
            local={IP(src="192.0.2.77").build()[12:16]},
        )
        assert worker.batch(queue) == 1
        (verdict,) = queue._socket.sent
        assert (int.from_bytes(verdict[24:28], "big") == nl.NF_ACCEPT) == accepted
        ((reason, number),) = fuzz_datapath.counted(counters).items()
        assert number == 1
        return reason

    return meet


def refused(code: int) -> Met:
    return lambda: reason_of(code)


WELL_KNOWN = IPv6Network("64:ff9b::/96")
QUOTE4 = ipv4(src=B4, dst=A4)
HAIRPIN = ipv6(src="2001:db8:a::7", dst=B6)

MET: dict[Reason, Met] = {
    Reason.TRANSLATED: translated(ipv4()),
    Reason.FRAGMENTED: translated(ipv4(UDP() / bytes(1400))),
    Reason.HAIRPINNED: translated(HAIRPIN, eamt=HOSTS),
    Reason.UDP_CHECKSUM_COMPUTED: translated(ipv4(UDP(chksum=0) / b"x"), udp_zero_checksum="compute"),
    Reason.UDP_CHECKSUM_FORWARDED: translated(ipv4(UDP(chksum=0) / b"x"), udp_zero_checksum="forward"),
    Reason.NOT_OURS: core(Action.PASSED, ipv6(dst="2001:db8::1")),
    Reason.HOP_LIMIT_EXCEEDED: rejected(ipv4(ttl=1)),
    Reason.PACKET_TOO_BIG: rejected(ipv4(UDP() / bytes(1472), flags="DF")),
    Reason.SOURCE_ROUTE: rejected(ipv4(options=b"\x83\x07\x04\xc0\0\x02\x01\0")),
    Reason.ROUTING_HEADER: rejected(ipv6(IPv6ExtHdrRouting(addresses=[A6], segleft=1) / UDP())),
    Reason.EXTENSION_AFTER_FRAGMENT: rejected(ipv6(IPv6ExtHdrFragment() / IPv6ExtHdrDestOpt() / UDP())),
    Reason.NO_MAPPING_SOURCE: rejected(ipv6(src="2001:db8:fe::1")),
    Reason.NO_ROUTE: unreachable(Reason.NO_ROUTE),
    Reason.HOST_UNREACHABLE: unreachable(Reason.HOST_UNREACHABLE),
    Reason.PROHIBITED: unreachable(Reason.PROHIBITED),
    Reason.NOT_IP: dropped(b"\x50" + bytes(39)),
    Reason.TRUNCATED: dropped(ipv4()[:-1]),
    Reason.HEADER_CHECKSUM: dropped(ipv4(chksum=1)),
    Reason.BAD_OPTIONS: dropped(ipv4(options=b"\x94\0\0\0")),
    Reason.BAD_FRAGMENT: dropped(ipv4(Raw(bytes(9)), proto=17, flags="MF")),
    Reason.BAD_EXTENSION: dropped(ipv6(b"", nh=60)),
    Reason.BAD_TRANSPORT: dropped(ipv4(Raw(bytes(19)), proto=6)),
    Reason.MARTIAN_SOURCE: dropped(ipv4(src="127.0.0.1")),
    Reason.MARTIAN_DESTINATION: dropped(ipv4(dst="240.0.0.1")),
    Reason.MARTIAN_INNER: dropped(error4(ipv4(src="127.0.0.1"))),
    Reason.DENYLISTED: dropped(ipv4(), denylist4=(IPv4Network(A4),)),
    Reason.WELL_KNOWN_PREFIX: dropped(ipv4(dst="10.0.0.1"), prefix6=WELL_KNOWN),
    Reason.HAIRPIN_OFF: dropped(HAIRPIN, eamt=HOSTS, hairpin="off"),
    Reason.LOCAL_SOURCE: queued(ipv4(src="192.0.2.77")),
    Reason.FRAGMENTED_ICMP: dropped(ipv4(ICMP() / bytes(8), flags="MF")),
    Reason.UDP_ZERO_CHECKSUM: dropped(ipv4(UDP(chksum=0))),
    Reason.UDP_ZERO_CHECKSUM_FRAGMENT: dropped(ipv4(UDP(chksum=0) / bytes(8), flags="MF")),
    Reason.FORBIDDEN_PROTOCOL: dropped(ipv4(Raw(bytes(8)), proto=58)),
    Reason.IGMP: dropped(ipv4(Raw(bytes(8)), proto=2)),
    Reason.ICMP_CHECKSUM: dropped(ipv4(ICMP(type=11, chksum=1) / Raw(QUOTE4))),
    Reason.ICMP_TYPE: dropped(ipv4(ICMP(type=13) / bytes(12))),
    Reason.ICMP_POINTER: dropped(ipv4(ICMP(type=12, ptr=10) / Raw(QUOTE4))),
    Reason.ICMP_LENGTH: dropped(ipv4(ICMP(type=11, length=255) / Raw(QUOTE4))),
    Reason.INNER_TRUNCATED: dropped(error4(QUOTE4[:19])),
    Reason.INNER_MALFORMED: dropped(error4(b"\x60" + QUOTE4[1:])),
    Reason.INNER_NO_MAPPING: dropped(ipv6(ICMPv6TimeExceeded() / IPv6(src=B6, dst="2001:db8:fe::1") / UDP())),
    Reason.INNER_ICMP_ERROR: dropped(error4(error4(QUOTE4))),
    Reason.INNER_ICMP_TYPE: dropped(error4(ipv4(ICMP(type=13) / bytes(12)))),
    Reason.ERROR_RATE_LIMITED: lambda: Translator(T.domain, allow=lambda *_: False).translate(ipv4(ttl=1)).reason,
    Reason.ERROR_NO_SOURCE: dropped(ipv6(src="2001:db8:fe::1", dst="2001:db8:b::80"), prefix6=None, eamt=HOSTS),
    Reason.FROM_DOMAIN_DEVICE: queued(ipv4(), indev=DEVICE, accepted=True),
    Reason.SUPERFRAME_UNKNOWN: queued(ipv4(UDP() / bytes(3000)), info=nl.SKB_GSO | nl.SKB_CSUMNOTREADY),
    Reason.SUPERFRAME_SEGMENTS: queued(
        ipv6(Raw((b"\x3c\x1f" + bytes(254)) * 239 + b"\x06\x1f" + bytes(254) + bytes(TCP() / bytes(3000))), nh=60),
        info=nl.SKB_GSO | nl.SKB_CSUMNOTREADY,
    ),
    Reason.QUEUE_TRUNCATED: queued(ipv4(), cut=True),
    Reason.INJECT_TOO_BIG: refused(errno.EMSGSIZE),
    Reason.INJECT_NO_BUFFER: refused(errno.ENOBUFS),
    Reason.INJECT_FAILED: refused(errno.EPERM),
}


# 4.1-14: RFC 7915 lets such an error pass, and the core does; the data path lets no illegal address through
def test_the_data_path_drops_an_icmp_error_with_an_illegal_source() -> None:
    packet = ipv4(ICMP(type=11) / Raw(QUOTE4), src="127.0.0.1")
    outcome = translator().translate(packet)
    assert outcome.action is Action.TRANSLATED
    assert queued(packet)() is Reason.MARTIAN_SOURCE


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.label)
def test_each_reason_is_met(reason: Reason) -> None:
    assert MET[reason]() is reason


def test_no_row_without_a_reason() -> None:
    assert list(MET) == list(Reason)


# What comes with an ICMP error becomes silent where none may be sent, and keeps its reason.
@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (ipv4(ICMP(type=3, code=1) / Raw(QUOTE4), ttl=1), Reason.HOP_LIMIT_EXCEEDED),
        (ipv6(ICMPv6DestUnreach() / IPv6(src=B6, dst=A6) / TCP(), hlim=1), Reason.HOP_LIMIT_EXCEEDED),
        (ipv4(ICMP(type=3) / Raw(QUOTE4), options=b"\x83\x07\x04\xc0\0\x02\x01\0"), Reason.SOURCE_ROUTE),
        (ipv6(IPv6ExtHdrFragment(nh=60, offset=4) / Raw(bytes(8))), Reason.EXTENSION_AFTER_FRAGMENT),
        (ipv6(IPv6ExtHdrRouting(addresses=[A6], segleft=1) / ICMPv6ParamProblem() / IPv6()), Reason.ROUTING_HEADER),
        (ipv4(Raw(bytes(1456)), proto=17, flags="DF", frag=2), Reason.PACKET_TOO_BIG),
    ],
)
def test_a_rejection_that_must_not_be_told_keeps_its_reason(packet: bytes, reason: Reason) -> None:
    outcome = translator().translate(packet)
    assert outcome == (Action.DROPPED, reason, ())


def test_each_reason_has_a_sentence_and_a_clause_of_its_own_words() -> None:
    assert len({reason.sentence for reason in Reason}) == len(Reason)
    for reason in Reason:
        assert reason.label == reason.name.lower()
        assert reason.sentence
        assert not reason.sentence.endswith(".")
        assert reason.rfc.startswith(("RFC ", "nfnetlink_queue.c", "af_packet.c", "net/tcp.h"))
