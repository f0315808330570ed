"""The IP headers, field by field: what each became, and why.

Nothing is decided here: both packets are there, and each sentence is one that the two of them bear out.
"""

from collections.abc import Iterator
from typing import Final

from nfxlat.offline.change import Change, Context, clause
from nfxlat.offline.header import View, shown
from nfxlat.offline.mapping import why_mapped
from nfxlat.offline.summary import protocol_name
from nfxlat.wire import fragment, icmp, ipv4, ipv6
from nfxlat.xlat.fragmentation4 import DF_THRESHOLD
from nfxlat.xlat.traffic_class import COPY, ECN, octets

_MAIN: Final = {4: clause(4, 1), 6: clause(6, 1)}
_FRAGMENTS: Final = {4: "RFC 7915 4.1", 6: "RFC 7915 5.1.1"}
_QUOTE: Final = {4: clause(4, 3), 6: clause(6, 3)}


def ip_changes(old: View, new: View, context: Context) -> list[Change]:
    """Every field of both headers, in the order of the header that came out."""
    return [
        *_version(old, new),
        _traffic_class(old, new, context),
        *_flow_label(old, new),
        _length(old, new),
        *_fragmentation(old, new, context),
        _hop_limit(old, new, context),
        _protocol(old, new),
        *_header_checksum(old, new),
        _address("source", old, new, context),
        _address("destination", old, new, context),
        *_left_out(old),
    ]


def _pair(old: View, name4: str, name6: str, new: View) -> tuple[str, str, str, str]:
    """Name and value of a field in both headers."""
    names = {4: name4, 6: name6}
    old_name, new_name = names[old.version], names[new.version]
    return old_name, shown(old_name, old.fields[old_name]), new_name, shown(new_name, new.fields[new_name])


def _version(old: View, new: View) -> Iterator[Change]:
    if new.version == old.version:
        why = "hairpin: both hosts are IPv6, so the packet goes back to IPv6"
        yield Change("version", "6", "version", "6", why, "RFC 7757 4.2")
        return
    yield Change("version", str(old.version), "version", str(new.version), "the other family", _MAIN[old.version])
    if old.version == 4:
        yield Change("ihl", str(old.fields["ihl"]), None, None, "an IPv6 header has 40 octets", _MAIN[4])
    else:
        yield Change(None, None, "ihl", str(new.fields["ihl"]), "a header without options", _MAIN[6])


def _traffic_class(old: View, new: View, context: Context) -> Change:
    names = _pair(old, "tos", "traffic_class", new)
    option = context.addresses.domain.traffic_class
    if option == "copy":
        why = "copied" if names[1] == names[3] else "not copied"
    else:
        become = octets(option) or COPY
        kept = (become[0] ^ become[255]) & ECN == ECN
        why = f"set by traffic-class = {option}, ECN {'copied' if kept else 'too'}"
    return Change(*names, why, _MAIN[old.version])


def _flow_label(old: View, new: View) -> Iterator[Change]:
    if old.version == 6:
        label = shown("flow_label", old.fields["flow_label"])
        if new.version == 6:
            yield Change(
                "flow_label", label, "flow_label", shown("flow_label", new.fields["flow_label"]), "set to zero"
            )
        else:
            yield Change("flow_label", label, None, None, "IPv4 has none", _MAIN[6])
    else:
        yield Change(None, None, "flow_label", shown("flow_label", new.fields["flow_label"]), "set to zero", _MAIN[4])


def _length(old: View, new: View) -> Change:
    names = _pair(old, "total_length", "payload_length", new)
    kept = old.length - old.header_length  # what stands behind the headers, quoted in full or not
    extra = fragment.FRAGMENT_HEADER_LENGTH if new.fragment_header else 0
    fixed = 0 if new.version == 6 else ipv4.HEADER_LENGTH  # IPv4 counts its own header
    terms = [f"{octets} of {what}" for octets, what in ((fixed, "IPv4 header"), (extra, "Fragment Header")) if octets]
    value = new.fields["payload_length" if new.version == 6 else "total_length"]
    if value == kept + extra + fixed:
        if old.version == 4:
            arithmetic = f"{old.length} - {old.header_length} of IPv4 header"
        else:
            headers = old.header_length - ipv6.HEADER_LENGTH
            arithmetic = f"{old.length - ipv6.HEADER_LENGTH}" + (
                f" - {headers} of extension headers" if headers else ""
            )
        why = " + ".join([arithmetic, *terms])
    else:
        why = " + ".join([*terms, f"{value - extra - fixed} of payload"])
    return Change(*names, why, _MAIN[old.version])


