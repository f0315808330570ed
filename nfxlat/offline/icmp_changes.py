"""ICMP errors: type, code, MTU or pointer, the quoted packet, RFC 4884 extensions; and errors the translator makes."""

from dataclasses import dataclass, replace
from typing import Final

from nfxlat.offline.change import Change, Context, clause, prefixed
from nfxlat.offline.header import View, view
from nfxlat.offline.ip_changes import ip_changes
from nfxlat.offline.summary import icmp_name
from nfxlat.offline.transport_changes import transport_changes
from nfxlat.wire import icmp, ipv4, ipv6
from nfxlat.wire.fragment import FRAGMENT_HEADER_LENGTH
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.icmp import HEADER_DIFFERENCE

_ERRORS4: Final = frozenset((icmp.UNREACHABLE4, icmp.TIME_EXCEEDED4, icmp.PARAMETER4))


@dataclass(frozen=True, slots=True)
class Message:
    """An ICMP or ICMPv6 error taken apart. Fields that its type does not have are None."""

    protocol: int
    icmp_type: int
    code: int
    checksum: int
    mtu: int | None
    pointer: int | None
    length: int | None  # RFC 4884 length attribute, in units
    unit: int
    unused: int  # what stands in octets 4-7 otherwise
    quote: bytes
    extension: bytes

    @property
    def prefix(self) -> str:
        """Of field names."""
        return "icmp." if self.protocol == icmp.PROTOCOL4 else "icmpv6."


def message(seen: View) -> Message | None:
    """The ICMP error in a packet, None if it holds none, or not its first eight octets."""
    octets = seen.payload
    if seen.is_fragment or len(octets) < icmp.HEADER_LENGTH:
        return None
    icmp_type, code, checksum, rest = icmp.HEADER.unpack_from(octets)
    mtu = pointer = length = None
    if seen.version == 4 and seen.protocol == icmp.PROTOCOL4 and icmp_type in _ERRORS4:
        unit, length, rest = icmp.LENGTH_UNIT4, rest >> 16 & 0xFF, rest & 0xFF00FFFF
        if icmp_type == icmp.PARAMETER4:
            pointer, rest = rest >> 24, rest & 0xFFFFFF
        elif icmp_type == icmp.UNREACHABLE4 and code == icmp.FRAGMENTATION_NEEDED:
            mtu, rest = rest & 0xFFFF, rest & 0xFFFF0000
    elif seen.version == 6 and seen.protocol == icmp.PROTOCOL6 and icmp_type < icmp.INFORMATIONAL6:
        unit = icmp.LENGTH_UNIT6
        if icmp_type == icmp.PACKET_TOO_BIG6:
            mtu, rest = rest, 0
        elif icmp_type == icmp.PARAMETER6:
            pointer, rest = rest, 0
        elif icmp_type in (icmp.UNREACHABLE6, icmp.TIME_EXCEEDED6):
            length, rest = rest >> 24, rest & 0xFFFFFF
    else:
        return None
    span = (length or 0) * unit
    body = octets[icmp.HEADER_LENGTH :]
    quote, extension = (body[:span], body[span:]) if span else (body, b"")
    return Message(seen.protocol, icmp_type, code, checksum, mtu, pointer, length, unit, rest, quote, extension)


def icmp_changes(old: View, new: View, was: Message, now: Message, context: Context) -> list[Change]:
    """An ICMP error that was translated: its own fields, then the quote's with `quote.` before their names."""
    rfc = clause(old.version, 2)
    name = f"{icmp_name(was.protocol, was.icmp_type, was.code)} is {icmp_name(now.protocol, now.icmp_type, now.code)}"
    before, after = was.prefix, now.prefix
    changes = [
        Change(before + "type", str(was.icmp_type), after + "type", str(now.icmp_type), name, rfc),
        Change(before + "code", str(was.code), after + "code", str(now.code), "follows from the type", rfc),
        Change(
            before + "checksum",
            f"0x{was.checksum:04x}",
            after + "checksum",
            f"0x{now.checksum:04x}",
            "the old one was verified; recomputed, since the quoted packet changed",
            rfc,
        ),
    ]
    changes += _rest(old, was, now, context)
    old_quote, new_quote = view(was.quote), view(now.quote)
    if old_quote and new_quote:
        inner = replace(context, quoted=True, error_hop_limit=None)
        inside = ip_changes(old_quote, new_quote, inner) + transport_changes(old_quote, new_quote, inner)
        changes += prefixed("quote.", inside)
    return changes + _extension(was, now)


