"""What an injector wants in front of an IP packet. The fast path writes it together with the IP header.

    | virtio_net_hdr (wire.vnet), where offloads are taken | link header, where there is one | IP packet ...

Offsets in the virtio_net_hdr count from the link header. The IP header is the fast path's: 20 or 40 octets.
"""

from dataclasses import dataclass

from nfxlat.wire import ipv4, ipv6, vnet
from nfxlat.wire.transport import CHECKSUM_AT, TCP, UDP

_IP_HEADER = {4: ipv4.HEADER_LENGTH, 6: ipv6.HEADER_LENGTH}
_GSO_TYPE = {
    (4, TCP): vnet.GSO_TCPV4,
    (6, TCP): vnet.GSO_TCPV6,
    (4, UDP): vnet.GSO_UDP_L4,
    (6, UDP): vnet.GSO_UDP_L4,
}


@dataclass(frozen=True, slots=True)
class Frame:
    """`link4` and `link6`: link headers, equally long. `offloads`: the kernel completes checksums and cuts superframes.

    A `version` is the IP packet's, 4 or 6; a `protocol` is TCP or UDP.
    """

    offloads: bool = False
    link4: bytes = b""
    link6: bytes = b""

    @property
    def size(self) -> int:
        """Octets in front of an IP packet."""
        return (vnet.SIZE if self.offloads else 0) + len(self.link4)

    def _link(self, version: int) -> bytes:
        return self.link4 if version == 4 else self.link6

    def whole(self, version: int) -> bytes:
        """In front of a packet with its checksums complete."""
        return (vnet.NOTHING if self.offloads else b"") + self._link(version)

    def unfinished(self, version: int, protocol: int) -> bytes:
        """In front of a packet with the pseudo-header's sum for a checksum; only with `offloads`."""
        return self.superframe(version, protocol, 0, 0)

    def superframe(
        self, version: int, protocol: int, transport_header: int, gso_size: int, *, ecn: bool = False
    ) -> bytes:
        """In front of a superframe to be cut into segments with `gso_size` octets behind the `transport_header`.

        `ecn`: CWR is set in it (of TCP). Only with `offloads`. With `gso_size` 0 it is not cut.
        """
        link = self._link(version)
        start = len(link) + _IP_HEADER[version]
        kind = (_GSO_TYPE[version, protocol] | (vnet.GSO_ECN if ecn else 0)) if gso_size else vnet.GSO_NONE
        end = start + transport_header if gso_size else 0
        return vnet.pack(vnet.NEEDS_CSUM, kind, end, gso_size, start, CHECKSUM_AT[protocol]) + link


BARE = Frame()
TUN = Frame(offloads=True)


def ethernet(near_mac: bytes, far_mac: bytes) -> Frame:
    """Of a packet socket with PACKET_VNET_HDR; to `near_mac`, from `far_mac`, 6 octets each."""
    addresses = near_mac + far_mac
    return Frame(offloads=True, link4=addresses + b"\x08\x00", link6=addresses + b"\x86\xdd")
