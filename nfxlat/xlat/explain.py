"""What an address becomes, by which rule and arithmetic, or which check refuses it, in words for the operator."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from nfxlat import ipaddresses
from nfxlat.outcome import Reason
from nfxlat.xlat.addresses import DUMMY4, AddressMap, Method
from nfxlat.xlat.rfc6052 import WELL_KNOWN_PREFIX
from nfxlat.xlat.special import martian_name

Address = IPv4Address | IPv6Address

# Where the IPv4 octets stand, by prefix length (drawing in rfc6052.py)
_OCTETS: Final = {32: "4-7", 40: "5-7 and 9", 48: "6-7 and 9-10", 56: "7 and 9-11", 64: "9-12", 96: "12-15"}


@dataclass(frozen=True, slots=True)
class Explanation:
    """The mapping of one address. Where it has none, `counterpart`, `rule` and `entry` are None and `reason` is set."""

    address: Address
    counterpart: Address | None
    rule: Method | None
    entry: str | None  # the EAM, prefix6 or pool that the rule used
    arithmetic: str
    reason: Reason | None
    rfc: str
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Keys in, out, rule, entry, arithmetic, reason, rfc, notes; addresses as RFC 5952 text."""
        return {
            "in": str(self.address),
            "out": str(self.counterpart) if self.counterpart else None,
            "rule": self.rule.value if self.rule else None,
            "entry": self.entry,
            "arithmetic": self.arithmetic,
            "reason": self.reason.label if self.reason else None,
            "rfc": self.rfc,
            "notes": list(self.notes),
        }


def explain(addresses: AddressMap, address: Address, *, error_hop_limit: int | None = None) -> Explanation:
    """The mapping of `address` as the translator does it, martian check included.

    With `error_hop_limit`, the address is taken as the outer source of an ICMP error that arrived with that TTL or Hop
    Limit, so that RFC 6791 stands in where no mapping exists, and an illegal IPv4 address is mapped (RFC 7915 4.1).
    """
    lenient = error_hop_limit is not None and isinstance(address, IPv4Address)
    if not lenient and (name := martian_name(address)):
        return _refused(address, Reason.MARTIAN_SOURCE, f"{address} is in {name}, never a valid source or destination")
    domain = addresses.domain
    unchecked = AddressMap(replace(domain, denylist4=(), well_known_prefix="lax"))
    counterpart = _map(unchecked, address)
    if counterpart is None:
        return _without_mapping(addresses, address, error_hop_limit)
    rule, entry, arithmetic, rfc = _how(addresses, address, counterpart)
    address4 = address if isinstance(address, IPv4Address) else counterpart
    if why := _denied(addresses, address4):
        # the core gives such an outer source, too, an address of the pool
        stand_in = _stand_in(addresses, address, error_hop_limit, why)
        return stand_in or _refused(address, Reason.DENYLISTED, f"{arithmetic}; {why}")
    if _map(addresses, address) is None:  # the only check that is left
        why = f'{address4} is not global, so {WELL_KNOWN_PREFIX} must not carry it (well-known-prefix = "strict")'
        return _refused(address, Reason.WELL_KNOWN_PREFIX, f"{arithmetic}; {why}")
    if name := martian_name(counterpart):
        why = f"{counterpart} is in {name}, never a valid source or destination"
        return _refused(address, Reason.MARTIAN_SOURCE, f"{arithmetic}; {why}")
    notes = _way_back(address, _map(addresses, counterpart))
    return Explanation(address, counterpart, rule, entry, arithmetic, None, rfc, notes)


def _map(addresses: AddressMap, address: Address) -> Address | None:
    if isinstance(address, IPv4Address):
        address6 = addresses.to6(address.packed).address
        return ipaddresses.address6(address6) if address6 else None
    address4 = addresses.to4(address.packed).address
    return IPv4Address(address4) if address4 else None


def _denied(addresses: AddressMap, address4: Address) -> str:
    """What denylist4 says of it; "" if nothing."""
    network = next((network for network in addresses.domain.denylist4 if address4 in network), None)
    return f"{address4} is in {network} of denylist4" if network else ""


def _refused(address: Address, reason: Reason, why: str) -> Explanation:
    return Explanation(address, None, None, None, why, reason, reason.rfc)


