"""RFC 7757: the explicit address mapping table (EAMT).

An entry pairs an IPv4 prefix with an IPv6 prefix. A lookup takes the longest match on the column of the address that it
has, independently of the other column; the bits behind the prefix found are moved directly behind the other prefix, the
rest is zero (4 to 6) or cut off (6 to 4).

Entries /32 - /128 lie in two dicts from octets to octets, since those are the ones that come by the million. All others
lie in one dict for each prefix length that occurs, asked from the longest down. Lookups do not depend on the number of
entries.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from struct import iter_unpack
from typing import Final

from nfxlat import ipaddresses
from nfxlat.errors import OperatorError
from nfxlat.xlat.special import MARTIAN_OCTETS4, MARTIAN_OCTETS6, martian_range

Entry = tuple[int, int, int, int]  # IPv4 prefix, its length, IPv6 prefix, its length
Pair = tuple[IPv4Network, IPv6Network]

_ALL4: Final = (1 << 32) - 1
_ALL6: Final = (1 << 128) - 1

# The other column's prefix, the IPv4 suffix mask, and how far left the suffix stands in the IPv6 address.
_Target = tuple[int, int, int]
_Tables = tuple[tuple[int, dict[int, _Target]], ...]  # (mask, table), longest prefix first


def _networks(v4: int, len4: int, v6: int, len6: int) -> Pair:
    return IPv4Network((v4, len4)), ipaddresses.network6((v6, len6))


def text_of(v4: int, len4: int, v6: int, len6: int) -> str:
    """A mapping as written by the operator: host bits, if any, stay visible."""
    net4, net6 = _networks(v4, 32, v6, 128)
    return f"{net4.network_address}/{len4} {net6.network_address}/{len6}"


def _refuse_martian(v4: int, len4: int, v6: int, len6: int) -> None:
    """A mapping of martians would never be used: packets with such addresses are dropped."""
    net4, net6 = _networks(v4, len4, v6, len6)
    for net in (net4, net6):
        if name := martian_range(net):
            raise OperatorError(
                f"EAM {text_of(v4, len4, v6, len6)}: {net} is in {name}, which is never translated",
                hint="map an address that packets may bear",
            )


class Eamt:
    """An immutable EAMT from (v4, len4, v6, len6) numbers or from network pairs, in any order.

    Raises OperatorError (without `where`) for lengths out of range, host bits set, an IPv4 suffix longer than the IPv6
    suffix (RFC 7757 3.2), a prefix that stands in two entries of the same column and one of martians alone.
    """

    __slots__ = ("_by_length4", "_by_length6", "_hosts4", "_hosts6", "_length", "_tables4", "_tables6")

    def __init__(self, entries: Iterable[Entry | Pair] = ()) -> None:
        self._hosts4: dict[bytes, bytes] = {}
        self._hosts6: dict[bytes, bytes] = {}
        self._by_length4: dict[int, dict[int, _Target]] = {}
        self._by_length6: dict[int, dict[int, _Target]] = {}
        hosts4, hosts6, by_length4 = self._hosts4, self._hosts6, self._by_length4
        for entry in entries:
            if len(entry) == 4:
                v4, len4, v6, len6 = entry
            else:
                net4, net6 = entry
                v4, len4 = int(net4.network_address), net4.prefixlen
                v6, len6 = int(net6.network_address), net6.prefixlen
            if len4 == 32 and len6 == 128:
                host4, host6 = v4.to_bytes(4, "big"), v6.to_bytes(16, "big")
                if host4 in hosts4 or host6 in hosts6 or by_length4:
                    self._refuse_duplicate(v4, len4, v6, len6)
                if host4[0] in MARTIAN_OCTETS4 or host6[0] in MARTIAN_OCTETS6:
                    _refuse_martian(v4, len4, v6, len6)
                hosts4[host4] = host6
                hosts6[host6] = host4
            else:
                self._add(v4, len4, v6, len6)
        self._length = len(hosts4) + sum(map(len, self._by_length4.values()))
        self._tables4 = _longest_first(self._by_length4, 32, _ALL4)
        self._tables6 = _longest_first(self._by_length6, 128, _ALL6)

    def _add(self, v4: int, len4: int, v6: int, len6: int) -> None:
        if not (0 <= len4 <= 32 and 0 <= len6 <= 128):
            raise OperatorError(f"EAM {text_of(v4, len4, v6, len6)}: a prefix length is out of range")
        suffix4, suffix6 = 32 - len4, 128 - len6
        mask, shift = (1 << suffix4) - 1, suffix6 - suffix4
        if v4 & mask or v6 & ((1 << suffix6) - 1):
            raise OperatorError(
                f"EAM {text_of(v4, len4, v6, len6)}: bits are set beyond the prefix length",
                hint="write the prefix with its host bits zero",
            )
        if shift < 0:  # RFC 7757 3.2
            raise OperatorError(
                f"EAM {text_of(v4, len4, v6, len6)}: {suffix4} IPv4 suffix bits do not fit in {suffix6} "
                "IPv6 suffix bits",
                hint=f"the IPv6 prefix may be at most /{128 - suffix4}",
            )
        self._refuse_duplicate(v4, len4, v6, len6)
        _refuse_martian(v4, len4, v6, len6)
        self._by_length4.setdefault(len4, {})[v4] = (v6, mask, shift)
        self._by_length6.setdefault(len6, {})[v6] = (v4, mask, shift)

    def _refuse_duplicate(self, v4: int, len4: int, v6: int, len6: int) -> None:
        """Identical prefixes in one column would make the longest match a matter of luck (RFC 7757 5)."""
        other: Entry | None = None
        if (table4 := self._by_length4.get(len4)) and (target := table4.get(v4)):
            other = (v4, len4, target[0], 96 + len4 - target[2])
        elif (table6 := self._by_length6.get(len6)) and (target := table6.get(v6)):
            other = (target[0], len6 + target[2] - 96, v6, len6)
        elif len4 == 32 and (host6 := self._hosts4.get(v4.to_bytes(4, "big"))):
            other = (v4, 32, int.from_bytes(host6, "big"), 128)
        elif len6 == 128 and (host4 := self._hosts6.get(v6.to_bytes(16, "big"))):
            other = (int.from_bytes(host4, "big"), 32, v6, 128)
        if other:
            column = "IPv4" if other[:2] == (v4, len4) else "IPv6"
            raise OperatorError(
                f"EAM {text_of(v4, len4, v6, len6)} has the same {column} prefix as EAM {text_of(*other)}",
                hint="remove one of the two",
            )

    def to6(self, address4: bytes) -> bytes | None:
        """4 octets to 16 by the longest match on the IPv4 column, or None (RFC 7757 3.3.1)."""
        host6 = self._hosts4.get(address4)
        if host6 is not None or not self._tables4:
            return host6
        value = int.from_bytes(address4, "big")
        for mask, table in self._tables4:
            target = table.get(value & mask)
            if target is not None:
                return (target[0] | (value & target[1]) << target[2]).to_bytes(16, "big")
        return None

    def to4(self, address6: bytes) -> bytes | None:
        """16 octets to 4 by the longest match on the IPv6 column, or None (RFC 7757 3.3.2)."""
        host4 = self._hosts6.get(address6)
        if host4 is not None or not self._tables6:
            return host4
        value = int.from_bytes(address6, "big")
        for mask, table in self._tables6:
            target = table.get(value & mask)
            if target is not None:
                return (target[0] | value >> target[2] & target[1]).to_bytes(4, "big")
        return None

    def entry4(self, address4: bytes) -> Pair | None:
        """The entry that `to6` uses for these 4 octets."""
        if host6 := self._hosts4.get(address4):
            return IPv4Network(address4), ipaddresses.network6(host6)
        value = int.from_bytes(address4, "big")
        for mask, table in self._tables4:
            if target := table.get(value & mask):
                len4 = mask.bit_count()
                return _networks(value & mask, len4, target[0], 96 + len4 - target[2])
        return None

    def entry6(self, address6: bytes) -> Pair | None:
        """The entry that `to4` uses for these 16 octets."""
        if host4 := self._hosts6.get(address6):
            return IPv4Network(host4), ipaddresses.network6(address6)
        value = int.from_bytes(address6, "big")
        for mask, table in self._tables6:
            if target := table.get(value & mask):
                len6 = mask.bit_count()
                return _networks(target[0], len6 + target[2] - 96, value & mask, len6)
        return None

    def place_of(self, address: bytes) -> bytes | None:
        """The IPv4 prefix (4 octets) and its length (1) of the entry that `to6` or `to4` uses for 4 or 16 octets; None
        without one. Shorter than `entry4`, for those who ask often."""
        if len(address) == 4:
            if address in self._hosts4:
                return address + b"\x20"
            value = int.from_bytes(address, "big")
            for mask, table in self._tables4:
                if value & mask in table:
                    return (value & mask).to_bytes(4, "big") + mask.bit_count().to_bytes(1, "big")
            return None
        if (host4 := self._hosts6.get(address)) is not None:
            return host4 + b"\x20"
        value = int.from_bytes(address, "big")
        for mask, table in self._tables6:
            if target := table.get(value & mask):
                return target[0].to_bytes(4, "big") + (mask.bit_count() + target[2] - 96).to_bytes(1, "big")
        return None

    def octets(self) -> Iterator[bytes]:
        """What tells it apart from another, as few pieces; in the order of the entries."""
        yield b"".join(self._hosts4)
        yield b"".join(self._hosts4.values())
        for len4, table in sorted(self._by_length4.items()):
            yield f"{len4} {table}".encode()

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Pair]:
        """All entries, longest IPv4 prefix first."""
        for host4, host6 in self._hosts4.items():
            yield IPv4Network(host4), ipaddresses.network6(host6)
        for mask, table in self._tables4:
            len4 = mask.bit_count()
            for v4, (v6, _, shift) in table.items():
                yield _networks(v4, len4, v6, 96 + len4 - shift)

    def entries(self) -> Iterator[Entry]:
        """The same as numbers, in a fifth of the time."""
        for host4, host6 in self._hosts4.items():
            yield int.from_bytes(host4, "big"), 32, int.from_bytes(host6, "big"), 128
        for mask, table in self._tables4:
            len4 = mask.bit_count()
            for v4, (v6, _, shift) in table.items():
                yield v4, len4, v6, 96 + len4 - shift

    def v4_networks(self) -> Iterator[IPv4Network]:
        """The IPv4 column, longest prefix first."""
        yield from map(IPv4Network, self._hosts4)
        for mask, table in self._tables4:
            len4 = mask.bit_count()
            yield from (IPv4Network((v4, len4)) for v4 in table)

    def v6_networks(self) -> Iterator[IPv6Network]:
        """The IPv6 column, longest prefix first."""
        yield from map(ipaddresses.network6, self._hosts6)
        for mask, table in self._tables6:
            len6 = mask.bit_count()
            yield from (ipaddresses.network6((v6, len6)) for v6 in table)

    def v4_spans(self) -> Iterator[tuple[int, int]]:
        """First and last address of prefixes that hold the IPv4 column; hosts in a row are one. A million hosts take a
        sixth of the time that they take one by one."""
        first, last = 0, -1
        for (value,) in iter_unpack(">I", b"".join(sorted(self._hosts4))):
            if value == last + 1:
                last = value
                continue
            if last >= 0:
                yield first, last
            first = last = value
        if last >= 0:
            yield first, last
        for mask, table in self._tables4:
            size = _ALL4 ^ mask
            yield from ((v4, v4 | size) for v4 in table)

    def v6_spans(self) -> Iterator[tuple[int, int]]:
        """The same of the IPv6 column."""
        for host6 in self._hosts6:
            value = int.from_bytes(host6, "big")
            yield value, value
        for mask, table in self._tables6:
            size = _ALL6 ^ mask
            yield from ((v6, v6 | size) for v6 in table)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Eamt):
            return NotImplemented
        return (self._hosts4, self._by_length4) == (other._hosts4, other._by_length4)

    def __hash__(self) -> int:
        return hash((len(self._hosts4), self._length))

    def __repr__(self) -> str:
        return f"<Eamt of {self._length}>"


def _longest_first(by_length: dict[int, dict[int, _Target]], bits: int, all_ones: int) -> _Tables:
    return tuple(
        (all_ones << (bits - length) & all_ones, by_length[length]) for length in sorted(by_length, reverse=True)
    )
