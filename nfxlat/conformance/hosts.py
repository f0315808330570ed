"""Who is who in the cases: names for hosts that have an address in each family, and addresses of their own per case.

Each case has hosts of its own, numbered like the case, so that whatever comes out can be told to belong to it by an
address: there is no other mark in a packet that every translator must keep. Between the families a name stays what it
is: `ip A > B` must become `ip6 A > B`, and the two addresses of A stand in the table, not in a translator.

An IPv4 address in an `ip6` layer is that address inside the domain's prefix6 (RFC 6052 2.2).
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Final

from nfxlat.errors import OperatorError

NUMBERS: Final = 1 << 12  # cases of a run

A4, B4 = ipaddress.IPv4Address("198.18.0.0"), ipaddress.IPv4Address("198.19.0.0")
E4, F4 = ipaddress.IPv4Address("198.19.128.0"), ipaddress.IPv4Address("198.19.192.0")
E6, F6 = ipaddress.IPv6Address("2001:db8:e::"), ipaddress.IPv6Address("2001:db8:f::")
U6 = ipaddress.IPv6Address("2001:db8:bad::")
R4, Q4 = "203.0.113.129", "198.19.64.1"

POOL4 = "198.19.0.0/17"  # B and Q: IPv6 hosts inside prefix6
EAM_E, EAM_F = ("198.19.128.0/18", "2001:db8:e::/114"), ("198.19.192.0/18", "2001:db8:f::/114")

HOSTS: Final = {
    "A": "an IPv4 host, 198.18.0.0 + case; by prefix6",
    "B": "an IPv6 host inside prefix6, 198.19.0.0 + case",
    "E": "an IPv6 host with an EAM, 198.19.128.0 + case = 2001:db8:e:: + case",
    "F": "another one, 198.19.192.0 + case = 2001:db8:f:: + case",
    "E4": "the IPv4 address of E, in IPv6 inside prefix6",
    "F4": "the IPv4 address of F, in IPv6 inside prefix6",
    "R": "an IPv4 router, 203.0.113.129",
    "Q": "an IPv6 router inside prefix6, 198.19.64.1",
    "U": "an IPv6 node without a mapping, 2001:db8:bad:: + case",
}
OWN: Final = {
    "T": "an address of the translator itself",
    "N": "any address that RFC 6791 and its successor have for U: the pool's, the translator's, 192.0.0.8",
    "POOL": "an address of the domain's pool for U",
}

# RFC 6052 2.2: where the four octets of an IPv4 address stand
PLACES: Final = {
    32: (4, 5, 6, 7),
    40: (5, 6, 7, 9),
    48: (6, 7, 9, 10),
    56: (7, 9, 10, 11),
    64: (9, 10, 11, 12),
    96: (12, 13, 14, 15),
}


def embed(prefix6: ipaddress.IPv6Network, address4: bytes) -> bytes:
    """The IPv4-embedded IPv6 address, 16 octets."""
    octets = bytearray(prefix6.network_address.packed)
    for place, octet in zip(PLACES[prefix6.prefixlen], address4, strict=True):
        octets[place] = octet
    return bytes(octets)


@dataclass(frozen=True, slots=True)
class Hosts:
    """The addresses of one case. `own4`, `own6`, `pool4`: what T, N and POOL may be."""

    number: int
    prefix6: ipaddress.IPv6Network | None
    own4: tuple[bytes, ...] = ()
    own6: tuple[bytes, ...] = ()
    pool4: tuple[ipaddress.IPv4Network, ...] = ()

    def address(self, name: str, family: int) -> bytes:
        """4 or 16 octets of a host or of an address as such. Raises OperatorError."""
        number = self.number
        if name in ("E4", "F4"):
            return self._in(self.address(name[0], 4), family)
        if name in HOSTS:
            if name in ("E", "F", "U") and family == 6:
                return ({"E": E6, "F": F6, "U": U6}[name] + number).packed
            plain = {"A": A4 + number, "B": B4 + number, "E": E4 + number, "F": F4 + number}
            plain |= {"R": ipaddress.IPv4Address(R4), "Q": ipaddress.IPv4Address(Q4)}
            if name not in plain:
                raise OperatorError(f"{name} has no IPv4 address")
            return self._in(plain[name].packed, family)
        try:
            return self._in(socket.inet_pton(socket.AF_INET, name), family)
        except OSError:
            pass
        try:
            octets = socket.inet_pton(socket.AF_INET6, name)
        except OSError:
            raise OperatorError(f"{name!r} is no host and no address") from None
        if family == 4:
            raise OperatorError(f"{name} in an ip layer")
        return octets

    def _in(self, address4: bytes, family: int) -> bytes:
        if family == 4:
            return address4
        if self.prefix6 is None:
            raise OperatorError("the domain has no prefix6")
        return embed(self.prefix6, address4)

    def may_be(self, name: str, family: int, found: bytes | None) -> bytes:
        """What the translator chooses itself: `found` where it is allowed, else an example of what is."""
        own = self.own4
        if family == 6:  # its IPv4 address as IPv6 hosts see it, too
            own = (*self.own6, *(embed(self.prefix6, one) for one in self.own4 if self.prefix6))
        allowed = own if name in ("T", "N") else ()
        if name in ("N", "POOL"):
            networks = (*self.pool4, *([ipaddress.IPv4Network("192.0.0.8/32")] if name == "N" else []))
            if found is not None and any(ipaddress.IPv4Address(found) in network for network in networks):
                return found
            allowed = (*(network[0].packed for network in networks), *allowed)
        if found is not None and found in allowed:
            return found
        return allowed[0] if allowed else bytes(4 if family == 4 else 16)

    def marks(self, names: set[str]) -> set[bytes]:
        """The addresses by which packets of this case are known, in both families, if these names are in it."""
        found = set()
        for name in names & {"A", "B", "E", "F", "U", "E4", "F4"}:
            for family in (4, 6):
                try:
                    found.add(self.address(name, family))
                except OperatorError:
                    continue
        return found
