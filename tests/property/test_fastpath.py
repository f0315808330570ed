"""The fast path equals the core octet for octet; superframes are compared after segmentation."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from plain_packets import TRANSLATORS, packets, transport
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from nfxlat.datapath.fastpath import FastPath, Taken
from nfxlat.datapath.frame import BARE, TUN, Frame, ethernet
from nfxlat.datapath.source import HEADROOM, TAILROOM, Kind
from nfxlat.datapath.superframe import (
    MAX_SEGMENTS,
    Cutting,
    complete_checksum,
    cutting,
    is_own_checksum_unfinished,
    segments,
)
from nfxlat.outcome import Action
from nfxlat.wire import vnet
from nfxlat.wire.nfqueue import FORWARD, LOCAL_OUT, POSTROUTING, PREROUTING, SKB_CSUMNOTREADY, SKB_GSO
from nfxlat.wire.stamp import MAGIC
from nfxlat.wire.stamp import UDP as STAMP_UDP

FRAME = ethernet(b"nearer", b"farther"[:6])
FRAMES = {"device": FRAME, "tun": TUN, "bare": BARE}


def take(
    fast: FastPath,
    packet: bytes,
    info: int = 0,
    hook: int = PREROUTING,
    priority: int = 0,
    frame: Frame = FRAME,
) -> tuple[bytes, bytes] | None:
    """(vnet header, IP packet) as the fast path makes them, where it makes one of a packet."""
    made = take_all(fast, packet, info, hook, priority, frame)
    assert len(made) <= 1
    return made[0] if made else None


def take_all(
    fast: FastPath,
    packet: bytes,
    info: int = 0,
    hook: int = PREROUTING,
    priority: int = 0,
    frame: Frame = FRAME,
) -> list[tuple[bytes, bytes]]:
    """(vnet header, IP packet) of all that the fast path makes, from a buffer that is dirty all around the packet."""
    dirt = b"\xa5" * (TAILROOM + 64)
    buffer = bytearray(b"\xa5" * HEADROOM + packet + dirt)
    end = HEADROOM + len(packet)
    taken = Taken()
    index = fast.run(buffer, 0, [(HEADROOM, len(packet), priority, Kind(hook, 2, info))], 0, taken)
    messages = list(zip(taken.messages[::2], taken.messages[1::2], strict=True))
    assert len(messages) == len(taken.destinations) == index + len(taken.parts)
    if not index:
        assert buffer == b"\xa5" * HEADROOM + packet + dirt  # the core must find it untouched
        return []
    assert sum(messages[0]) <= end
    if taken.parts:
        assert taken.parts == [messages[0][0]]
        begin, length = messages[1]
        assert begin == end
        assert length <= TAILROOM
        end += length
    assert buffer[end:] == b"\xa5" * (len(buffer) - end)
    result = []
    for begin, length in messages:
        made = bytes(buffer[begin : begin + length])
        header, link, ip = made[: frame.size - len(frame.link4)], made[: frame.size], made[frame.size :]
        assert link[len(header) :] == (frame.link4 if ip[0] >> 4 == 4 else frame.link6)
        result.append((header, ip))
    return result


@given(packet=packets(), hops=st.integers(0, 1), which=st.sampled_from(range(3)))
def test_a_plain_packet_comes_out_as_from_the_core(packet: bytes, hops: int, which: int) -> None:
    translator = TRANSLATORS[which]
    result = take(FastPath(translator, FRAME, device=not hops), packet)
    assume(result is not None)
    assert result is not None
    outcome = translator.translate(packet, hops, next_hop_mtu=65535)
    assert outcome.action is Action.TRANSLATED
    assert (result[0], (result[1],)) == (vnet.NOTHING, outcome.packets)


@given(packet=packets())
def test_what_was_put_together_of_fragments_is_the_core_s(packet: bytes) -> None:
    record = (HEADROOM, len(packet), 0, Kind(PREROUTING, 2, reassembled=True))
    buffer = bytearray(bytes(HEADROOM) + packet + bytes(TAILROOM))
    assert FastPath(TRANSLATORS[0], FRAME).run(buffer, 0, [record], 0, Taken()) == 0


@given(packet=packets(), which=st.sampled_from(sorted(FRAMES)))
def test_a_packet_is_the_same_in_every_frame(packet: bytes, which: str) -> None:
    frame = FRAMES[which]
    expected = take(FastPath(TRANSLATORS[0], FRAME), packet)
    result = take(FastPath(TRANSLATORS[0], frame), packet, frame=frame)
    assume(expected is not None)
    assert expected is not None
    assert result is not None
    assert result == (vnet.NOTHING if frame.offloads else b"", expected[1])


@pytest.mark.parametrize("which", sorted(FRAMES))
@pytest.mark.parametrize("version", [4, 6])
def test_offsets_of_an_unfinished_checksum_count_from_the_link_header(version: int, which: str) -> None:
    """A frame without offloads leaves such a packet to the core."""
    frame = FRAMES[which]
    packet = unfinished(bytes(plain_header(version) / transport("udp", 1, 2, 3, "") / b"x"))
    result = take(FastPath(TRANSLATORS[0], frame), packet, SKB_CSUMNOTREADY, frame=frame)
    if not frame.offloads:
        assert result is None
        return
    assert result is not None
    start = len(frame.link4) + (40 if version == 4 else 20)
    assert vnet.unpack(result[0]) == (vnet.NEEDS_CSUM, vnet.GSO_NONE, 0, 0, start, 6)


@pytest.mark.parametrize("which", sorted(FRAMES))
@pytest.mark.parametrize("version", [4, 6])
def test_lengths_of_a_superframe_count_from_the_link_header(version: int, which: str) -> None:
    """A frame without offloads leaves it to the core."""
    frame = FRAMES[which]
    fast = FastPath(TRANSLATORS[0], frame)
    fast.trust_stamps({2})
    packet = bytes(plain_header(version) / transport("tcp", 1, 2, 3, "A") / bytes(3000))
    result = take(fast, packet, SKB_CSUMNOTREADY | SKB_GSO, priority=MAGIC | 1000, frame=frame)
    if not frame.offloads:
        assert result is None
        return
    assert result is not None
    start, kind = (40, vnet.GSO_TCPV6) if version == 4 else (20, vnet.GSO_TCPV4)
    start += len(frame.link4)
    assert vnet.unpack(result[0]) == (vnet.NEEDS_CSUM, kind, start + 20, 1000, start, 16)


@settings(
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)  # of the damaged, the fast path leaves most to the core
@given(packet=packets(), position=st.integers(0, 70), value=st.integers(0, 255), hops=st.integers(0, 1))
def test_a_damaged_packet_comes_out_as_from_the_core(packet: bytes, position: int, value: int, hops: int) -> None:
    assume(position < len(packet))
    damaged = bytearray(packet)
    damaged[position] = value
    if damaged[0] >> 4 == 4 and len(damaged) >= 20:  # the kernel has verified the IPv4 header checksum
        damaged[10:12] = bytes(2)
        damaged[10:12] = (0xFFFF - int.from_bytes(damaged[:20], "big") % 0xFFFF).to_bytes(2, "big")
    result = take(FastPath(TRANSLATORS[0], FRAME, device=not hops), bytes(damaged))
    assume(result is not None)
    assert result is not None
    outcome = TRANSLATORS[0].translate(bytes(damaged), hops, next_hop_mtu=65535)
    assert outcome.packets == (result[1],)


@given(packet=packets(), hops=st.integers(0, 1))
def test_an_unfinished_checksum_stays_one_that_the_kernel_can_finish(packet: bytes, hops: int) -> None:
    protocol, offset = (packet[9], 20) if packet[0] >> 4 == 4 else (packet[6], 40)
    field = offset + (16 if protocol == 6 else 6)
    partial = unfinished(packet)
    assume(any(partial[field : field + 2]))
    result = take(FastPath(TRANSLATORS[0], FRAME, device=not hops), partial, SKB_CSUMNOTREADY)
    assume(result is not None)
    assert result is not None
    assert is_own_checksum_unfinished(partial)
    header, made = result
    flags, kind, _, _, start, offset = vnet.unpack(header)
    assert (flags, kind, start) == (vnet.NEEDS_CSUM, 0, 14 + (40 if made[0] >> 4 == 6 else 20))
    outcome = TRANSLATORS[0].translate(complete_checksum(partial), hops, next_hop_mtu=65535)
    finished, (expected,) = complete_checksum(made), outcome.packets
    assert finished == expected


def grown(packet: bytes, size: int) -> bytes:
    """The packet with `size` octets more payload."""
    whole = bytearray(packet + bytes(i & 0xFF for i in range(size)))
    if whole[0] >> 4 == 4:
        whole[2:4] = len(whole).to_bytes(2, "big")
        whole[10:12] = bytes(2)
        whole[10:12] = (0xFFFF - int.from_bytes(whole[:20], "big") % 0xFFFF).to_bytes(2, "big")
    else:
        whole[4:6] = (len(whole) - 40).to_bytes(2, "big")
    at = 20 if whole[0] >> 4 == 4 else 40
    if whole[9 if at == 20 else 6] == 17:
        whole[at + 4 : at + 6] = (len(whole) - at).to_bytes(2, "big")
    return bytes(whole)


@given(
    packet=packets(),
    size=st.integers(0, 20000),
    hops=st.integers(0, 1),
    gso_size=st.one_of(st.just(0), st.integers(64, 1448)),
)
def test_a_superframe_is_what_its_segments_become(packet: bytes, size: int, hops: int, gso_size: int) -> None:
    """Without a stamp (0) and with one. The identification counts up in the kernel: a deviation of its segmentation."""
    whole = grown(packet, size)
    udp = whole[9 if whole[0] >> 4 == 4 else 6] == 17
    stamp = (MAGIC | (STAMP_UDP if udp else 0) | gso_size) if gso_size else 0
    fast = FastPath(TRANSLATORS[0], FRAME, device=not hops)
    fast.trust_stamps({2})
    result = take_all(fast, whole, SKB_CSUMNOTREADY | SKB_GSO, priority=stamp)
    assume(result)
    header, made = result[0]
    version = made[0] >> 4
    flags, kind, header_length, made_size, start, offset = vnet.unpack(header)
    transport_header = 8 if udp else 20
    assert (flags, start, offset) == (vnet.NEEDS_CSUM, 34 if version == 4 else 54, 6 if udp else 16)
    if kind:
        expected_kind = vnet.GSO_UDP_L4 if udp else vnet.GSO_TCPV4 if version == 4 else vnet.GSO_TCPV6
        assert kind & 0x7F == expected_kind
        assert not kind & vnet.GSO_ECN
        assert header_length == start + transport_header
        df0 = whole[0] >> 4 == 4 and not whole[6] & 0x40
        wanted = gso_size or 1240 - transport_header
        assert made_size == (min(wanted, 1240 - transport_header) if df0 else wanted)
        if made_size != wanted:
            return  # TCP is cut smaller, where the core, which knows no superframes, would make fragments
    out = [
        segment
        for header, made in result
        for segment in segments(made, MAGIC | (STAMP_UDP if udp else 0) | (vnet.unpack(header)[3] or 0xFFFF - 64))
    ]
    expected: list[bytes] = []
    for segment in segments(whole, stamp):
        expected += TRANSLATORS[0].translate(segment, hops, next_hop_mtu=65535).packets
    if version == 4:
        out, expected = ([without_identification(p) for p in side] for side in (out, expected))
    assert [canonical(p, offset) for p in out] == [canonical(p, offset) for p in expected]


@pytest.mark.parametrize("version", [4, 6])
def test_what_has_cwr_is_cut_by_whoever_knows_whose_it_is(version: int) -> None:
    """A TUN knows the first segment's alone; what a queue hands over may have it in every segment (AccECN)."""
    packet = bytes(plain_header(version) / transport("tcp", 1, 2, 3, "AC") / bytes(3000))
    fast = FastPath(TRANSLATORS[0], TUN)
    fast.trust_stamps({2})
    ((header, _),) = take_all(fast, packet, SKB_CSUMNOTREADY | SKB_GSO, FORWARD, MAGIC | 1000, TUN)
    assert vnet.unpack(header)[1] & vnet.GSO_ECN
    for hook in (PREROUTING, LOCAL_OUT, POSTROUTING):
        for stamp in (MAGIC | 1000, 0):
            assert not take_all(fast, packet, SKB_CSUMNOTREADY | SKB_GSO, hook, stamp, TUN)


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("full", [1, 2, 30])
@pytest.mark.parametrize("last", [1, 1232, 1233, 1400])
def test_a_short_last_segment_of_a_6to4_superframe_has_its_own_df(kind: str, full: int, last: int) -> None:
    """RFC 7915 5.1: up to 1260 octets DF=0. Flags and numbers are those of the segment too."""
    header = 20 if kind == "tcp" else 8
    payload = bytes(number * 7 & 0xFF for number in range(full * 1400 + last))
    packet = bytes(plain_header(6) / transport(kind, 1, 2, 0xFFFFFF00, "FPACE") / payload)
    fast = FastPath(TRANSLATORS[0], FRAME)
    fast.trust_stamps({2})
    stamp = MAGIC | 1400 | (STAMP_UDP if kind == "udp" else 0)
    made = take_all(fast, packet, SKB_CSUMNOTREADY | SKB_GSO, FORWARD, stamp)  # a TUN's: it has CWR
    assert len(made) == (2 if last + header + 20 <= 1260 else 1)
    out = [p for vnet_header, ip in made for p in segments(ip, stamp & ~0xFFFF | (vnet.unpack(vnet_header)[3] or 1400))]
    expected = [TRANSLATORS[0].translate(s, 0, next_hop_mtu=65535).packets[0] for s in segments(packet, stamp)]
    assert [bool(p[6] & 0x40) for p in out] == [True] * full + [last + header + 20 > 1260]
    if kind == "udp" or len(made) <= full:  # counted up by the kernel
        out, expected = ([without_identification(p) for p in side] for side in (out, expected))
    assert out == expected


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("version", [4, 6])
def test_too_many_segments_are_the_fast_path_s_to_refuse_too(kind: str, version: int) -> None:
    fast = FastPath(TRANSLATORS[0], FRAME)
    fast.trust_stamps({2})
    stamp = MAGIC | 2 | (STAMP_UDP if kind == "udp" else 0)
    for payload, taken in ((2 * MAX_SEGMENTS, True), (2 * MAX_SEGMENTS + 1, False)):
        packet = bytes(plain_header(version) / transport(kind, 1, 2, 3, "A") / bytes(payload))
        made = take_all(fast, packet, SKB_CSUMNOTREADY | SKB_GSO, priority=stamp)
        assert bool(made) == taken
        assert isinstance(cutting(packet, stamp), Cutting) == taken