def _rest(old: View, was: Message, now: Message, context: Context) -> list[Change]:
    """Octets 4-7."""
    before, after = was.prefix, now.prefix
    changes = []
    values = (
        ("mtu", was.mtu, now.mtu, ""),
        ("pointer", was.pointer, now.pointer, "the same field of the other header"),
        ("length", was.length, now.length, "octets of the quote, in units of 4 (ICMP) or 8 (ICMPv6)"),
    )
    for name, value, result, why in values:
        if not (value or result) and (name == "length" or value is result is None):
            continue
        rfc = "RFC 4884 4" if name == "length" else clause(old.version, 2)
        if name == "mtu" and now.mtu is not None:
            why = _why_mtu(old, was, now.mtu, context.addresses.domain)
        elif value is None:
            why = why if name == "length" else "the field that names the protocol"
        elif result is None:
            why = "this message has no such field"
        changes.append(
            Change(
                None if value is None else before + name,
                None if value is None else str(value),
                None if result is None else after + name,
                None if result is None else str(result),
                why,
                rfc,
            )
        )
    if was.unused:
        changes.append(Change(before + "unused", f"0x{was.unused:08x}", None, None, "unused octets are sent as zero"))
    return changes


def _why_mtu(old: View, was: Message, result: int, domain: Domain) -> str:
    """The term of the formula that gave `result` (RFC 7915 4.2, 5.2)."""
    told, quote = was.mtu or 0, view(was.quote)
    if old.version == 4:
        by = HEADER_DIFFERENCE
        difference = f"+ {by}, the difference of the headers"
    else:
        has_fragment_header = quote is not None and quote.fragment_header
        by = -HEADER_DIFFERENCE - (FRAGMENT_HEADER_LENGTH if has_fragment_header else 0)
        difference = f"- {-by}, the difference of the headers" + (" and a Fragment Header" * has_fragment_header)
    terms = [(told + by, f"{told} {difference}")]
    if old.version == 4 and told < ipv4.MIN_MTU:
        why = f"the router reported none; {{}} of mtu-plateaus is the next below the quoted length, {difference}"
        terms = [(plateau + by, why.format(plateau)) for plateau in domain.mtu_plateaus]
    for key, mtu, family in (("mtu6", domain.mtu6, 6), ("mtu4", domain.mtu4, 4)):
        if mtu is not None:
            terms.append((mtu if family != old.version else mtu + by, f"{key} ({mtu}) allows no more"))
    if old.version == 4:
        terms.append((ipv6.MIN_MTU, f"never below {ipv6.MIN_MTU}, which every IPv6 link carries"))
    else:
        terms.append((told, "kept: the packet comes back to IPv6"))
        terms.append((ipv6.MIN_MTU + by, f"{told} is too small for an MTU and counts as {ipv6.MIN_MTU}, {difference}"))
        terms.append((ipv6.MIN_MTU, f"never below {ipv6.MIN_MTU}, which every IPv6 link carries"))
    return next((why for value, why in terms if value == result), "as much as both sides allow")


