"""How the core came from one address to another: the explanation that fits what it did."""

from ipaddress import IPv4Address

from nfxlat import ipaddresses
from nfxlat.offline.change import Context
from nfxlat.offline.header import Address
from nfxlat.outcome import Reason
from nfxlat.xlat.addresses import AddressMap, Method
from nfxlat.xlat.explain import Explanation, explain

UNEXPLAINED = "mapped by the domain"


def why_mapped(context: Context, old: Address, new: Address) -> tuple[str, str]:
    """Rule and arithmetic by which `old` became `new`, and the clause."""
    addresses = context.addresses
    if old.version == new.version == 6:
        return _why_hairpin(context, old, new)
    plain = explain(addresses, old)
    if plain.counterpart == new:
        return _told(plain), plain.rfc
    if plain.reason is Reason.MARTIAN_SOURCE and context.error_hop_limit is not None:
        lenient = explain(addresses, old, error_hop_limit=context.error_hop_limit)
        if lenient.counterpart == new and lenient.rule is not Method.RFC6791:
            why = "allowed only here, as it may help in troubleshooting; `nfxlat run` drops it"
            return f"{_told(lenient)}; {why}", "RFC 7915 4.1"
    if context.error_hop_limit is not None and _pooled(addresses, old, context.error_hop_limit) == new.packed:
        arrived = f"the error arrived with {context.error_hop_limit} hops left"
        return f"stands in for a node without a mapping ({arrived}): {plain.arithmetic}", "RFC 6791 4"
    if isinstance(old, IPv4Address) and addresses.to6(old.packed, eam=False).address == new.packed:
        return f"by {addresses.domain.prefix6} and not by the EAM, so that replies come back here", "RFC 7757 4.2.1"
    return UNEXPLAINED, ""


def _pooled(addresses: AddressMap, old: Address, hop_limit: int) -> bytes | None:
    if isinstance(old, IPv4Address):
        return addresses.rfc6791_v6(old.packed, hop_limit)
    return addresses.rfc6791_v4(old.packed, hop_limit)


def _told(explanation: Explanation) -> str:
    rule = explanation.rule.value if explanation.rule else ""
    return f"{rule} {explanation.entry}: {explanation.arithmetic}"


def _why_hairpin(context: Context, old: Address, new: Address) -> tuple[str, str]:
    """IPv6 to IPv6: what the way to IPv4 and back makes of `old`."""
    addresses = context.addresses
    between = explain(addresses, old).counterpart
    if between is None and old != new:
        between = explain(addresses, old, error_hop_limit=context.error_hop_limit).counterpart
    if isinstance(between, IPv4Address):
        for eam, how in ((True, "its EAM"), (False, f"{addresses.domain.prefix6}")):
            back = addresses.to6(between.packed, eam).address
            if back is not None and ipaddresses.address6(back) == new:
                by = how if eam and addresses.in_eamt4(between.packed) else f"{addresses.domain.prefix6}"
                return f"{old} maps to {between}, and that to {new} by {by}", "RFC 7757 4.2.2"
    if old == new:
        return "kept: a router without a mapping keeps its address, as the packet never leaves IPv6", "RFC 7757 4.2.2"
    return UNEXPLAINED, ""
