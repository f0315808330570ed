"""The device model's data path: a routed TUN, superframes and unfinished checksums both ways (drivers/net/tun.c).

What is routed into the device is read from it, and results are written back to it, so one descriptor is both source and
injector. Each queue of the device is a descriptor of its own, and the kernel spreads flows over them.

    read, write:  | virtio_net_hdr 10 (wire.vnet) | IP packet ...     no packet information (IFF_NO_PI)

Rules
- The header tells gso_size and gso_type, so a record carries them as a stamp of the interface `INDEV`.
- The header also tells which checksum is unfinished. That of an inner header (GRE, IPIP, VXLAN, FOU) is finished here,
  so what is told as unfinished is the packet's own.
- There is no verdict: what was read is gone. What is not ours cannot be let through, so it is dropped.
- The hook is `FORWARD`: what others have sent has been forwarded into the device, one hop taken off, and is forwarded
  again behind it. This node's own packets come the same way; their source tells them.
"""

import contextlib
import os
import struct
from collections.abc import Collection, Sequence

from nfxlat.datapath.counters import PART
from nfxlat.datapath.frame import TUN
from nfxlat.datapath.inject import BY_FAST_PATH, Failed, reason_of
from nfxlat.datapath.mmsg import address_of
from nfxlat.datapath.source import HEADROOM, SLOTS, Kind, Record
from nfxlat.datapath.superframe import finish_checksum
from nfxlat.wire import ipv4, ipv6, stamp, vnet
from nfxlat.wire.nfqueue import FORWARD, SKB_CSUMNOTREADY, SKB_GSO
from nfxlat.wire.transport import CHECKSUM_AT

INDEV = 1  # the interface whose stamps count, as far as records of a TUN are concerned
_SLOT_SIZE = 72 * 1024
_seen = struct.Struct("=HHB5xB2xB").unpack_from  # csum_start, csum_offset; version, Next Header, protocol
_WHOLE, _UNFINISHED = Kind(FORWARD, INDEV), Kind(FORWARD, INDEV, SKB_CSUMNOTREADY)


class TunSource:
    """One queue as a packet source."""

    def __init__(self, descriptor: int, *, queue: int = 0, slots: int = SLOTS) -> None:
        self.queue = queue
        self.plain: int | None = None
        self._descriptor = descriptor
        self.buffer = bytearray(slots * _SLOT_SIZE)
        self.base = address_of(self.buffer)
        view = memoryview(self.buffer)
        starts = range(HEADROOM, slots * _SLOT_SIZE, _SLOT_SIZE)
        self._slots = [(at, [view[at - vnet.SIZE : at - HEADROOM + _SLOT_SIZE]]) for at in starts]

    def fileno(self) -> int:
        return self._descriptor

    def receive(self) -> Sequence[Record]:
        """The packets that wait, at most one batch, without blocking."""
        records: list[Record] = []
        descriptor, buffer, readv = self._descriptor, self.buffer, os.readv
        with contextlib.suppress(BlockingIOError):
            for at, slot in self._slots:
                length = readv(descriptor, slot) - vnet.SIZE
                kind = _UNFINISHED if buffer[at - vnet.SIZE] & vnet.NEEDS_CSUM else _WHOLE
                if buffer[at - vnet.SIZE + 1]:
                    records.append(self._superframe(at, length, kind))
                    continue
                if kind is _UNFINISHED:
                    start, field, first, next_header, protocol = _seen(buffer, at - 4)
                    if first >> 4 == 6:
                        own = start == ipv6.HEADER_LENGTH and CHECKSUM_AT.get(next_header) == field
                    else:
                        own = first == 0x45 and start == ipv4.HEADER_LENGTH and CHECKSUM_AT.get(protocol) == field
                    if not own:
                        finish_checksum(buffer, at, at + length, start, field)
                        kind = _WHOLE
                records.append((at, length, 0, kind))
        return records

    def _superframe(self, at: int, length: int, kind: Kind) -> Record:
        _, gso_type, _, gso_size, _, _ = vnet.unpack(self.buffer[at - vnet.SIZE : at])
        priority = stamp.MAGIC | gso_size
        match gso_type & ~vnet.GSO_ECN:
            case vnet.GSO_TCPV4 | vnet.GSO_TCPV6:
                pass
            case vnet.GSO_UDP_L4:
                priority |= stamp.UDP
            case _:
                priority = 0
        return at, length, priority, kind._replace(skb_info=kind.skb_info | SKB_GSO)

    def conclude(self, accepted: Sequence[int], again: Sequence[int] = ()) -> None:
        """Nothing: what was read is gone, one way or the other."""

    def descriptors(self) -> tuple[int, ...]:
        """All that it has open."""
        return (self._descriptor,)

    def close(self) -> None:
        """Give the queue back."""
        os.close(self._descriptor)


class TunInjector:
    """Writes results to the queue `source`; closing is the source's."""

    frame = TUN

    def __init__(self, source: TunSource, failed: Failed) -> None:
        self._descriptor, self._base = source.fileno(), source.base
        self._view = memoryview(source.buffer)
        self._failed = failed

    def put_all(self, messages: list[int], destinations: list[bytes], parts: Collection[int] = ()) -> None:
        """Write at once: there is no writing of several."""
        for address, length in zip(messages[::2], messages[1::2], strict=True):
            begin = address - self._base
            try:
                os.write(self._descriptor, self._view[begin : begin + length])
            except OSError as error:
                what = PART if address in parts else BY_FAST_PATH[self._view[begin + self.frame.size] >> 4]
                self._failed(reason_of(error.errno or 0), what)

    def put_packet(self, packet: bytes, what: int) -> None:
        """Write a whole IP packet, its checksums complete."""
        try:
            os.write(self._descriptor, vnet.NOTHING + packet)
        except OSError as error:
            self._failed(reason_of(error.errno or 0), what)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing: the descriptor is the source's."""
