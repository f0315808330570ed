"""ICMP errors: extensions (RFC 4884), and sources without a mapping (RFC 6791)."""

from ipaddress import IPv4Network, IPv6Network

import pytest
from packets import (
    A4,
    B4,
    BARE6,
    T,
    dropped,
    icmp4,
    icmp6,
    message4,
    message6,
    quote4,
    quote6,
    translator,
)
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.utils import checksum as scapy_checksum

from nfxlat.outcome import Action, Reason
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.translator import Translator

# ---- RFC 4884 --------------------------------------------------------------------------------------------------

EXTENSION = bytes.fromhex("2000ca0d 00080101 03e81101")


def with_extension4(quote: bytes, units: int | None = None) -> tuple[bytes, bytes]:
    """Octets 4-7 and the body of an ICMPv4 error."""
    padded = quote.ljust(max(128, -(-len(quote) // 4) * 4), b"\0")
    length = len(padded) // 4 if units is None else units
    return bytes((0, length, 0, 0)), padded + EXTENSION


# 4.2-07, 4.2-09, X-04, X-05
@pytest.mark.parametrize(("quoted", "padded"), [(32, 128), (100, 128), (128, 152), (200, 224), (528, 552)])
def test_extension_is_laid_out_again_4to6(quoted: int, padded: int) -> None:
    rest, body = with_extension4(quote4(UDP() / bytes(quoted - 28)))
    message = message6(T.translate(icmp4(11, 0, rest, body)))
    assert message[4:8] == bytes((padded // 8, 0, 0, 0))
    assert message[8 + padded :] == EXTENSION
    assert not any(message[8 + quoted + 20 : 8 + padded])


# 5.2-04, X-07
@pytest.mark.parametrize(("quoted", "padded"), [(48, 128), (144, 128), (152, 132)])
def test_extension_is_laid_out_again_6to4(quoted: int, padded: int) -> None:
    quote = quote6(UDP() / bytes(quoted - 48))
    span = max(128, -(-quoted // 8) * 8)
    packet = icmp6(3, 0, bytes((span // 8, 0, 0, 0)), quote.ljust(span, b"\0") + EXTENSION)
    message = message4(T.translate(packet))
    assert message[4:8] == bytes((0, padded // 4, 0, 0))
    assert message[8 + padded :] == EXTENSION


#
def test_length_beyond_the_message_is_dropped() -> None:
    rest, body = with_extension4(quote4(), units=36)
    assert T.translate(icmp4(11, 0, rest, body)) == dropped(Reason.ICMP_LENGTH)
    assert T.translate(icmp6(3, 0, b"\x0b\0\0\0", quote6())) == dropped(Reason.ICMP_LENGTH)


#
def test_length_of_the_whole_message_means_no_extension() -> None:
    quote = quote4(UDP() / bytes(100))
    message = message6(T.translate(icmp4(11, 0, b"\0\x20\0\0", quote)))
    assert (message[4:8], len(message)) == (bytes(4), 8 + 148)
    message = message4(T.translate(icmp6(3, 0, b"\x0a\0\0\0", quote6(UDP() / bytes(32)))))
    assert (message[4:8], len(message)) == (bytes(4), 8 + 60)


# 4.2-08, X-09
def test_quote_gives_way_to_the_extension_and_a_huge_extension_is_left_out() -> None:
    rest, body = with_extension4(quote4(UDP() / bytes(992)))
    message = message6(T.translate(icmp4(11, 0, rest, body + bytes(400))))
    assert len(message) <= 1240
    assert message[8 + message[4] * 8 :] == EXTENSION + bytes(400)
    message = message6(T.translate(icmp4(11, 0, rest, body + bytes(1200)), next_hop_mtu=65535))
    assert (message[4], len(message)) == (0, 8 + 1020 + 20)


# ---- sources without a mapping ---------------------------------------------------------------------------------


# N-01, D-01, D-02, D-04
@pytest.mark.parametrize(("old", "new"), [((1, 0), 3), ((2, 0), 3), ((3, 0), 11), ((4, 0), 12), ((4, 1), 3)])
def test_router_without_a_mapping_becomes_192_0_0_8_and_is_named(old: tuple[int, int], new: int) -> None:
    outcome = T.translate(icmp6(*old, body=quote6(), src=BARE6))
    message = message4(outcome)
    assert IP(outcome.packets[0]).src == "192.0.0.8"
    assert (message[0], message[5], len(message)) == (new, 32, 8 + 128 + 28)
    extension = message[136:]
    assert scapy_checksum(extension) == 0
    assert extension[4:] == bytes.fromhex("0018050400020000") + bytes(IPv6(src=BARE6))[8:24]


# N-06
def test_ipv4_router_without_a_mapping() -> None:
    eamt = Eamt([(IPv4Network(a), IPv6Network(f"2001:db8:{i}::1")) for i, a in enumerate((A4, B4))])
    packet = icmp4(11, 0, body=quote4())
    assert Translator(Domain(eamt=eamt)).translate(packet) == dropped(Reason.NO_MAPPING_SOURCE)
    pooled = Translator(Domain(eamt=eamt, rfc6791_v6=(IPv6Network("2001:db8:6791::/96"),)))
    assert IPv6(pooled.translate(packet).packets[0]).src == "2001:db8:6791::c000:281"


#
def test_error_out_of_the_well_known_prefix() -> None:
    keys = {
        "prefix6": IPv6Network("64:ff9b::/96"),
        "eamt": Eamt([(IPv4Network("8.8.8.8"), IPv6Network("2001:db8::8"))]),
    }
    strict = translator(**keys)
    quote = quote6(src="2001:db8::8", dst="64:ff9b::808:404")
    packet = icmp6(3, 0, body=quote, src="64:ff9b::10.0.0.1", dst="64:ff9b::808:404")
    assert strict.translate(packet) == dropped(Reason.WELL_KNOWN_PREFIX)
    private = icmp4(11, 0, body=quote4(src="8.8.8.8", dst="8.8.4.4"), src="10.0.0.1", dst="8.8.8.8")
    assert strict.translate(private) == dropped(Reason.WELL_KNOWN_PREFIX)
    assert strict.translate(icmp6(3, 0, body=quote, src=BARE6, dst="64:ff9b::808:404")).action is Action.TRANSLATED