def unfinished(packet: bytes) -> bytes:
    """The plain packet with the folded sum of its pseudo-header for a checksum."""
    protocol, at, addresses = packet[9], 20, packet[12:20]
    if packet[0] >> 4 == 6:
        protocol, at, addresses = packet[6], 40, packet[8:40]
    field = at + (16 if protocol == 6 else 6)
    pseudo = (int.from_bytes(addresses, "big") + protocol + len(packet) - at) % 0xFFFF
    return packet[:field] + pseudo.to_bytes(2, "big") + packet[field + 2 :]


def canonical(packet: bytes, field: int) -> bytes:
    """The packet with a transport checksum of 0xffff as 0: the same number, and either may come of a sum of zero."""
    at = field + (20 if packet[0] >> 4 == 4 else 40)
    return packet[:at] + bytes(2) + packet[at + 2 :] if packet[at : at + 2] == b"\xff\xff" else packet


def without_identification(packet: bytes) -> bytes:
    return packet[:4] + bytes(2) + packet[6:10] + bytes(2) + packet[12:]


def plain_header(version: int) -> Packet:
    if version == 4:
        return IP(src="192.0.2.2", dst="203.0.113.2")
    return IPv6(src="2001:db8:2::2", dst="2001:db8:64::c000:202")


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("version", [4, 6])
def test_plain_packets_do_take_the_fast_path(kind: str, version: int) -> None:
    fast = FastPath(TRANSLATORS[0], FRAME)
    assert take(fast, bytes(plain_header(version) / transport(kind, 1, 2, 3, "A") / b"x")) is not None
    assert len(fast) == 1


