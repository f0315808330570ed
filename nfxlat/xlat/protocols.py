"""IPv4 protocol numbers that do not cross."""

from typing import Final

from nfxlat.outcome import Reason
from nfxlat.wire import icmp, ipv6

# They mean an extension header, or ICMPv6, on the other side (RFC 7915 4.1 copies the number).
_FORBIDDEN: Final = ipv6.CHAINED | {icmp.PROTOCOL6}
_IGMP: Final = 2


def refused4(protocol: int) -> Reason | None:
    """Why an IPv4 `protocol` never crosses."""
    if protocol in _FORBIDDEN:
        return Reason.FORBIDDEN_PROTOCOL
    return Reason.IGMP if protocol == _IGMP else None  # RFC 7915 4.2
