"""Two packet sockets, one on each side of what is tested: packets out as they are, packets in as they came.

The suite is the router behind each interface: it answers ARP and Neighbor Solicitations for its two addresses itself,
so that nothing has to be configured on the interfaces, and asks for the translator's.

    192.0.2.2 --- 192.0.2.1  translator  2001:db8:1::1 --- 2001:db8:1::2
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from nfxlat.conformance.judge import Received, Sent
from nfxlat.conformance.parts import ones_sum
from nfxlat.datapath.superframe import segments
from nfxlat.errors import OperatorError
from nfxlat.wire.stamp import MAGIC
from nfxlat.wire.stamp import UDP as FIT

OWN4, OWN6 = "192.0.2.2", "2001:db8:1::2"  # the suite's
THEIRS4, THEIRS6 = "192.0.2.1", "2001:db8:1::1"  # the translator's

_ETH_P_ALL, _IPV4, _ARP, _IPV6 = 0x0003, 0x0800, 0x0806, 0x86DD  # linux/if_ether.h
_ETHERTYPE: Final = {4: _IPV4, 6: _IPV6}
_SO_RCVBUFFORCE, _BUFFER = 33, 1 << 25
_LARGEST = 1 << 17
_SHORTEST = 46  # octets of payload of an Ethernet frame, padding included
_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_TCP, _UDP = 6, 17
_NEEDS_CSUM, _GSO_TCP, _GSO_UDP = 1, {4: 1, 6: 4}, 5  # linux/virtio_net.h
_SUM_AT: Final = {_TCP: 16, _UDP: 6}
_BROADCAST = b"\xff" * 6
_SOLICITATION, _ADVERTISEMENT = 135, 136  # RFC 4861 4.3, 4.4


class Sides:
    """A `Link`. `names`: the interface of each side, in the calling thread's namespace. Raises OperatorError."""

    at_once = False

    def __init__(
        self,
        names: dict[int, str],
        own4: Sequence[str] = (THEIRS4,),
        own6: Sequence[str] = (THEIRS6,),
        theirs: tuple[str, str] = (THEIRS4, THEIRS6),
        ours: tuple[str, str] = (OWN4, OWN6),
    ) -> None:
        self.own4 = tuple(socket.inet_pton(socket.AF_INET, one) for one in own4)
        self.own6 = tuple(socket.inet_pton(socket.AF_INET6, one) for one in own6)
        families = ((4, socket.AF_INET), (6, socket.AF_INET6))
        self._theirs = {side: socket.inet_pton(family, theirs[i]) for i, (side, family) in enumerate(families)}
        self._ours = {side: socket.inet_pton(family, ours[i]) for i, (side, family) in enumerate(families)}
        self._sockets: dict[int, socket.socket] = {}
        self._large: dict[int, socket.socket] = {}  # for superframes
        self._macs: dict[int, bytes] = {}
        self._towards: dict[int, bytes] = {}  # the translator's MAC addresses
        self._kept: list[Received] = []
        try:
            for side, name in names.items():
                self._open(side, name)
        except BaseException:
            self.close()
            raise

    def _open(self, side: int, name: str) -> None:
        try:
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # nothing until it is bound
            self._sockets[side] = opened
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            opened.bind((name, _ETH_P_ALL))
            self._large[side] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._large[side].setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
            self._large[side].bind((name, 0))  # receives nothing
        except PermissionError:
            raise OperatorError("packet sockets need root", where=name, hint="run as root") from None
        except OSError as error:
            raise OperatorError(error.strerror or str(error), where=f"interface {name}") from None
        opened.setblocking(False)
        self._macs[side] = opened.getsockname()[4]

    def __enter__(self) -> Sides:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Safe to call twice."""
        for opened in (*self._sockets.values(), *self._large.values()):
            opened.close()

    def find(self, timeout: float = 5.0) -> None:
        """Ask for the translator's link-layer addresses. Raises OperatorError."""
        deadline = time.monotonic() + timeout
        while missing := set(self._sockets) - set(self._towards):
            if time.monotonic() > deadline:
                side = min(missing)
                address = socket.inet_ntop(socket.AF_INET if side == 4 else socket.AF_INET6, self._theirs[side])
                raise OperatorError(
                    f"nobody answers for {address} on the IPv{side} side",
                    hint="give its address with --translator4 or --translator6",
                )
            for side in missing:
                self._ask(side)
            self._kept += self.receive(0.2)

    def send(self, sent: Sent) -> None:
        """One frame."""
        side = sent.side
        frame = self._towards[side] + self._macs[side] + _ETHERTYPE[side].to_bytes(2, "big") + sent.octets
        if sent.segment:
            try:
                self._put(side, _superframe(sent) + frame, self._large[side])
            except OperatorError:
                if _protocol(sent) != _UDP:
                    raise
                for datagram in segments(sent.octets, MAGIC | FIT | sent.segment):  # before Linux 6.2: one by one
                    self._put(side, frame[:14] + datagram, self._sockets[side])
        else:
            self._put(side, frame, self._sockets[side])

    def _put(self, side: int, frame: bytes, through: socket.socket) -> None:
        deadline = time.monotonic() + 5.0
        while True:
            try:
                through.send(frame)
                return
            except (BlockingIOError, InterruptedError):
                select.select([], [through], [], max(0.0, deadline - time.monotonic()))
            except OSError as error:
                raise OperatorError(error.strerror or str(error), where=f"sending on the IPv{side} side") from None
            if time.monotonic() > deadline:
                raise OperatorError("the interface takes no packets", where=f"sending on the IPv{side} side")

    def receive(self, timeout: float) -> list[Received]:
        """Whatever has come; waits for the first up to `timeout` seconds, and answers questions for neighbours."""
        found, self._kept = self._kept, []
        deadline = time.monotonic() + timeout
        while True:
            left = 0.0 if found else max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select(list(self._sockets.values()), [], [], left)
            for side, opened in self._sockets.items():
                if opened in readable:
                    self._drain(side, opened, found)
            if found or time.monotonic() >= deadline:
                return found

    def _drain(self, side: int, opened: socket.socket, found: list[Received]) -> None:
        while True:
            try:
                frame, (_, _, kind, *_) = opened.recvfrom(_LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                raise OperatorError(error.strerror or str(error), where=f"the IPv{side} side") from None
            if kind == socket.PACKET_OUTGOING or len(frame) < 34:
                continue
            (ethertype,) = struct.unpack_from("!H", frame, 12)
            if ethertype == _ARP:
                self._arp(side, frame)
            elif ethertype in (_IPV4, _IPV6):
                octets = _trimmed(frame[14:])
                if not (ethertype == _IPV6 and self._neighbour(side, frame[6:12], octets)):
                    found.append((side, octets))

    # ---- neighbours ------------------------------------------------------------------------------------------------

    def _ask(self, side: int) -> None:
        mac = self._macs[side]
        if side == 4:
            body = struct.pack("!HHBBH", 1, _IPV4, 6, 4, 1) + mac + self._ours[4] + bytes(6) + self._theirs[4]
            self._put(4, _BROADCAST + mac + _ARP.to_bytes(2, "big") + body, self._sockets[4])
            return
        target = self._theirs[6]
        group = socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:0")[:13] + target[13:]
        message = bytes((_SOLICITATION, 0, 0, 0)) + bytes(4) + target + b"\x01\x01" + mac
        self._put(6, self._icmp6(b"\x33\x33" + group[12:], group, message), self._sockets[6])

    def _icmp6(self, mac: bytes, destination: bytes, message: bytes) -> bytes:
        pseudo = self._ours[6] + destination + len(message).to_bytes(4, "big") + bytes((0, 0, 0, 58))
        checksum = 0xFFFF - ones_sum(pseudo + message)
        message = message[:2] + checksum.to_bytes(2, "big") + message[4:]
        header = struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + self._ours[6] + destination
        return mac + self._macs[6] + _IPV6.to_bytes(2, "big") + header + message

    def _arp(self, side: int, frame: bytes) -> None:
        operation, sender_mac, sender, target = frame[20:22], frame[22:28], frame[28:32], frame[38:42]
        if sender == self._theirs[4] and side == 4:
            self._towards[4] = sender_mac
        if operation == b"\0\1" and side == 4 and target == self._ours[4]:
            mac = self._macs[4]
            body = struct.pack("!HHBBH", 1, _IPV4, 6, 4, 2) + mac + target + sender_mac + sender
            self._put(4, sender_mac + mac + _ARP.to_bytes(2, "big") + body, self._sockets[4])

    def _neighbour(self, side: int, mac: bytes, octets: bytes) -> bool:
        """Whether it was a Neighbor Solicitation or Advertisement: answered, or noted."""
        if len(octets) < 64 or octets[6] != 58 or octets[7] != 255 or octets[40] not in (_SOLICITATION, _ADVERTISEMENT):
            return False
        target = octets[48:64]
        if side == 6 and octets[40] == _ADVERTISEMENT and target == self._theirs[6]:
            self._towards[6] = mac
        if side == 6 and octets[40] == _SOLICITATION and target == self._ours[6] and any(octets[8:24]):
            message = bytes((_ADVERTISEMENT, 0, 0, 0, 0x60, 0, 0, 0)) + target + b"\x02\x01" + self._macs[6]
            self._put(6, self._icmp6(mac, octets[8:24], message), self._sockets[6])
        return True


def _protocol(sent: Sent) -> int:
    return sent.octets[9 if sent.side == 4 else 6]


def _superframe(sent: Sent) -> bytes:
    """The virtio_net_hdr of a superframe whose checksum is unfinished, no options in the IP header."""
    at = 14 + (20 if sent.side == 4 else 40)
    protocol = _protocol(sent)
    kind, header = (_GSO_UDP, 8) if protocol == _UDP else (_GSO_TCP[sent.side], (sent.octets[at - 14 + 12] >> 4) * 4)
    return struct.pack("=BBHHHH", _NEEDS_CSUM, kind, at + header, sent.segment, at, _SUM_AT[protocol])


def _trimmed(octets: bytes) -> bytes:
    """Without the padding that the shortest Ethernet frame needs."""
    if len(octets) != _SHORTEST:
        return octets
    length = int.from_bytes(octets[2:4], "big") if octets[0] >> 4 == 4 else 40 + int.from_bytes(octets[4:6], "big")
    return octets[:length] if length < len(octets) else octets
