"""Addresses that never pass a router, and the IPv4 addresses that the well-known prefix may not carry.

Both tests run for every address of every packet: the first octet decides all but a few of them.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from nfxlat import ipaddresses

# RFC 1812 5.3.7, RFC 6890; 240/4 holds 255.255.255.255.
MARTIANS4: Final = {
    IPv4Network("0.0.0.0/8"): "this network",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("169.254.0.0/16"): "link-local",
    IPv4Network("224.0.0.0/4"): "multicast",
    IPv4Network("240.0.0.0/4"): "reserved and broadcast",
}
# RFC 4291 2.5 and 2.7
MARTIANS6: Final = {
    ipaddresses.network6("::/128"): "unspecified",
    ipaddresses.network6("::1/128"): "loopback",
    ipaddresses.network6("::ffff:0:0/96"): "IPv4-mapped",
    ipaddresses.network6("fe80::/10"): "link-local",
    ipaddresses.network6("ff00::/8"): "multicast",
}
# RFC 6052 3.1 by way of the IANA IPv4 special-purpose registry: not globally reachable (with 192.88.99/24, RFC 7526).
NON_GLOBAL4: Final = (
    *MARTIANS4,
    *map(
        IPv4Network,
        (
            "10.0.0.0/8",
            "100.64.0.0/10",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
        ),
    ),
)
# The registry's two exceptions inside 192.0.0.0/24: PCP anycast and TURN anycast.
GLOBAL_EXCEPTIONS4: Final = (IPv4Address("192.0.0.9"), IPv4Address("192.0.0.10"))

_NO, _ALL, _SOME = 0, 1, 2  # of the addresses that share a first octet


def _first_octets4(networks: tuple[IPv4Network, ...]) -> bytes:
    table = bytearray(256)
    for network in networks:
        first, last = network.network_address.packed[0], network.broadcast_address.packed[0]
        for octet in range(first, last + 1):
            table[octet] = max(table[octet], _SOME if network.prefixlen > 8 else _ALL)
    return bytes(table)


_MARTIAN4 = _first_octets4(tuple(MARTIANS4))
_NON_GLOBAL4 = _first_octets4(NON_GLOBAL4)
_NON_GLOBAL4_RANGES = {
    octet: tuple((int(n.netmask), int(n.network_address)) for n in NON_GLOBAL4 if n.network_address.packed[0] == octet)
    for octet in range(256)
    if _NON_GLOBAL4[octet] == _SOME
}
_GLOBAL_EXCEPTIONS4 = frozenset(address.packed for address in GLOBAL_EXCEPTIONS4)
MARTIAN_OCTETS4: Final = bytes(octet for octet in range(256) if _MARTIAN4[octet])  # first octets of all of them
MARTIAN_OCTETS6: Final = b"\x00\xfe\xff"
_ZERO15 = bytes(15)
_BROADCAST, _LOOPBACK6 = b"\xff" * 4, _ZERO15 + b"\1"
_MAPPED = bytes(10) + b"\xff\xff"


def martian4(address: bytes) -> bool:
    """Whether 4 octets may never be a source or destination: 0/8 127/8 169.254/16 224/4 240/4 (RFC 1812 5.3.7)."""
    kind = _MARTIAN4[address[0]]
    return kind == _ALL or (kind == _SOME and address[1] == 254)


def martian6(address: bytes) -> bool:
    """Whether 16 octets may never be a source or destination: :: ::1 ::ffff:0:0/96 fe80::/10 ff00::/8 (RFC 4291 2)."""
    first = address[0]
    if first == 0:
        return (address[15] < 2 and address[:15] == _ZERO15) or address[:12] == _MAPPED
    return first == 0xFF or (first == 0xFE and address[1] & 0xC0 == 0x80)


def stays4(address: bytes) -> bool:
    """Whether a packet to these 4 octets is for this host, this link or a group, and never for a translator:

    0/8 127/8 169.254/16 224/4 255.255.255.255 (RFC 1122 3.2.1.3, RFC 3927 7, RFC 7915 1.2). The kernel judges it.
    """
    first = address[0]
    return first in (0, 127) or 224 <= first < 240 or address == _BROADCAST or (first == 169 and address[1] == 254)


def stays6(address: bytes) -> bool:
    """The same of 16 octets: ::1 fe80::/10 ff00::/8 (neighbour discovery, MLD, routing protocols, DHCPv6)."""
    first = address[0]
    return first == 0xFF or (first == 0xFE and address[1] & 0xC0 == 0x80) or address == _LOOPBACK6


def non_global4(address: bytes) -> bool:
    """Whether 64:ff9b::/96 must not carry these 4 octets (RFC 6052 3.1; documentation ranges included)."""
    kind = _NON_GLOBAL4[address[0]]
    if kind != _SOME:
        return kind == _ALL
    value = int.from_bytes(address, "big")
    return (
        any(value & mask == network for mask, network in _NON_GLOBAL4_RANGES[address[0]])
        and address not in _GLOBAL_EXCEPTIONS4
    )


def martian_range(network: IPv4Network | IPv6Network) -> str | None:
    """As `martian_name`, of the range that all of the network lies in."""
    if isinstance(network, IPv4Network):
        return next((f"{one} ({use})" for one, use in MARTIANS4.items() if network.subnet_of(one)), None)
    return next((f"{one} ({use})" for one, use in MARTIANS6.items() if network.subnet_of(one)), None)


def martian_name(address: IPv4Address | IPv6Address) -> str | None:
    """For the operator: the range and its use, e.g. `127.0.0.0/8 (loopback)`; None if the address is no martian."""
    table = MARTIANS4 if isinstance(address, IPv4Address) else MARTIANS6
    return next((f"{network} ({use})" for network, use in table.items() if address in network), None)
