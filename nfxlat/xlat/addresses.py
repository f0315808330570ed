"""The address mapping of one domain: EAMT, then prefix6, and RFC 6791 for the sources of ICMP errors.

A pure function of the address and the configuration; each address of a packet is mapped on its own (RFC 7757 3.3). The
denylist and the rules of the well-known prefix are held here, since they judge mappings. Martians are the caller's: it
knows the role of the address and must ask about both ends of a mapping (`special.martian4`, `special.martian6`).
"""

from bisect import bisect_right
from collections.abc import Callable, Collection
from enum import Enum
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from itertools import accumulate
from typing import Final, NamedTuple, cast
from zlib import crc32

from nfxlat.outcome import Reason
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.rfc6052 import Embedding
from nfxlat.xlat.special import non_global4

DUMMY4: Final = bytes((192, 0, 0, 8))  # RFC 7600: the IPv4 dummy address
_PATH_LENGTH: Final = 32  # routers that one traceroute can tell apart in a large pool
_INITIAL_HOP_LIMITS: Final = (64, 128, 255)  # what nodes start from


Routed = Callable[[bytes], bytes | None]


class Method(Enum):
    """How an address was mapped."""

    EAM = "eam"
    PREFIX6 = "prefix6"
    RFC6791 = "rfc6791"


class Mapping(NamedTuple):
    """A mapped address (4 or 16 octets) and its method, or None and the reason."""

    address: bytes | None
    method: Method | None
    reason: Reason | None


# Skips the keyword handling of NamedTuple's own constructor: 0.1 us instead of 0.25 us.
_mapping = cast(Callable[[tuple[bytes, Method, None]], Mapping], partial(tuple.__new__, Mapping))
_EAM, _PREFIX6 = Method.EAM, Method.PREFIX6
_NO_MAPPING = Mapping(None, None, Reason.NO_MAPPING_SOURCE)
_DENYLISTED = Mapping(None, None, Reason.DENYLISTED)
_WELL_KNOWN_PREFIX = Mapping(None, None, Reason.WELL_KNOWN_PREFIX)


