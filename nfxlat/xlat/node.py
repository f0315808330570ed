"""A domain's translator as it is on one node, with that node's addresses."""

from collections.abc import Set
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from nfxlat.xlat.domain import Domain
from nfxlat.xlat.special import martian4, martian6
from nfxlat.xlat.translator import Translator


def translator_for(domain: Domain, local: Set[bytes]) -> Translator:
    """The translator of a domain on a node with the addresses `local` (packed, 4 or 16 octets); next-hop MTUs are told
    packet by packet."""
    own6 = [address for address in local if len(address) == 16]
    return Translator(with_own_addresses(replace(domain, mtu4=None, mtu6=None), local), own6)


def with_own_addresses(domain: Domain, local: Set[bytes]) -> Domain:
    """The domain with address4 and address6, from which its ICMP errors come, taken from `local` where not
    configured: the lowest that is no martian."""
    address4, address6 = domain.address4, domain.address6
    usable4 = [address for address in local if len(address) == 4 and not martian4(address)]
    usable6 = [address for address in local if len(address) == 16 and not martian6(address)]
    if address4 is None and usable4:
        address4 = IPv4Address(min(usable4))
    if address6 is None and usable6:
        address6 = IPv6Address(min(usable6))
    return replace(domain, address4=address4, address6=address6)
