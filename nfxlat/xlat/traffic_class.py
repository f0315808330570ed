"""What becomes of Traffic Class and TOS (RFC 7915 4.1, 5.1): one octet for each of the 256, so that packets do not ask.

    | DSCP 6 bits | ECN 2 bits |      (RFC 2474, RFC 3168)

ECN is part of the octet: whoever writes all of it erases CE, by which routers tell of congestion. `dscp-N` does not.
"""

import re
from typing import Final

COPY: Final = bytes(range(256))
ECN: Final = 0x03
_DSCP = re.compile(r"dscp-([0-9]|[1-5][0-9]|6[0-3])")


def octets(option: str | int) -> bytes | None:
    """The 256 octets for the domain's `traffic-class`: copy, zero, 0 to 255, dscp-0 to dscp-63; None for others."""
    if option == "copy":
        return COPY
    if isinstance(option, int):
        return bytes((option,)) * 256 if 0 <= option <= 255 else None
    if option == "zero":
        return bytes(256)
    dscp = _DSCP.fullmatch(option)
    return bytes(int(dscp[1]) << 2 | octet & ECN for octet in COPY) if dscp else None