def _fragmentation(old: View, new: View, context: Context) -> list[Change]:
    changes = _identification(old, new, context)
    if new.version == 4:
        changes.append(_df_set(old, new))
    elif old.version == 4:
        why = "IPv6 has no such flag: its routers never fragment"
        changes.append(Change("df", str(old.fields["df"]), None, None, why, _MAIN[4]))
    if not (old.is_fragment or new.is_fragment or old.fragment_header or new.fragment_header):
        return changes  # MF and offset are zero or absent, so there is nothing to tell
    parts = (
        ("mf", "fragment.more", int(old.more), int(new.more)),
        ("fragment_offset", "fragment.offset", old.offset, new.offset),
    )
    for name4, name6, before, after in parts:
        there_old, there_new = old.version == 4 or old.fragment_header, new.version == 4 or new.fragment_header
        old_name = (name4 if old.version == 4 else name6) if there_old else None
        new_name = (name4 if new.version == 4 else name6) if there_new else None
        if old_name is None and new_name is None:
            continue
        if new_name is None:
            why = "the packet is whole and needs no Fragment Header"
        elif old_name is None:
            why = "the packet is whole" if after == 0 and not new.is_fragment else "fragmented here"
        else:
            why = "copied" if before == after else "fragmented here"
        changes.append(
            Change(
                old_name,
                str(before) if old_name else None,
                new_name,
                str(after) if new_name else None,
                why,
                _FRAGMENTS[old.version],
            )
        )
    return changes


def _identification(old: View, new: View, context: Context) -> list[Change]:
    old_name, old_text = _identification_of(old)
    new_name, new_text = _identification_of(new)
    if old_name is None and new_name is None:
        return []
    if new_name is None:
        why, rfc = "the packet is sent whole, without a Fragment Header", _MAIN[4]
        if old.version == 6:
            rfc = ""
    elif old_name is not None:
        if old.version == new.version:
            why, rfc = "copied" if old_text == new_text else "the low 16 bits, which is all that IPv4 carries", ""
        elif old.version == 4:
            why, rfc = "16 zero bits prepended", _MAIN[4]
        else:
            why, rfc = "the low 16 bits", _FRAGMENTS[6]
    elif context.quoted:
        why, rfc = "IPv6 has none, so the sender's value is unknown", _QUOTE[6]
    elif new.fields["df"]:
        why, rfc = "zero: a packet with DF set needs none", "RFC 6864 4.1"
    else:
        why, rfc = "IPv6 has none: made from the transport header, in case of fragmentation", "RFC 6864 4.3"
    return [Change(old_name, old_text, new_name, new_text, why, rfc)]


def _identification_of(seen: View) -> tuple[str, str] | tuple[None, None]:
    if seen.version == 4:
        return "identification", shown("identification", seen.identification)
    if seen.fragment_header:
        return "fragment.identification", f"0x{seen.identification:08x}"
    return None, None


def _df_set(old: View, new: View) -> Change:
    df, length = new.fields["df"], new.length
    if df and length > DF_THRESHOLD:
        why, rfc = f"DF is set because {length} > {DF_THRESHOLD}", _MAIN[6]
    elif not df and old.fragment_header:
        why, rfc = "a fragment may be fragmented again", _FRAGMENTS[6]
    elif not df and length <= DF_THRESHOLD:
        why, rfc = f"DF is not set because {length} <= {DF_THRESHOLD}: routers may fragment it", _MAIN[6]
    else:
        why, rfc = "", _MAIN[6]
    return Change(None, None, "df", str(df), why, rfc)


def _hop_limit(old: View, new: View, context: Context) -> Change:
    taken = old.hop_limit - new.hop_limit
    if context.quoted and not taken:
        why, rfc = "copied: in a quote it tells how far the packet got", _QUOTE[old.version]
    elif taken:
        why, rfc = "one hop is taken off" if taken == 1 else f"{taken} hops are taken off", _MAIN[old.version]
    else:
        why, rfc = "kept: forwarding takes the hop off", _MAIN[old.version]
    return Change(*_pair(old, "ttl", "hop_limit", new), why, rfc)


def _protocol(old: View, new: View) -> Change:
    names = _pair(old, "protocol", "next_header", new)
    name = protocol_name(new.protocol)
    if {old.protocol, new.protocol} == {icmp.PROTOCOL4, icmp.PROTOCOL6}:
        name = f"{protocol_name(old.protocol)} is {name} in the other family"
    if new.fragment_header:
        why = f"a Fragment Header comes next, then {name}"
    elif old.version == 6 and old.protocol != old.fields["next_header"]:
        why = f"{name}: what the extension headers led to"
    else:
        why = name if old.protocol != new.protocol else f"copied: {name}"
    return Change(*names, why, _MAIN[old.version])


def _header_checksum(old: View, new: View) -> Iterator[Change]:
    if old.version == 4:
        text = shown("header_checksum", old.fields["header_checksum"])
        yield Change("header_checksum", text, None, None, "IPv6 has none", _MAIN[4])
    if new.version == 4:
        text = shown("header_checksum", new.fields["header_checksum"])
        yield Change(None, None, "header_checksum", text, "computed over the new header", _MAIN[6])


def _address(role: str, old: View, new: View, context: Context) -> Change:
    before, after = getattr(old, role), getattr(new, role)
    if role == "destination":
        context = Context(context.addresses, context.reason, context.quoted)
    why, rfc = why_mapped(context, before, after)
    return Change(role, str(before), role, str(after), why, rfc)


def _left_out(old: View) -> Iterator[Change]:
    if old.options:
        yield Change("options", old.options.hex(" "), None, None, "IPv4 options are not translated", _MAIN[4])
    for extension in old.extensions:
        why = "extension headers are not translated"
        yield Change(extension.name, extension.octets.hex(" "), None, None, why, _MAIN[6])