def _pool(addresses: AddressMap, address: Address) -> str:
    """The RFC 6791 pool that has a stand-in for `address`; "" if there is none."""
    domain = addresses.domain
    networks: tuple[IPv4Network, ...] | tuple[IPv6Network, ...] = domain.rfc6791_v6
    if isinstance(address, IPv6Address):
        networks = domain.rfc6791_v4 or (IPv4Network(DUMMY4),)
    return ", ".join(map(str, networks))


def _stand_in(addresses: AddressMap, address: Address, error_hop_limit: int | None, why: str) -> Explanation | None:
    """RFC 6791 for the source of an ICMP error; None if it is none, or without a pool."""
    if error_hop_limit is None:
        return None
    choose: Callable[[bytes, int], bytes | None] = addresses.rfc6791_v4
    if isinstance(address, IPv4Address):
        choose = addresses.rfc6791_v6
    octets = choose(address.packed, error_hop_limit)
    if octets is None:
        return None
    pool = _pool(addresses, address)
    text = f"{why}; taken from {pool} by distance and node"
    return Explanation(address, ipaddresses.address(octets), Method.RFC6791, pool, text, None, "RFC 6791 4")


def _without_mapping(addresses: AddressMap, address: Address, error_hop_limit: int | None) -> Explanation:
    """RFC 6791 for the source of an ICMP error, otherwise the refusal."""
    if stand_in := _stand_in(addresses, address, error_hop_limit, "no mapping"):
        return stand_in
    domain, pool = addresses.domain, _pool(addresses, address)
    why = f"neither {domain.prefix6} nor an EAM covers {address}"
    if domain.prefix6 is None:
        why = f"no EAM covers {address}, and the domain has no prefix6"
    if pool:
        why += f"; as the source of an ICMP error it becomes an address of {pool} (RFC 6791)"
    if isinstance(address, IPv4Address) and (denied := _denied(addresses, address)):  # the core looks there first
        return _refused(address, Reason.DENYLISTED, f"{denied}; {why}")
    return _refused(address, Reason.NO_MAPPING_SOURCE, why)


def _how(addresses: AddressMap, address: Address, counterpart: Address) -> tuple[Method, str, str, str]:
    """Rule, its entry, the arithmetic, and the clause, of an address that has a mapping."""
    domain = addresses.domain
    own: IPv4Network | IPv6Network
    other: IPv4Network | IPv6Network
    if isinstance(address, IPv4Address):
        if pair := domain.eamt.entry4(address.packed):
            own, other = pair
            text = _eam_arithmetic(address, own, other, 32 - own.prefixlen)
            return Method.EAM, f"{own} {other}", text, "RFC 7757 3.3"
        verb, octets = "put at", address.packed
    else:
        if pair := domain.eamt.entry6(address.packed):
            other, own = pair
            text = _eam_arithmetic(address, own, other, 32 - other.prefixlen)
            return Method.EAM, f"{other} {own}", text, "RFC 7757 3.3"
        verb, octets = "read from", counterpart.packed
    prefix6 = str(domain.prefix6)
    where = _OCTETS[int(prefix6.rpartition("/")[2])]
    text = f"octets {octets.hex(' ')} ({IPv4Address(octets)}) {verb} octets {where}, after {prefix6}"
    return Method.PREFIX6, prefix6, text, "RFC 6052 2.3"


def _eam_arithmetic(
    address: Address, own: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network, suffix_bits: int
) -> str:
    """The first `suffix_bits` of `address` after `own` go directly after `other` (RFC 7757 3.3)."""
    end = own.prefixlen + suffix_bits
    text = f"{own} as a whole maps to {other}"
    if suffix_bits:
        bits = f"{int(address):0{address.max_prefixlen}b}"[own.prefixlen : end]
        text = f"suffix bits {bits} after {own} appended to {other}"
    if zero := other.max_prefixlen - other.prefixlen - suffix_bits:
        text += f", then {zero} zero bits"
    if unseen := address.max_prefixlen - end:
        text += f"; the last {unseen} bits of {address} are ignored"
    return text


def _way_back(address: Address, back: Address | None) -> tuple[str, ...]:
    """What the operator should know where the reverse mapping is not the identity (RFC 7757 3.3, RFC 6052 2.3)."""
    if back is None:
        return ("the way back is refused",)
    return () if back == address else (f"the way back leads to {back}",)