def test_a_flood_of_addresses_neither_grows_the_cache_nor_displaces_a_pair_in_use() -> None:
    taught: list[bytes] = []

    class Counting:
        domain = TRANSLATORS[0].domain

        def template(self, addresses: bytes) -> object:
            taught.append(addresses)
            return TRANSLATORS[0].template(addresses)

    fast = FastPath(Counting(), FRAME, generation=100)  # type: ignore[arg-type]
    used = bytes(IP(src="192.0.2.2", dst="203.0.113.2") / UDP() / b"x")
    for number in range(1000):
        source = str(IPv4Address("100.64.0.0") + number)
        assert take(fast, bytes(IP(src=source, dst="203.0.113.2") / UDP() / b"x")) is not None
        assert take(fast, used) is not None
        assert len(fast) <= 200
    assert taught.count(used[12:20]) == 1


def test_pairs_that_need_the_core_are_remembered_too() -> None:
    calls: list[bytes] = []

    class Refusing:
        domain = TRANSLATORS[0].domain

        def template(self, addresses: bytes) -> None:
            calls.append(addresses)

    fast = FastPath(Refusing(), FRAME)  # type: ignore[arg-type]
    packet = bytes(IP(src="192.0.2.2", dst="203.0.113.2") / UDP() / b"x")
    assert [take(fast, packet), take(fast, packet)] == [None, None]
    assert len(calls) == 1


