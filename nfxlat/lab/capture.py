"""See and send single packets: a tap on an interface, and raw IP packets of one's own making."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable
from types import TracebackType

from nfxlat.lab.netns import Namespace
from nfxlat.lab.probe import family_of

_ETH_P_ALL = 3
_IP = (0x0800, 0x86DD)  # linux/if_ether.h: IPv4, IPv6
_SO_RCVBUFFORCE, _BUFFER = 33, 32 << 20  # asm-generic/socket.h; octets
_LARGEST = 1 << 17
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # linux/socket.h, linux/if_packet.h


class Capture:
    """Every IP packet on `interface` of `namespace`, either way, without its link header; from its making on."""

    def __init__(self, namespace: Namespace, interface: str) -> None:
        with namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)  # nothing, until it is bound
        # a stream beside it fills the default, which is for a few hundred packets, where a slow machine reads late
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.bind((interface, _ETH_P_ALL))
        self._socket.setblocking(False)
        self.packets: list[bytes] = []

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def drain(self) -> list[bytes]:
        """All that has been seen so far."""
        while select.select([self._socket], [], [], 0)[0]:
            self._take()
        return self.packets

    def _take(self) -> None:
        packet, (_, protocol, *_) = self._socket.recvfrom(_LARGEST)
        if protocol in _IP:  # ARP is not to be taken for IP by an octet that happens to fit
            self.packets.append(packet)

    def wait(self, wanted: Callable[[bytes], bool], timeout: float = 15.0) -> bytes:
        """The first packet, seen already or to come, that is `wanted`. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        looked = 0
        while True:
            for packet in self.packets[looked:]:
                if wanted(packet):
                    return packet
            looked = len(self.packets)
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                raise TimeoutError(f"no such packet arrived{self._missed()}")
            self._take()

    def _missed(self) -> str:
        """What the tap itself has dropped, since it was read too slowly."""
        seen, dropped = struct.unpack("=II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        return f"; the tap has dropped {dropped} of {seen}" if dropped else ""


def icmp4(packet: bytes) -> bool:
    """For `Capture.wait`: whether it is ICMP in IPv4."""
    return packet[0] >> 4 == 4 and packet[9] == 1


def send_packet(packet: bytes, towards: str, mark: int = 0) -> None:
    """Send a whole IP packet from the calling thread's namespace along the route to `towards`, whatever it says."""
    with socket.socket(family_of(towards), socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        if mark:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        raw.sendto(packet, (towards, 0))
