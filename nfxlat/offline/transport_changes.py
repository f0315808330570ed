"""What stands behind the IP headers: transport checksums, ICMP echo, and the data, which must be the same octets.

The sentence "unchanged" is written only where the octets were compared and found so.
"""

from itertools import groupby
from typing import Final, NamedTuple

from nfxlat.offline.change import Change, Context, clause
from nfxlat.offline.header import View
from nfxlat.offline.summary import icmp_name, protocol_name
from nfxlat.wire import icmp
from nfxlat.wire.transport import CHECKSUM_AT, HEADER_LENGTH, ZERO_IS_NONE

_ICMP: Final = (icmp.PROTOCOL4, icmp.PROTOCOL6)
_NAMES: Final = {6: "tcp", 17: "udp", 33: "dccp", 136: "udplite", 1: "icmp", 58: "icmpv6"}
_AUTHENTICATION: Final = 51


class _Octets(NamedTuple):
    """A field that may change: where it stands in the transport header."""

    name: str
    start: int
    end: int


def transport_changes(old: View, new: View, context: Context) -> list[Change]:
    """Every field that differs behind the IP headers of one translated packet or quote, and the data in one line."""
    start = (new.offset - old.offset) * 8  # of the data of this piece within those of the old packet
    before = old.payload[start:] if start >= 0 else b""
    if new.offset or old.offset:
        return [_data(before, new.payload, (), old, start, context)]
    fields = _fields(old.protocol)
    changes = []
    for field in fields:
        was, now = before[field.start : field.end], new.payload[field.start : field.end]
        if len(was) < field.end - field.start or len(now) < len(was):
            break
        changes.append(_field(field, was, now, old, new, context))
    return [*changes, _data(before, new.payload, fields, old, start, context)]


def _fields(protocol: int) -> tuple[_Octets, ...]:
    if protocol in _ICMP:
        return _Octets("type", 0, 1), _Octets("code", 1, 2), _Octets("checksum", 2, 4)
    if protocol in CHECKSUM_AT:
        return (_Octets("checksum", CHECKSUM_AT[protocol], CHECKSUM_AT[protocol] + 2),)
    return ()


def _field(field: _Octets, was: bytes, now: bytes, old: View, new: View, context: Context) -> Change:
    names = tuple(f"{_NAMES[seen.protocol]}.{field.name}" for seen in (old, new))
    if field.name == "checksum":
        why, rfc = _why_checksum(was, now, old, new, context)
        return Change(names[0], f"0x{was.hex()}", names[1], f"0x{now.hex()}", why, rfc)
    rfc = clause(old.version, 3 if context.quoted else 2)
    if field.name == "code":
        why = "copied" if was == now else "an echo has code 0"
    else:
        why = icmp_name(new.protocol, now[0], 0).partition(" (")[0]
        why = f"copied: {why}" if was == now else f"{why} of {protocol_name(new.protocol)}"
    return Change(names[0], str(was[0]), names[1], str(now[0]), why, rfc)


def _why_checksum(was: bytes, now: bytes, old: View, new: View, context: Context) -> tuple[str, str]:
    icmp_clause = clause(old.version, 2)
    if old.protocol in _ICMP:
        if was == now and old.is_fragment:
            return "kept: the length of the whole message is not known from its first fragment", icmp_clause
        if old.version == new.version:
            return "the addresses in the pseudo-header changed: updated incrementally", "RFC 1624"
        verb = "added" if new.version == 6 else "removed"
        return f"the ICMPv6 checksum covers a pseudo-header, now {verb}: updated incrementally", icmp_clause
    transport_clause = clause(old.version, 5)
    if old.protocol in ZERO_IS_NONE and not any(was):
        if any(now):
            return "computed: IPv6 requires a UDP checksum", transport_clause
        return "missing, and stays missing", transport_clause
    if was == now:
        return "kept: old and new addresses have the same sum", "RFC 6052 4.1"
    if context.quoted:
        return "pseudo-header changed: updated incrementally, as the quote may be incomplete", "RFC 1624"
    return "pseudo-header changed: updated incrementally", f"{transport_clause}, RFC 1624"


def _data(before: bytes, after: bytes, fields: tuple[_Octets, ...], old: View, start: int, context: Context) -> Change:
    """One line for all that no field names. `start`: of `before` within the payload of the old packet."""
    changed = [at for at in range(min(len(before), len(after))) if before[at] != after[at]]
    named = {at for field in fields for at in range(field.start, field.end)}
    other = [at for at in changed if at not in named]
    padding = after[len(before) :]
    if other:
        why = f"octets {_ranges(other)} changed"
    elif any(padding):
        why = f"{len(padding)} octets longer"
    else:
        why = _why_unchanged(before, after, bool(named), old, start, context)
        if padding:
            why += f"; then {len(padding)} zero octets of padding"
    return Change("payload", f"{len(before)} octets", "payload", f"{len(after)} octets", why)


def _why_unchanged(before: bytes, after: bytes, named: bool, old: View, start: int, context: Context) -> str:
    kind = protocol_name(old.protocol)
    if old.offset or start:
        first = old.offset * 8 + start
        return f"octets {first} to {first + len(after) - 1} of the datagram, unchanged: no {kind} header here"
    if old.protocol == _AUTHENTICATION:
        return "AH unchanged, but it protects the addresses too: the receiver will reject it"
    if not named:
        return f"{kind} unchanged: no checksum over addresses is known"
    if len(before) < HEADER_LENGTH.get(old.protocol, 0) and context.quoted:
        return f"{kind} header, quoted in part, otherwise unchanged"
    return f"{kind} header and data, otherwise unchanged"


def _ranges(positions: list[int]) -> str:
    """`3, 7-9`"""
    runs = [[at for _, at in run] for _, run in groupby(enumerate(positions), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