def test_addresses_of_this_node_change_what_is_done() -> None:
    translator = TRANSLATORS[0]
    packet = bytes(IP(src="192.0.2.2", dst="203.0.113.2", ttl=9) / UDP() / b"x")
    source, destination = packet[12:16], packet[16:20]
    result6 = IPv6Address("2001:db8:2::2").packed
    made_source = IPv6Address("2001:db8:64::c000:202").packed
    fast = FastPath(translator, FRAME, local={source})
    assert take(fast, packet) is None  # this node's address as a source, from outside
    assert take(fast, packet, hook=3) is not None  # and at output
    fast.renew(translator, {result6})
    taken = take(fast, packet)
    assert taken is not None
    assert taken[1][7] == 8  # nobody forwards what ends here: the hop is ours
    fast.renew(translator, {made_source})
    assert take(fast, packet) is None  # leaves by the raw socket
    fast.renew(translator, {destination})
    assert take(fast, packet) is None  # not ours
    packet6 = bytes(IPv6(src="2001:db8:64::c000:202", dst="2001:db8:2::2") / UDP() / b"x")
    fast.renew(translator, {packet6[24:40]})
    assert take(fast, packet6) is not None  # a CLAT's address may be its host's own
    prefixed = bytes(IPv6(src="2001:db8:2::2", dst="2001:db8:64::c000:202") / UDP() / b"x")
    fast.renew(translator, {prefixed[24:40]})
    assert take(fast, prefixed) is None


def test_the_ip_injector_leaves_what_exceeds_the_route_to_the_core() -> None:
    limits = {IPv6Address("2001:db8:2::2").packed: 1300}
    fast = FastPath(TRANSLATORS[0], FRAME, device=False, mtu_of=limits.__getitem__)
    for payload, taken in ((1300 - 48, True), (1300 - 47, False)):
        packet = bytes(IP(src="192.0.2.2", dst="203.0.113.2", flags="DF") / UDP() / bytes(payload))
        assert (take(fast, packet) is not None) == taken
