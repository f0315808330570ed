"""The injectors: the entering half of a translation point.

device  through the far end of the domain device, so that packets come in on it and are routed, filtered and forwarded
        like any other; superframes and unfinished checksums are welcome (AF_PACKET, PACKET_VNET_HDR;
        net/packet/af_packet.c).
ip      through raw IP sockets, as a host sends: output hooks, no forwarding (net/ipv4/raw.c, net/ipv6/raw.c).

Both stage packets and send them in one system call. What the fast path has made stays in the source's buffer; other
packets go through an arena. Each injector tells its frame: the octets that it wants in front of an IP packet. What is
refused is told with what it was counted as (nfxlat.datapath.counters).
"""

import ctypes
import errno
import socket
import struct
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from nfxlat.datapath.counters import PART, Direction, cell
from nfxlat.datapath.frame import BARE, Frame, ethernet
from nfxlat.datapath.mmsg import SendBatch, address_of
from nfxlat.outcome import Reason
from nfxlat.wire import vnet
from nfxlat.wire.ipv4 import FRAGMENTED

_SO_SNDBUFFORCE = 32
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE = 10, 23, 3
_CAPACITY = 256
_ARENA = 1 << 20
_SEND_BUFFER = 64 << 20

Failed = Callable[[Reason, int], None]
"""Why a packet was refused, and what it is counted as: a cell of the counters, PART or ERROR."""

BY_FAST_PATH = {4: cell(Reason.TRANSLATED, Direction.V6TO4), 6: cell(Reason.TRANSLATED, Direction.V4TO6)}
"""What results of the fast path are counted as, by their version."""


def reason_of(code: int) -> Reason:
    """What an errno of a send means for the packet."""
    if code == errno.EMSGSIZE:
        return Reason.INJECT_TOO_BIG
    if code in (errno.ENOBUFS, errno.EAGAIN, errno.ENOMEM):
        return Reason.INJECT_NO_BUFFER
    return Reason.INJECT_FAILED


class Injector(Protocol):
    """Where results go."""

    @property
    def frame(self) -> Frame:
        """What goes in front of each packet."""

    def put_all(self, messages: list[int], destinations: list[bytes], parts: Collection[int] = ()) -> None:
        """Stage what the fast path has made (fastpath.Taken); it must stay as it is until `flush`. `parts`: addresses
        of those that are not counted for themselves."""

    def put_packet(self, packet: bytes, what: int) -> None:
        """Stage a copy of a whole IP packet; `what` it is counted as."""

    def flush(self) -> None: ...

    def close(self) -> None: ...


class _Arena:
    """Copies of packets that wait to be sent."""

    def __init__(self) -> None:
        self.buffer = bytearray(_ARENA)
        self.base = address_of(self.buffer)
        self.used = 0
        self.whats: dict[int, int] = {}  # what the packets that wait are counted as, by address

    def fits(self, length: int) -> bool:
        return self.used + length <= _ARENA

    def note(self, parts: Iterable[int]) -> None:
        """Of packets elsewhere: those at these addresses are counted as PART."""
        self.whats.update(dict.fromkeys(parts, PART))

    def clear(self) -> None:
        """All has been sent."""
        self.used = 0
        self.whats.clear()

    def add(self, what: int, *parts: bytes) -> int:
        """Copy the parts behind one another; the address of the first. The packet is counted as `what`."""
        start = at = self.used
        for part in parts:
            self.buffer[at : at + len(part)] = part
            at += len(part)
        self.used = at + 7 & ~7
        self.whats[self.base + start] = what
        return self.base + start


