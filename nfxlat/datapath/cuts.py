"""How the fast path has superframes cut: by the kernel, behind the injector, as the frame in front of them says.

The frame can say that CWR is the first segment's alone (RFC 3168), not that it is every segment's (AccECN, RFC 9768). A
queue does not tell which of both, a TUN knows the first only: so what has CWR in a queue is the core's.
"""

from collections.abc import Collection

from nfxlat.datapath.frame import Frame
from nfxlat.datapath.source import Kind
from nfxlat.datapath.superframe import CWR, MAX_SEGMENTS, safe_gso_size, stamp_of
from nfxlat.wire import ipv4
from nfxlat.wire.nfqueue import FORWARD
from nfxlat.wire.stamp import gso_size_of, is_udp
from nfxlat.wire.transport import HEADER_LENGTH, TCP, UDP
from nfxlat.xlat.fragmentation4 import DF_THRESHOLD

_RELEVANT = 0xF000 | CWR  # of TCP's data offset and flags
_LONGEST_DF0 = DF_THRESHOLD - ipv4.HEADER_LENGTH  # octets behind an IPv4 header
_CAPACITY = 1024  # one for each gso_size that is in use

Asked = tuple[int, int, int, int, int, Kind]
"""What decides: the result's version, protocol, data offset and CWR of TCP, the most octets behind the IP header of a
segment, priority, kind."""
Found = tuple[bytes, int, int]
"""Frame; octets behind the IP header of the largest segment; payload octets of a last segment that goes by itself."""
Cut = tuple[int, int, int, Found, bool]
"""Octets of the transport header, octets behind the IP header at most (less than the header: the superframe is the
core's), octets behind the transport header in a segment, what is found for those without such a last segment, whether
there may be others."""
_NOT_OURS: Cut = (1, 0, 0, (b"", 0, 0), False)


class Cuts:
    """Superframes that are alike are cut alike, so the way is remembered. `frame` has to take offloads."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._stamped: Collection[int] = frozenset()
        self._known: dict[Asked, Cut] = {}
        self._whole = {
            (version, protocol): frame.unfinished(version, protocol) for version in (4, 6) for protocol in (TCP, UDP)
        }

    def trust_stamps(self, stamped: Collection[int]) -> None:
        """Interfaces, by index, whose stamps count."""
        self._stamped = stamped
        self._known.clear()

    def find(
        self, version: int, protocol: int, offset_flags: int, limit: int, priority: int, kind: Kind, size: int
    ) -> Found | None:
        """(frame, largest segment, tail) for a superframe with `size` octets behind its IP header; None: the core's.

        `limit` and the segment are octets behind the IP header too; `version` is the result's. A tail, 0 for none, are
        the last octets of payload that have to go by themselves: the kernel would give that segment the DF of the
        others. The frame is for what is in front of them.
        """
        asked = version, protocol, offset_flags & _RELEVANT if protocol == TCP else 0, limit, priority, kind
        transport_header, most, gso_size, found, may_part = self._known.get(asked) or self._decide(asked)
        if not transport_header <= size <= most:
            return None
        if size - transport_header <= gso_size:
            return self._whole[version, protocol], size, 0
        if may_part and (tail := (size - transport_header) % gso_size) and transport_header + tail <= _LONGEST_DF0:
            frame, segment, _ = found
            return frame if size - tail > segment else self._whole[version, protocol], segment, tail
        return found

    def _decide(self, asked: Asked) -> Cut:
        """Without a stamp, TCP is cut to a size that no path refuses, and UDP cannot be cut at all."""
        version, protocol, offset_flags, limit, priority, kind = asked
        stamp = stamp_of(priority, kind, self._stamped)
        gso_size, ecn = gso_size_of(stamp), bool(offset_flags & CWR)
        if protocol == TCP:
            transport_header = (offset_flags >> 12) * 4
            gso_size = min(gso_size or safe_gso_size(transport_header), limit - transport_header)
            takes = transport_header >= HEADER_LENGTH[TCP] and gso_size > 0 and (not ecn or kind.hook == FORWARD)
        else:
            transport_header = HEADER_LENGTH[UDP]
            takes = is_udp(stamp) and 0 < gso_size <= limit - transport_header
        cut = _NOT_OURS
        if takes:
            octets = self._frame.superframe(version, protocol, transport_header, gso_size, ecn=ecn)
            segment = transport_header + gso_size
            most = transport_header + gso_size * MAX_SEGMENTS
            may_part = version == 4 and segment > _LONGEST_DF0
            cut = transport_header, most, gso_size, (octets, segment, 0), may_part
        if len(self._known) >= _CAPACITY:
            self._known.clear()
        self._known[asked] = cut
        return cut
