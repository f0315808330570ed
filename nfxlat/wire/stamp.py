"""The stamp: what the ingress knows of a packet, in skb->priority, which NFQUEUE hands over as NFQA_PRIORITY.

    31  30 29  28  27   18  17  16  15                      0
    | P | 1 1 | F | 0x399 | S | U | gso_size, or a number    |

S: gso_size, 0 for what is no superframe. No S: the number of a packet, no superframe, of a pair that the ingress knows,
but has others of in the queue: the low 16 bits of a count that begins at 1.

U: if this is UDP, it is one datagram, or a row of datagrams of gso_size octets of payload each (gso_type is
SKB_GSO_UDP_L4 and nothing else). A superframe's UDP header does not tell that: UDP_TUNNEL (VXLAN, Geneve) and UFO look
the same and are cut elsewhere. A TCP header does tell.

P, F: written by the rule that has the packet translated: its decision may be repeated at ingress (offload) for all
packets of this interface and this pair of addresses (P), or of this flow, protocol and ports too (F). Rules write them
on stamps alone, behind all guards, so that what is let off bears none.

ASKING, a value that is no stamp, is on the copy of a packet by which the program at ingress asks the rules.

REASSEMBLED is written by rules, on fragments that are going to be put together: the whole has the priority of the first
(inet_frag_reasm_prepare), and nothing else of a packet tells in a queue that it came in pieces.

The high half is no class of any queueing discipline that people make, so a stamp is known for what it is.

And the mark of what nfxlat sends through raw sockets (SO_MARK, "nfx"): rules at output take it off again.
"""

ANY, ANY_MASK = 0x6E64_0000, 0x6FFC_0000
MAGIC, MASK = 0x6E66_0000, 0x6FFE_0000  # with a gso_size
NUMBERED = 0x6E64_0000
REPEAT_PAIR, REPEAT_FLOW = 0x8000_0000, 0x1000_0000
REPEAT = REPEAT_PAIR | REPEAT_FLOW
UDP = 0x0001_0000
INJECTED_MARK = 0x6E66_7800
ASKING = 0x6E67_FFFF
REASSEMBLED = 0x6E68_0000
_SIZE = 0x0000_FFFF
MAX_GSO_SIZE = 65507  # octets of UDP in the largest IPv4 packet; 65535 is GSO_BY_FRAGS (linux/skbuff.h)


def gso_size_of(priority: int) -> int:
    """Octets of payload a segment, of a GSO packet at prerouting with this NFQA_PRIORITY; 0: it has no stamp.

    Holds for TCP; for UDP only where `is_udp` says so too.
    """
    size = priority & _SIZE
    return size if priority & MASK == MAGIC and size <= MAX_GSO_SIZE else 0


def is_udp(priority: int) -> bool:
    """Whether UDP with this NFQA_PRIORITY is one datagram, or a row of datagrams of `gso_size_of` octets each."""
    return priority & (ANY_MASK | UDP) == ANY | UDP


def number_of(priority: int) -> int:
    """The low 16 bits of the number of a packet of a pair that waits; -1: it has none."""
    return priority & _SIZE if priority & MASK == NUMBERED else -1