class DeviceInjector:
    """Frames into the domain device through `packet_socket`, bound to its far end. Addresses are 6 octets each."""

    def __init__(self, packet_socket: socket.socket, near_mac: bytes, far_mac: bytes, failed: Failed) -> None:
        self._socket = packet_socket
        self.frame = ethernet(near_mac, far_mac)
        self._whole = {version: self.frame.whole(version) for version in (4, 6)}
        self._failed = failed
        self._batch = SendBatch(packet_socket.fileno(), _CAPACITY, self._refused)
        self._arena = _Arena()

    @staticmethod
    def open_socket(interface: str) -> socket.socket:
        """A sending packet socket on `interface` of the namespace that the caller is in; it receives nothing."""
        packet_socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        packet_socket.setsockopt(vnet.SOL_PACKET, vnet.PACKET_VNET_HDR, 1)
        _enlarge(packet_socket)
        packet_socket.bind((interface, 0))
        return packet_socket

    def put_all(self, messages: list[int], destinations: list[bytes], parts: Collection[int] = ()) -> None:
        if parts:
            self._arena.note(parts)
        self._batch.put_all(messages)

    def put_packet(self, packet: bytes, what: int) -> None:
        frame = self._whole[packet[0] >> 4]
        length = len(frame) + len(packet)
        if not self._arena.fits(length):
            self.flush()
        self._batch.put(self._arena.add(what, frame, packet), length)

    def flush(self) -> None:
        self._batch.flush()
        self._arena.clear()

    def _refused(self, code: int, address: int) -> None:
        what = self._arena.whats.get(address)
        if what is None:
            what = BY_FAST_PATH[ctypes.string_at(address + self.frame.size, 1)[0] >> 4]
        self._failed(reason_of(code), what)

    def descriptors(self) -> tuple[int, ...]:
        """All that it has open."""
        return (self._socket.fileno(),)

    def close(self) -> None:
        self._socket.close()


class IpInjector:
    """One raw socket a family, marked with `mark`, bound to the VRF if one is named; nothing larger than the device's
    MTU passes."""

    frame = BARE

    def __init__(self, failed: Failed, mark: int = 0, vrf: str | None = None) -> None:
        self._socket4 = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._socket6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
        # The route's MTU has been looked at already, and the kernel's own errors would come a second time.
        self._socket4.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
        self._socket6.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        for raw_socket in (self._socket4, self._socket6):
            _enlarge(raw_socket)
            if mark:
                raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            if vrf:
                raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, vrf.encode() + b"\0")

        self._failed = failed
        self._batch4 = SendBatch(self._socket4.fileno(), _CAPACITY, partial(self._refused, 4), name_size=16)
        self._batch6 = SendBatch(self._socket6.fileno(), _CAPACITY, partial(self._refused, 6), name_size=28)
        self._arena = _Arena()
        self._name4 = struct.pack("=H", socket.AF_INET) + bytes(2)
        self._name6 = struct.pack("=H", socket.AF_INET6) + bytes(6)

    def put_all(self, messages: list[int], destinations: list[bytes], parts: Collection[int] = ()) -> None:
        for address, length, destination in zip(messages[::2], messages[1::2], destinations, strict=True):
            self._put(address, length, destination)

    def _put(self, address: int, length: int, destination: bytes) -> None:
        if len(destination) == 4:
            self._batch4.put_to(address, length, self._name4 + destination + bytes(8))
        else:
            self._batch6.put_to(address, length, self._name6 + destination + bytes(4))

    def put_packet(self, packet: bytes, what: int) -> None:
        packet = with_identification(packet)
        if not self._arena.fits(len(packet)):
            self.flush()
        destination = packet[24:40] if packet[0] >> 4 == 6 else packet[16:20]
        self._put(self._arena.add(what, packet), len(packet), destination)

    def flush(self) -> None:
        self._batch4.flush()
        self._batch6.flush()
        self._arena.clear()

    def _refused(self, version: int, code: int, address: int) -> None:
        self._failed(reason_of(code), self._arena.whats.get(address, BY_FAST_PATH[version]))

    def descriptors(self) -> tuple[int, ...]:
        """All that it has open."""
        return self._socket4.fileno(), self._socket6.fileno()

    def close(self) -> None:
        self._socket4.close()
        self._socket6.close()


def with_identification(packet: bytes) -> bytes:
    """An IPv4 fragment of Identification 0 with 0xffff instead, which leaves its header checksum alone; others as they
    are. A raw socket would choose one for each fragment, and nobody could put them together (net/ipv4/raw.c).
    """
    if packet[4:6] != b"\0\0" or packet[0] >> 4 != 4 or not (packet[6] << 8 | packet[7]) & FRAGMENTED:
        return packet
    return packet[:4] + b"\xff\xff" + packet[6:]


def local_source(packet: bytes, local: Collection[bytes]) -> bool:
    """Whether the packet's source is an address of this node."""
    return (packet[8:24] if packet[0] >> 4 == 6 else packet[12:16]) in local


def _enlarge(any_socket: socket.socket) -> None:
    try:
        any_socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER)
    except PermissionError:
        any_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)


@dataclass(frozen=True, slots=True)
class Injectors:
    """`main` takes results; `raw` (a raw IP socket) what must not come in on the domain device."""

    main: Injector
    raw: Injector
    device: bool  # main is the device injector
