"""Explanations of packets against a decoder of their own: whatever differs between the packets is told, as it is."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from struct import pack, unpack_from
from typing import Any

from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from packets import pseudo6, raw4, raw6, with_checksum

from nfxlat import config
from nfxlat.offline.mapping import UNEXPLAINED
from nfxlat.offline.packet import PacketExplanation, explain_packet
from nfxlat.outcome import Action, Reason
from nfxlat.wire import ipv4
from nfxlat.wire.checksum import internet_checksum
from nfxlat.xlat.translator import Translator

DOMAINS = [
    """
    prefix6 = "2001:db8:64::/96"
    eam = [["203.0.113.0/28", "2001:db8:2::/124"], ["192.0.2.7", "2001:db8:3::7"]]
    rfc6791-v4 = ["198.51.100.240/28"]
    """,
    """
    prefix6 = "2001:db8:100::/40"
    eam = [["203.0.113.0/28", "2001:db8:2::/60"]]
    rfc6791-v6 = ["2001:db8:6791::/96"]
    hairpin = "simple"
    traffic-class = "zero"
    address4 = "192.0.2.1"
    address6 = "2001:db8::1"
    mtu4 = 600
    udp-zero-checksum = "compute"
    """,
    """
    prefix6 = "64:ff9b::/96"
    well-known-prefix = "lax"
    denylist4 = ["192.0.2.64/26"]
    hairpin = "off"
    udp-zero-checksum = "forward"
    """,
]
TRANSLATORS = [Translator(config.parse(f"[domain.siit0]\n{toml}", "test").domain()) for toml in DOMAINS]
# Of each domain: addresses with a mapping, and some without, or that may never pass.
ADDRESSES4 = [
    ["203.0.113.2", "203.0.113.9", "192.0.2.7", "198.51.100.9", "192.0.2.99", "127.0.0.1"],
    ["203.0.113.2", "203.0.113.9", "192.0.2.7", "198.51.100.9", "192.0.2.99", "224.0.0.1"],
    ["203.0.113.2", "203.0.113.9", "192.0.2.7", "198.51.100.9", "192.0.2.99", "240.0.0.1"],
]
ADDRESSES6 = [
    ["2001:db8:2::2", "2001:db8:3::7", "2001:db8:64::203.0.113.2", "2001:db8:64::192.0.2.99", "2001:db8:9::1"],
    ["2001:db8:2:2::", "2001:db8:2:9::1", "2001:db8:1cb:71:2::", "2001:db8:1c0:2:7::", "fe80::1"],
    ["64:ff9b::203.0.113.2", "64:ff9b::192.0.2.7", "64:ff9b::192.0.2.99", "64:ff9b::8.8.8.8", "2001:db8:9::1"],
]
CHECKSUM_AT = {6: 16, 17: 6, 33: 6, 136: 6}
NAMES = {6: "tcp", 17: "udp", 33: "dccp", 136: "udplite", 1: "icmp", 58: "icmpv6"}


@dataclass(frozen=True)
class Decoded:
    fields: dict[str, str]
    protocol: int
    offset: int
    headers: int  # their length
    transport: bytes


def decoded(packet: bytes) -> Decoded:
    """Every field of the IP headers and the transport checksum, by name and as text."""
    if packet[0] >> 4 == 4:
        vi, tos, length, number, word, ttl, protocol, checksum, source, destination = unpack_from(
            "!BBHHHBBH4s4s", packet
        )
        at, offset = (vi & 15) * 4, word & 0x1FFF
        fields = {
            "version": "4",
            "ihl": str(vi & 15),
            "tos": f"0x{tos:02x}",
            "total_length": str(length),
            "identification": f"0x{number:04x}",
            "df": str(word >> 14 & 1),
            "ttl": str(ttl),
            "protocol": str(protocol),
            "header_checksum": f"0x{checksum:04x}",
            "source": str(IPv4Address(source)),
            "destination": str(IPv4Address(destination)),
        }
        if word & 0x3FFF:
            fields |= {"mf": str(word >> 13 & 1), "fragment_offset": str(offset)}
        if at > 20:
            fields["options"] = packet[20:at].hex(" ")
        packet = packet[:length]
    else:
        first, length, protocol, hops, source, destination = unpack_from("!IHBB16s16s", packet)
        fields = {
            "version": "6",
            "traffic_class": f"0x{first >> 20 & 255:02x}",
            "flow_label": f"0x{first & 0xFFFFF:05x}",
            "payload_length": str(length),
            "next_header": str(protocol),
            "hop_limit": str(hops),
            "source": str(IPv6Address(source)),
            "destination": str(IPv6Address(destination)),
        }
        packet, at, offset = packet[: 40 + length], 40, 0
        while protocol in (0, 43, 44, 60) and not offset:
            if protocol == 44:
                protocol, _, word, number = unpack_from("!BBHI", packet, at)
                offset, at = word >> 3, at + 8
                fields |= {
                    "fragment.identification": f"0x{number:08x}",
                    "fragment.more": str(word & 1),
                    "fragment.offset": str(offset),
                }
            else:
                name = {0: "hop_by_hop_options", 43: "routing", 60: "destination_options"}[protocol]
                end = at + 8 * packet[at + 1] + 8
                fields[name] = packet[at:end].hex(" ")
                protocol, at = packet[at], end
    headers, transport = at, packet[at:]
    if not offset and protocol in NAMES:
        at = CHECKSUM_AT.get(protocol, 2)
        if protocol in (1, 58):
            parts = zip(("type", "code"), transport, strict=False)
            fields |= {f"{NAMES[protocol]}.{part}": str(value) for part, value in parts}
        if len(transport) >= at + 2:
            fields[f"{NAMES[protocol]}.checksum"] = f"0x{transport[at : at + 2].hex()}"
    return Decoded(fields, protocol, offset, headers, transport)


octet = st.integers(0, 255)
data = st.one_of(
    st.binary(min_size=20, max_size=60), st.integers(1180, 1500).map(lambda n: bytes(i & 255 for i in range(n)))
)
protocols = st.sampled_from([6, 17, 33, 136, 132, 50])


@st.composite
def plain4(draw: st.DrawFn, addresses: list[str]) -> bytes:
    source, destination = draw(st.sampled_from(addresses)), draw(st.sampled_from(addresses))
    payload, protocol = draw(data), draw(protocols)
    if draw(st.booleans()):
        protocol, payload = 1, with_checksum(bytes([8, draw(octet), 0, 0]) + payload)
    elif draw(st.booleans()):
        payload = payload[:6] + b"\0\0" + payload[8:]
    word = draw(st.sampled_from([0, 0x4000, 0x2000, 0x2010, 0x0010]))
    if word & 0x2000:
        payload = payload[: len(payload) & ~7]
    options = draw(st.sampled_from([b"", b"", b"\x01\x01\x01\0", b"\x94\x04\0\0"]))
    return raw4(
        source,
        destination,
        protocol,
        payload,
        tos=draw(octet),
        identification=draw(octet) * 257,
        word=word,
        ttl=draw(octet),
        options=options,
    )


@st.composite
def plain6(draw: st.DrawFn, addresses: list[str]) -> bytes:
    source, destination = draw(st.sampled_from(addresses)), draw(st.sampled_from(addresses))
    payload, protocol = draw(data), draw(protocols)
    if draw(st.booleans()):
        pseudo = pseudo6(source, destination, len(payload) + 4, 58)
        protocol, payload = 58, with_checksum(bytes([129, draw(octet), 0, 0]) + payload, pseudo)
    word = draw(st.sampled_from([None, None, 0, 1, 0x81, 0x80]))
    if word is not None:
        if word & 1:
            payload = payload[: len(payload) & ~7]
        payload, protocol = pack("!BBHI", protocol, 0, word, draw(octet) * 0x1010101) + payload, 44
    for number, extension in ((60, b"\0\x01\x04\0\0\0\0"), (43, b"\0\0\0\0\0\0\0"), (0, b"\0\x01\x04\0\0\0\0")):
        if draw(st.integers(0, 4)) == 0:
            payload, protocol = bytes([protocol]) + extension + payload, number
    flow = draw(st.sampled_from([0, 0xABCDE]))
    return raw6(source, destination, protocol, payload, traffic_class=draw(octet), flow=flow, hop_limit=draw(octet))


@st.composite
def error4(draw: st.DrawFn, addresses: list[str]) -> bytes:
    host, router = draw(st.sampled_from(addresses)), draw(st.sampled_from(addresses))
    quote = draw(plain4(addresses))[: draw(st.sampled_from([28, 60, 128, 500, 1400]))]
    kind = draw(st.sampled_from([(3, 4), (3, 1), (3, 2), (11, 0), (12, 0), (3, 13)]))
    rest = draw(st.sampled_from([0, 1300, 576, 68 << 24 >> 24, 8 << 24, 0xAB000000]))
    if kind[0] == 12:
        rest &= 0xFF000000
    if draw(st.booleans()):
        quote = quote[:128].ljust(128, b"\0") + b"\x20\0\0\0\0\x08\x01\x01\x03\xe8\x11\x01"
        rest |= 32 << 16
    message = with_checksum(bytes([*kind, 0, 0]) + rest.to_bytes(4, "big") + quote)
    return raw4(router, host, 1, message, tos=0xC0, identification=7, ttl=60)


@st.composite
def error6(draw: st.DrawFn, addresses: list[str]) -> bytes:
    host, router = draw(st.sampled_from(addresses)), draw(st.sampled_from(addresses))
    quote = draw(plain6(addresses))[: draw(st.sampled_from([48, 100, 200, 1000, 1232]))]
    kind = draw(st.sampled_from([(2, 0), (1, 0), (1, 4), (3, 0), (4, 0), (4, 1)]))
    rest = draw(st.sampled_from([0, 1400, 1280, 600, 70000, 7])) if kind[0] in (2, 4) else 0
    if kind[0] in (1, 3) and draw(st.booleans()):
        quote = quote[:128].ljust(128, b"\0") + b"\x20\0\0\0\0\x08\x01\x01\x03\xe8\x11\x01"
        rest |= 16 << 24
    octets = bytes([*kind, 0, 0]) + rest.to_bytes(4, "big") + quote
    return raw6(router, host, 58, with_checksum(octets, pseudo6(router, host, len(octets), 58)), hop_limit=60)


def cases(*kinds: tuple[Callable[[list[str]], st.SearchStrategy[bytes]], list[list[str]]]) -> Any:
    """A translator, and a packet of one of `kinds` between addresses that mean something to its domain."""
    return st.one_of(
        [
            st.tuples(st.just(translator), kind(addresses[index]))
            for index, translator in enumerate(TRANSLATORS)
            for kind, addresses in kinds
        ]
    )


errors = cases((error4, ADDRESSES4), (error6, ADDRESSES6))
packets = st.one_of(errors, cases((plain4, ADDRESSES4), (plain6, ADDRESSES6)))
hops = st.sampled_from([0, 1])
thorough = settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
translated = settings(thorough, max_examples=300)  # of those that are


def explained(translator: Translator, packet: bytes, taken: int) -> PacketExplanation:
    outcome = translator.translate(packet, taken)
    event(f"{outcome.action} {outcome.reason.label}")
    return explain_packet(translator.addresses, packet, None, outcome)


def check_told(old: Decoded, new: Decoded, told: PacketExplanation, index: int, prefix: str = "") -> None:
    """Whatever field is not the same on both sides is in the explanation, with its value on each side where it is."""
    changes = told.changes[index]
    befores = {(change.old_name, change.old) for change in changes}
    afters = {(change.new_name, change.new) for change in changes}
    fragmented = {"mf", "fragment_offset"}
    for name in old.fields.keys() | new.fields.keys():
        if old.fields.get(name) == new.fields.get(name) or (name in fragmented and "mf" not in old.fields | new.fields):
            continue
        if name in old.fields:
            assert (prefix + name, old.fields[name]) in befores
        if name in new.fields:
            assert (prefix + name, new.fields[name]) in afters


@translated
@given(packets, hops)
def test_every_header_field_that_differs_is_told(case: tuple[Translator, bytes], taken: int) -> None:
    told, packet = explained(*case, taken), case[1]
    assume(told.outcome.action is Action.TRANSLATED)
    old = decoded(packet)
    assert len(told.changes) == len(told.outcome.packets)
    for index, result in enumerate(told.outcome.packets):
        new = decoded(result)
        if new.offset and not old.offset:
            old_here = replace(old, fields={k: v for k, v in old.fields.items() if "." not in k or "frag" in k})
        else:
            old_here = old
        check_told(old_here, new, told, index)


def error_parts(transport: bytes, version: int) -> tuple[bytes, bytes, bytes]:
    """Octets 4-7, quote and extension of an ICMP error."""
    rest, body = transport[4:8], transport[8:]
    span = rest[1] * 4 if version == 4 else rest[0] * 8 if transport[0] in (1, 3) else 0
    return rest, body[:span] if span else body, body[span:] if span else b""


@translated
@given(errors, hops)
def test_every_field_of_the_quote_that_differs_is_told(case: tuple[Translator, bytes], taken: int) -> None:
    told, packet = explained(*case, taken), case[1]
    assume(told.outcome.action is Action.TRANSLATED)
    result = told.outcome.packets[0]
    old, new = decoded(packet), decoded(result)
    old_rest, old_quote, old_extension = error_parts(old.transport, packet[0] >> 4)
    new_rest, new_quote, new_extension = error_parts(new.transport, result[0] >> 4)
    old, new = decoded(old_quote), decoded(new_quote)
    end = new.headers + len(old.transport)
    assert not any(new_quote[end:])  # padding in front of an extension
    new = decoded(new_quote[:end])
    check_told(old, new, told, 0, "quote.")
    names = {change.new_name for change in told.changes[0]} | {change.old_name for change in told.changes[0]}
    if old_extension != new_extension:
        assert "extension" in names
    if old_rest != new_rest:
        ends = {name.rpartition(".")[2] for name in names if name}
        assert ends & {"mtu", "pointer", "length", "unused"}


@translated
@given(packets, hops)
def test_no_field_is_left_without_a_reason(case: tuple[Translator, bytes], taken: int) -> None:
    told = explained(*case, taken)
    reasons = [change.why for changes in told.changes for change in changes]
    assume(reasons)
    for why in reasons:
        assert why
        assert why not in (UNEXPLAINED, "as much as both sides allow", "of the next hop")
        assert not re.search(r"octets [-\d, ]+ changed|octets longer", why)


@thorough
@given(packets, hops)
def test_what_was_not_translated_says_why(case: tuple[Translator, bytes], taken: int) -> None:
    told = explained(*case, taken)
    if told.outcome.action is Action.TRANSLATED:
        assert not told.why
        return
    assert told.why[0] == told.outcome.reason.sentence
    by_address = (Reason.NOT_OURS, Reason.MARTIAN_SOURCE, Reason.MARTIAN_DESTINATION, Reason.MARTIAN_INNER)
    if told.outcome.reason in (*by_address, Reason.INNER_NO_MAPPING, Reason.DENYLISTED, Reason.NO_MAPPING_SOURCE):
        assert told.failed
        assert len(told.why) > 1
    for role, address in told.addresses:
        assert (address.counterpart is None) == (address.reason is not None)
        assert role not in told.failed or address.counterpart is None


@settings(max_examples=1000, deadline=None)
@given(packets, st.data(), hops)
def test_anything_can_be_explained(case: tuple[Translator, bytes], draw: st.DataObject, taken: int) -> None:
    """Cut and damaged packets too; header checksums are mended, so that the damage goes deep."""
    translator, octets = case[0], bytearray(case[1])
    for _ in range(draw.draw(st.integers(0, 4)) if octets else 0):
        octets[draw.draw(st.integers(0, min(99, len(octets) - 1)))] = draw.draw(octet)
    cut = draw.draw(st.just(0) | st.integers(0, len(octets)))
    packet = bytes(octets[: len(octets) - cut])
    if packet and packet[0] >> 4 == 4 and len(packet) >= 20:
        end = max(20, (packet[0] & 15) * 4)
        checksum = internet_checksum(packet[: ipv4.CHECKSUM] + b"\0\0" + packet[ipv4.SOURCE : end])
        packet = packet[: ipv4.CHECKSUM] + checksum.to_bytes(2, "big") + packet[ipv4.SOURCE :]
    told = explained(translator, packet, taken)
    assert told.lines(1)[1].startswith(f"  {told.outcome.action.value}")
    assert told.as_json(1)["reason"] == told.outcome.reason.label
