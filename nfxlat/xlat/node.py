"""A domain's translator as it is on one node, with that node's addresses."""

from collections.abc import Set
from dataclasses import replace

from nfxlat.xlat.addresses import Routed
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.errors import Allow, always
from nfxlat.xlat.special import martian4, martian6
from nfxlat.xlat.translator import Translator


class OwnAddresses:
    """Whose addresses a node's own ICMP errors bear: what the route to the receiver gives.

    `local`: the node's addresses, packed, 4 or 16 octets; `unfit`: those of them that are deprecated or tentative;
    `routed`: what its kernel would take. Where that is unfit (a `src` of a route, IPv4 that is being renumbered), the
    one nearest to it stands in: most leading bits in common, then the lowest.
    """

    def __init__(self, local: Set[bytes], unfit: Set[bytes], routed: Routed) -> None:
        self._routed = routed
        self._fit = {address for address in local - unfit if not _martian(address)}

    def __call__(self, receiver: bytes) -> bytes | None:
        """The node's address, of the family of `receiver`; None without a route or without one that may be used."""
        given = self._routed(receiver)
        if given is None or given in self._fit:
            return given
        near = (address for address in self._fit if len(address) == len(given))
        return min(near, key=lambda address: (_difference(address, given), address), default=None)


def translator_for(domain: Domain, own: OwnAddresses, local: Set[bytes], allow: Allow = always) -> Translator:
    """The translator of a domain on a node with the addresses `local` (packed, 4 or 16 octets); next-hop MTUs are told
    packet by packet."""
    own6 = [address for address in local if len(address) == 16]
    return Translator(replace(domain, mtu4=None, mtu6=None), own6, own, allow)


def _martian(address: bytes) -> bool:
    return martian4(address) if len(address) == 4 else martian6(address)


def _difference(one: bytes, other: bytes) -> int:
    """Bits behind the leading ones that both have in common."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_length()
