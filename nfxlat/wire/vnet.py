"""virtio_net_hdr (linux/virtio_net.h), in front of every frame of a PACKET_VNET_HDR socket; host byte order.

    0       1          2         4          6            8
    | flags | gso_type | hdr_len | gso_size | csum_start | csum_offset |

Offsets count from the Ethernet header. With NEEDS_CSUM the transport checksum field holds the folded pseudo-header sum,
over the full length for a superframe, and the kernel completes it (net/core/skbuff.c, skb_partial_csum_set).
"""

import struct

SOL_PACKET, PACKET_VNET_HDR = 263, 15  # of setsockopt(2)
SIZE = 10
NEEDS_CSUM = 1
GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4 = 0, 1, 4, 5
GSO_ECN = 0x80  # CWR is set on the first segment only

_HEADER = struct.Struct("=BBHHHH")
pack = _HEADER.pack
unpack = _HEADER.unpack
NOTHING = bytes(SIZE)  # no offload: the checksum is complete, the frame is one packet
