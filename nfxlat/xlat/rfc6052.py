"""RFC 6052 2.2: an IPv4 address inside an IPv6 translation prefix.

    octet  0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15
    /32    p  p  p  p  0  1  2  3  u  s  s  s  s  s  s  s
    /40    p  p  p  p  p  0  1  2  u  3  s  s  s  s  s  s
    /48    p  p  p  p  p  p  0  1  u  2  3  s  s  s  s  s
    /56    p  p  p  p  p  p  p  0  u  1  2  3  s  s  s  s
    /64    p  p  p  p  p  p  p  p  u  0  1  2  3  s  s  s
    /96    p  p  p  p  p  p  p  p  p  p  p  p  0  1  2  3

p prefix, 0-3 the IPv4 octets, u (octet 8, bits 64-71) zero, s suffix: zero when built, ignored when read.
"""

from ipaddress import IPv6Network
from typing import Final

from nfxlat import ipaddresses

PREFIX_LENGTHS: Final = (32, 40, 48, 56, 64, 96)
WELL_KNOWN_PREFIX: Final = ipaddresses.network6("64:ff9b::/96")  # RFC 6052 2.1
_U_OCTET = 8


def fault(prefix6: IPv6Network) -> str | None:
    """What makes `prefix6` unfit as a translation prefix, or None (RFC 6052 2.2)."""
    if prefix6.prefixlen not in PREFIX_LENGTHS:
        return f"{prefix6} has length {prefix6.prefixlen}, not one of 32 40 48 56 64 96"
    if prefix6.network_address.packed[_U_OCTET]:
        return f"bits 64 to 71 of {prefix6} are not zero"
    return None


class Embedding:
    """The mapping of one translation prefix, ready for packets. The prefix must be without `fault`."""

    __slots__ = ("_head", "_length", "_split", "_tail", "prefix6")

    def __init__(self, prefix6: IPv6Network) -> None:
        self.prefix6 = prefix6
        self._length = prefix6.prefixlen // 8
        self._head = prefix6.network_address.packed[: self._length]
        self._split = max(_U_OCTET - self._length, 0)  # octets of the IPv4 address that stand before u
        self._tail = bytes(11 - self._length) if self._length <= _U_OCTET else b""

    def embed(self, address4: bytes) -> bytes:
        """4 octets to 16; u and suffix zero (RFC 6052 2.3)."""
        if self._length == 12:
            return self._head + address4
        return self._head + address4[: self._split] + b"\0" + address4[self._split :] + self._tail

    def extract(self, address6: bytes) -> bytes | None:
        """16 octets to 4; u and suffix are not looked at. None if the address is outside the prefix (RFC 6052 2.3)."""
        length = self._length
        if address6[:length] != self._head:
            return None
        if length == 12:
            return address6[12:]
        return address6[length:_U_OCTET] + address6[_U_OCTET + 1 : length + 5]
