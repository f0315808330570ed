"""Whether a packet socket takes UDP superframes."""

import socket
import struct

from nfxlat.wire import vnet


def takes_udp_superframes() -> bool:
    """Whether the kernel's vnet header knows VIRTIO_NET_HDR_GSO_UDP_L4 (6.2 and later; include/linux/virtio_net.h).

    Asked with a frame to somebody else's MAC address on lo, which is parsed on the way out and dropped on the way in.
    """
    ethernet = b"\x02nobody"[:6] + bytes(6) + b"\x08\x00"
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, 30, 0, 0, 1, 17, 0, 0x7F000001, 0x7F000001)
    offload = vnet.pack(vnet.NEEDS_CSUM, vnet.GSO_UDP_L4, 42, 1, 34, 6)
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as probe:
            probe.setsockopt(vnet.SOL_PACKET, vnet.PACKET_VNET_HDR, 1)
            probe.bind(("lo", 0))
            probe.send(offload + ethernet + ip + struct.pack("!HHHH", 9, 9, 10, 0) + b"ab")
    except OSError:
        return False
    return True