class AddressMap:
    """The mapping of `domain`, ready for packets. `own6`: the node's own IPv6 addresses, 16 octets each; `routed`: the
    node's own address, 4 or 16 octets, towards a receiver of that family, None where it has none."""

    __slots__ = (
        "_deny",
        "_eam_to4",
        "_eam_to6",
        "_embed",
        "_extract",
        "_fixed",
        "_own6",
        "_pool4",
        "_pool6",
        "_routed",
        "_strict",
        "domain",
    )

    def __init__(self, domain: Domain, own6: Collection[bytes] = (), routed: Routed = lambda receiver: None) -> None:
        self.domain = domain
        self._own6, self._routed = frozenset(own6), routed
        self._fixed = {len(fixed.packed): fixed.packed for fixed in (domain.address4, domain.address6) if fixed}
        embedding = Embedding(domain.prefix6) if domain.prefix6 else None
        self._embed = embedding.embed if embedding else None
        self._extract = embedding.extract if embedding else None
        self._strict = domain.strict_well_known_prefix
        self._eam_to6 = domain.eamt.to6
        self._eam_to4 = domain.eamt.to4
        by_mask: dict[int, set[int]] = {}
        for network in domain.denylist4:
            by_mask.setdefault(int(network.netmask), set()).add(int(network.network_address))
        self._deny = tuple(by_mask.items())
        self._pool4 = _Pool(domain.rfc6791_v4)
        self._pool6 = _Pool(domain.rfc6791_v6)

    def to6(self, address4: bytes, eam: bool = True) -> Mapping:
        """4 octets to 16. `eam=False`: by prefix6 only, for hairpinning (RFC 7757 4.2).

        Reasons: NO_MAPPING_SOURCE (no EAM, no prefix6; the caller knows what that means for the role of the address),
        DENYLISTED, WELL_KNOWN_PREFIX.
        """
        if self._deny and self.denied(address4):
            return _DENYLISTED
        if eam:
            address6 = self._eam_to6(address4)
            if address6 is not None:
                return _mapping((address6, _EAM, None))
        if self._embed is None:
            return _NO_MAPPING
        if self._strict and non_global4(address4):  # RFC 6052 3.1
            return _WELL_KNOWN_PREFIX
        return _mapping((self._embed(address4), _PREFIX6, None))

    def to4(self, address6: bytes) -> Mapping:
        """16 octets to 4. Reasons as for `to6`; the denylist judges the result."""
        address4 = self._eam_to4(address6)
        if address4 is not None:
            if self._deny and self.denied(address4):
                return _DENYLISTED
            return _mapping((address4, _EAM, None))
        if self._extract is None:
            return _NO_MAPPING
        address4 = self._extract(address6)
        if address4 is None:
            return _NO_MAPPING
        if self._deny and self.denied(address4):
            return _DENYLISTED
        if self._strict and non_global4(address4):  # RFC 6052 3.1
            return _WELL_KNOWN_PREFIX
        return _mapping((address4, _PREFIX6, None))

    def denied(self, address4: bytes) -> bool:
        """Whether 4 octets are on the domain's denylist4."""
        value = int.from_bytes(address4, "big")
        return any(value & mask in networks for mask, networks in self._deny)

    def in_eamt4(self, address4: bytes) -> bool:
        """Whether the IPv4 column of the EAMT covers 4 octets (RFC 7757 4.2.2, sets A and B)."""
        return self._eam_to6(address4) is not None

    def own_source(self, receiver: bytes) -> bytes | None:
        """What this node's own ICMP errors bear as their source towards `receiver`, 4 or 16 octets both: address4 or
        address6, else its own address towards there; None where it has none."""
        return self._fixed.get(len(receiver)) or self._routed(receiver)

    def rfc6791_v4(self, address6: bytes, hop_limit: int, receiver4: bytes = b"") -> bytes:
        """The IPv4 source (4 octets) of an ICMP error from an IPv6 node without a mapping (RFC 6791 4).

        `hop_limit` is that of the error as received. Out of rfc6791-v4, by the node's distance, so that the routers of
        one path differ and each keeps its address; 192.0.0.8 if there is no pool. The translator itself has its own
        address towards `receiver4`.
        """
        if address6 in self._own6 and (own := self.own_source(receiver4)):
            return own
        if not self._pool4.size:
            return DUMMY4
        return self._pool4.choose(address6, hop_limit).to_bytes(4, "big")

    def rfc6791_v6(self, address4: bytes, ttl: int) -> bytes | None:
        """The mirror case: 16 octets for an IPv4 node without a mapping, None if there is no pool.

        Where rfc6791-v6 holds a prefix of /96 or shorter, the IPv4 address stands in its last 32 bits.
        """
        if not self._pool6.size:
            return None
        return self._pool6.choose(address4, ttl).to_bytes(16, "big")


class _Pool:
    """Addresses to choose from, as one numbered row."""

    __slots__ = ("_base96", "_ends", "_starts", "size")

    def __init__(self, networks: tuple[IPv4Network, ...] | tuple[IPv6Network, ...]) -> None:
        sizes = [network.num_addresses for network in networks]
        self._starts = [int(network.network_address) for network in networks]
        self._ends = list(accumulate(sizes))
        self.size = sum(sizes)
        wide = [int(n.network_address) for n in networks if n.version == 6 and n.prefixlen <= 96]
        self._base96 = wide[0] if wide else None

    def choose(self, node: bytes, hop_limit: int) -> int:
        """The number of the address for `node`, `hop_limit` as received from it. Needs a pool that is not empty."""
        if self._base96 is not None and len(node) == 4:
            return self._base96 | int.from_bytes(node, "big")
        # By distance instead of the bare hop limit: nodes that start from 64 and from 255 share a path.
        distance = next(initial - hop_limit for initial in _INITIAL_HOP_LIMITS if hop_limit <= initial)
        if self.size <= _PATH_LENGTH:
            return self._at(distance % self.size)
        block = crc32(node) % (self.size // _PATH_LENGTH)  # tells parallel routers apart
        return self._at(block * _PATH_LENGTH + distance % _PATH_LENGTH)

    def _at(self, index: int) -> int:
        row = bisect_right(self._ends, index)
        return self._starts[row] + index - (self._ends[row - 1] if row else 0)
