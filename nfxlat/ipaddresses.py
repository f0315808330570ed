"""IPv6 addresses and prefixes that are written alike under every version of Python, and as `ip` and `nft` write them.

`ipaddress` writes IPv4-mapped addresses in hex up to Python 3.12, and with dots since. Here the text is that of
inet_ntop(3): RFC 5952, with dots for what embeds an IPv4 address (RFC 4291 2.5.5). All that is made of input comes from
here; in annotations and comparisons the classes of `ipaddress` stand for both.
"""

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_Source = str | int | bytes


class _Address6(IPv6Address):
    __slots__ = ()

    def __str__(self) -> str:
        value = int(self)
        if value >> 32 == 0xFFFF:
            return f"::ffff:{IPv4Address(value & 0xFFFFFFFF)}"
        if 0xFFFF < value <= 0xFFFFFFFF:
            return f"::{IPv4Address(value)}"
        return super().__str__()


class _Network6(IPv6Network):
    def __init__(self, network: _Source | tuple[_Source, int], strict: bool = True) -> None:
        super().__init__(network, strict)
        if int(self.network_address) >> 48 == 0:  # few are
            self.network_address = _Address6(int(self.network_address))


def address6(value: _Source) -> IPv6Address:
    """Of text, a number or 16 octets. Raises ValueError."""
    return _Address6(value)


def network6(value: _Source | tuple[_Source, int], *, strict: bool = True) -> IPv6Network:
    """Of text, one address, or address and length. Raises ValueError; host bits are refused if `strict`."""
    return _Network6(value, strict)


def address(value: str | bytes) -> IPv4Address | IPv6Address:
    """Of text, whose zone is left out, or of 4 or 16 octets. Raises ValueError."""
    found = ipaddress.ip_address(value)
    return _Address6(found.packed) if found.version == 6 else found


def network(value: str | tuple[bytes, int], *, strict: bool = True) -> IPv4Network | IPv6Network:
    """Of text, or address and length. Raises ValueError; host bits are refused if `strict`."""
    found = ipaddress.ip_network(value, strict)
    return _Network6((int(found.network_address), found.prefixlen)) if found.version == 6 else found