def _extension(was: Message, now: Message) -> list[Change]:
    quoted = Change(
        "quoted_octets",
        str(len(was.quote)),
        "quoted_octets",
        str(len(now.quote)),
        _why_quoted(was, now),
        "RFC 1812 4.3.2.3" if now.protocol == icmp.PROTOCOL4 else "RFC 4443 2.4(c)",
    )
    if not was.extension and not now.extension:
        return [quoted]
    old_text, new_text = f"{len(was.extension)} octets", f"{len(now.extension)} octets"
    if not now.extension:
        why = "left out: the message has no length attribute, or no room beside 128 octets of quote"
        return [quoted, Change("extension", old_text, None, None, why, "RFC 4884 4.5")]
    if was.extension == now.extension:
        return [quoted, Change("extension", old_text, "extension", new_text, "unchanged", "RFC 7915 4.2, 5.2")]
    why = "a Node Identification Object with the IPv6 address of the node is added"
    rfc = "RFC 4884 7"
    if was.extension:
        return [quoted, Change("extension", old_text, "extension", new_text, why, rfc)]
    return [quoted, Change(None, None, "extension", new_text, why, rfc)]


def _why_quoted(was: Message, now: Message) -> str:
    old_quote, new_quote = view(was.quote), view(now.quote)
    if old_quote is None or new_quote is None:
        return ""
    before, after = old_quote.header_length, new_quote.header_length
    why = f"its headers have {after} octets instead of {before}" if before != after else "its headers keep their length"
    left = len(now.quote) - after - len(old_quote.payload)
    if left < 0:
        return f"{why}; {-left} octets are cut off the end to keep the error small"
    if left > 0:
        return f"{why}; {left} octets of padding precede the extension"
    return why


def own_error(old: View, new: View, made: Message, domain: Domain) -> list[Change]:
    """An ICMP error that the translator made about `old`: what it says and where it comes from."""
    own = domain.address4 if new.version == 4 else domain.address6
    if own == new.source:
        origin, rfc = f"address{new.version} of the domain", ""
    else:
        origin = f"the domain has no address{new.version}, so the dummy address 192.0.0.8 is used"
        rfc = "RFC 7600"
    name = icmp_name(made.protocol, made.icmp_type, made.code)
    changes = [
        Change(None, None, "source", str(new.source), origin, rfc),
        Change(None, None, "destination", str(new.destination), "the sender", ""),
        Change(None, None, f"{made.prefix}type", f"{made.icmp_type} code {made.code}", name, ""),
    ]
    if made.mtu is not None:
        changes.append(Change(None, None, f"{made.prefix}mtu", str(made.mtu), _why_own_mtu(new, made.mtu, domain)))
    if made.pointer is not None:
        why = "the offending octet, counted from the start of the IPv6 header"
        changes.append(Change(None, None, f"{made.prefix}pointer", str(made.pointer), why, "RFC 7915 5.1"))
    why = f"of {old.length}, as received"
    changes.append(Change(None, None, "quoted_octets", str(len(made.quote)), why))
    return changes


def _why_own_mtu(new: View, result: int, domain: Domain) -> str:
    """What the MTU in an error of the translator's own was made of."""
    sign, mtu = (-1, domain.mtu6) if new.version == 4 else (1, domain.mtu4)
    terms = []
    for less in (HEADER_DIFFERENCE, HEADER_DIFFERENCE + FRAGMENT_HEADER_LENGTH):
        operator = "-" if sign < 0 else "+"
        also = " and a Fragment Header" if less > HEADER_DIFFERENCE else ""
        what = f"{operator} {less}, the difference of the headers{also}"
        if mtu is not None:
            terms.append((mtu + sign * less, f"{mtu} of the next hop {what}"))
        if sign > 0:
            terms.append((ipv4.MAX_LENGTH + less, f"{ipv4.MAX_LENGTH}, the longest IPv4 packet, {what}"))
    if domain.mtu6 is not None:
        terms.append((domain.mtu6, f"{domain.mtu6} of the next hop"))
    terms.append((ipv6.MIN_MTU, f"never below {ipv6.MIN_MTU}, which every IPv6 link carries"))
    return next((why for value, why in terms if value == result), "of the next hop")
