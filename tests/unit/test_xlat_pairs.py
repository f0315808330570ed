"""Addresses of a packet: what is ours, martians, denied, the well-known prefix, and the templates made of them."""

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import pytest
from packets import A4, A6, B4, B6, P, T, dropped, translator
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6ND_NS, IPv6

from nfxlat.outcome import NOT_OURS, Action, Reason
from nfxlat.wire.checksum import update, word_sum
from nfxlat.xlat import template
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.template import Template


def eamt(*pairs: tuple[str, str]) -> Eamt:
    return Eamt([(IPv4Network(a), IPv6Network(b)) for a, b in pairs])


HOSTS = eamt((A4, "2001:db8:a::7"), (B4, "2001:db8:b::80"))
ONLY_EAM = translator(prefix6=None, eamt=HOSTS)


def ipv4(src: str = A4, dst: str = B4, layer: Any = None) -> bytes:
    return bytes(IP(src=src, dst=dst) / (UDP() / b"data" if layer is None else layer))


def ipv6(src: str = A6, dst: str = B6, layer: Any = None) -> bytes:
    return bytes(IPv6(src=src, dst=dst) / (UDP() / b"data" if layer is None else layer))


def error4(src: str, dst: str = A4) -> bytes:
    return ipv4(src, dst, ICMP(type=3, code=1) / IP(src=A4, dst=B4) / UDP())


def error6(src: str, dst: str = A6) -> bytes:
    return ipv6(src, dst, ICMPv6DestUnreach(code=4) / IPv6(src=A6, dst=B6) / UDP())


MARTIANS4 = ["0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.1", "169.254.1.1", "224.0.0.1", "239.1.1.1", "240.0.0.1"]
MARTIANS4 += ["255.255.255.255"]
MARTIANS6 = ["::", "::1", "::ffff:192.0.2.1", "fe80::1", "febf::1", "ff02::1", "ff0e::1"]


# 4.1-13, 1.13
@pytest.mark.parametrize("martian", MARTIANS4)
def test_martian_ipv4_source_is_dropped(martian: str) -> None:
    assert T.translate(ipv4(src=martian)) == dropped(Reason.MARTIAN_SOURCE)
    assert T.translate(ipv6(src=P + martian)) == dropped(Reason.MARTIAN_SOURCE)
    assert T.translate(error6(P + martian)) == dropped(Reason.MARTIAN_SOURCE)


# 4.1-14: an illegal source of an ICMPv4 error helps in trouble-shooting
@pytest.mark.parametrize("martian", MARTIANS4)
def test_martian_source_of_an_icmpv4_error_is_translated(martian: str) -> None:
    outcome = T.translate(error4(martian))
    assert outcome.action is Action.TRANSLATED
    assert IPv6Address(outcome.packets[0][8:24]) == IPv6Address(P + martian)
    assert ONLY_EAM.translate(error4(martian)) == dropped(Reason.NO_MAPPING_SOURCE)


# 1.2-04, 1.13
@pytest.mark.parametrize("martian", MARTIANS4)
def test_martian_ipv4_destination_is_dropped(martian: str) -> None:
    expected = dropped(Reason.MARTIAN_DESTINATION) if martian.startswith("240.") else NOT_OURS
    for each in (T, ONLY_EAM):  # in its own family, what is for this host, its link or a group is left to the kernel
        assert each.translate(ipv4(dst=martian)) == expected
        assert each.translate(error4(B4, martian)) == expected
    assert T.translate(ipv6(dst=P + martian)) == dropped(Reason.MARTIAN_DESTINATION)
    assert T.translate(error6(B6, P + martian)) == dropped(Reason.MARTIAN_DESTINATION)


# 5.1-11, 1.13
@pytest.mark.parametrize("martian", MARTIANS6)
def test_martian_ipv6_source_is_dropped(martian: str) -> None:
    assert T.translate(ipv6(src=martian)) == dropped(Reason.MARTIAN_SOURCE)
    assert T.translate(error6(martian)) == dropped(Reason.MARTIAN_SOURCE)


@pytest.mark.parametrize("martian", ["::", "::ffff:192.0.2.1"])
def test_martian_ipv6_destination_is_dropped(martian: str) -> None:
    assert T.translate(ipv6(dst=martian)) == dropped(Reason.MARTIAN_DESTINATION)
    assert T.translate(error6(B6, martian)) == dropped(Reason.MARTIAN_DESTINATION)


# Neighbour discovery, DHCPv6 and routing protocols live under a rule that queues everything.
@pytest.mark.parametrize("link", ["::1", "fe80::1", "febf::1", "ff01::1", "ff02::1:ff00:1", "ff05::1:3", "ff0e::1"])
def test_ipv6_for_this_host_its_link_or_a_group_passes(link: str) -> None:
    for source in ("fe80::2", "::", "2001:db8::1"):
        assert T.translate(ipv6(source, link, ICMPv6ND_NS())) == NOT_OURS
    assert T.translate(error6("fe80::2", link)) == NOT_OURS


# A martian that only the table makes
def test_eam_to_a_martian_is_dropped() -> None:
    # 192.0.2.9 is fe90::, and 2001:db8:2::9 is 127.0.0.0
    odd = translator(eamt=eamt(("192.0.2.0/28", "fe00::/8"), ("126.0.0.0/7", "2001:db8::/46")))
    assert odd.translate(ipv4(dst="192.0.2.9")) == dropped(Reason.MARTIAN_DESTINATION)
    assert odd.translate(ipv4(src="192.0.2.9")) == dropped(Reason.MARTIAN_SOURCE)
    assert odd.translate(error4("192.0.2.9")) == dropped(Reason.MARTIAN_SOURCE)
    assert odd.translate(ipv6(dst="2001:db8:2::9")) == dropped(Reason.MARTIAN_DESTINATION)
    assert odd.translate(ipv6(src="2001:db8:2::9")) == dropped(Reason.MARTIAN_SOURCE)
    assert odd.translate(error6("2001:db8:2::9")) == dropped(Reason.MARTIAN_SOURCE)


# 4.6-02, 5.6-02: a destination without a mapping is not ours, whatever its source
def test_what_is_not_ours_passes_untouched() -> None:
    assert ONLY_EAM.translate(ipv4(dst="192.0.2.1")) == NOT_OURS
    assert ONLY_EAM.translate(ipv4(src="127.0.0.1", dst="192.0.2.1")) == NOT_OURS
    assert T.translate(ipv6(dst="2001:db8::1")) == NOT_OURS
    assert T.translate(ipv6(src="fe80::1", dst="2001:db8::1")) == NOT_OURS
    assert NOT_OURS == (Action.PASSED, Reason.NOT_OURS, ())


# 4.4-03, 5.4-02
def test_source_without_a_mapping_is_rejected() -> None:
    for outcome in (ONLY_EAM.translate(ipv4(src="192.0.2.1")), T.translate(ipv6(src="2001:db8::1"))):
        assert (outcome.action, outcome.reason) == (Action.REJECTED, Reason.NO_MAPPING_SOURCE)


def test_denied_addresses_are_dropped() -> None:
    denying = translator(denylist4=(IPv4Network("203.0.113.0/24"),))
    for packet in (ipv4(), ipv4(B4, A4), ipv6(), ipv6(B6, A6)):
        assert denying.translate(packet) == dropped(Reason.DENYLISTED)


# with EAMs for the hosts
def test_well_known_prefix_carries_global_addresses_only() -> None:
    keys: dict[str, Any] = {"prefix6": IPv6Network("64:ff9b::/96"), "eamt": HOSTS}
    strict, lax = translator(**keys), translator(**keys, well_known_prefix="lax")
    for packet in (ipv4("10.0.0.1", A4), ipv4(A4, "192.168.1.1"), ipv6("2001:db8:a::7", "64:ff9b::10.0.0.1")):
        assert strict.translate(packet) == dropped(Reason.WELL_KNOWN_PREFIX)
        assert lax.translate(packet).action is Action.TRANSLATED
    assert strict.translate(ipv4("8.8.8.8", A4)).action is Action.TRANSLATED
    assert strict.translate(ipv6("64:ff9b::10.0.0.1", "64:ff9b::808:808")) == dropped(Reason.WELL_KNOWN_PREFIX)


# a neutral prefix leaves the checksum as it is
def test_checksum_neutral_prefix_keeps_the_checksum() -> None:
    neutral = translator(prefix6=IPv6Network("64:ff9b::/96"), well_known_prefix="lax")
    packet = ipv4(layer=TCP(seq=5) / b"data")
    assert neutral.translate(packet).packets[0][40:] == packet[20:]


@pytest.mark.parametrize("layer", [TCP(seq=7, sport=1) / b"data", UDP(sport=1) / b"data"])
@pytest.mark.parametrize("option", ["copy", "zero", 9])
def test_template_makes_what_the_core_makes(layer: Any, option: str | int) -> None:
    each = translator(traffic_class=option, eamt=eamt((A4, "2001:db8:a::7")))
    for packet, at, end in ((ipv4(layer=layer), 12, 20), (ipv6("2001:db8:a::7", B6, layer), 8, 40)):
        made = each.template(packet[at:end])
        assert made is not None
        (result,) = each.translate(packet).packets
        new, start, field = (8, 40, 40) if end == 20 else (12, 20, 20)
        assert result[new : new + len(made.addresses)] == made.addresses
        assert made.pseudo == word_sum(made.addresses)
        assert made.traffic_class == {"copy": bytes(range(256)), "zero": bytes(256), 9: b"\t" * 256}[option]
        field = 16 if packet[9 if end == 20 else 6] == 6 else 6
        old = int.from_bytes(packet[end + field : end + field + 2], "big")
        assert update(old, made.delta).to_bytes(2, "big") == result[start + field : start + field + 2]


def packed(*addresses: str) -> bytes:
    return b"".join(ip_address(a).packed for a in addresses)


def test_no_template_where_the_core_must_see_every_packet() -> None:
    each = translator(eamt=HOSTS, denylist4=(IPv4Network("192.0.2.0/24"),))
    assert isinstance(each.template(packed(A4, B4)), Template)
    for pair in ((A4, "127.0.0.1"), ("127.0.0.1", A4), (A4, "192.0.2.1"), ("192.0.2.1", A4)):
        assert each.template(packed(*pair)) is None
    for pair in (("2001:db8:a::7", B6), ("2001:db8::1", P + "8.8.8.8"), (P + "8.8.8.8", "2001:db8::1"), ("::1", A6)):
        assert each.template(packed(*pair)) is None
    assert ONLY_EAM.template(packed("192.0.2.1", A4)) is None


def test_remembered_pairs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "_REMEMBERED", 4)
    each = translator()
    before = [each.translate(ipv4(src=f"198.51.100.{n}")) for n in range(1, 10)]
    before += [each.translate(ipv6(src=f"{P}198.51.100.{n}")) for n in range(1, 10)]
    after = [each.translate(ipv4(src=f"198.51.100.{n}")) for n in range(1, 10)]
    after += [each.translate(ipv6(src=f"{P}198.51.100.{n}")) for n in range(1, 10)]
    assert before == after
    assert {o.action for o in after} == {Action.TRANSLATED}
    assert len(each._pairs.v4to6) <= 4
    assert len(each._pairs.v6to4) <= 4


# S1, in the simple mode: no EAM for IPv4 sources
def test_simple_hairpin_maps_ipv4_sources_by_prefix() -> None:
    each = translator(eamt=HOSTS, hairpin="simple")
    header = IPv6(each.translate(ipv4()).packets[0])
    assert (header.src, header.dst) == (str(IPv6Address(A6)), "2001:db8:b::80")


# What is cut off behind the addresses, or before them, is judged all the same.
def test_whether_a_destination_is_ours_is_told_by_the_addresses_alone() -> None:
    for octets, ours in (
        (ipv4(), True),
        (ipv4()[:20], True),
        (ipv4(dst="224.0.0.1")[:20], False),
        (ipv4(dst="224.0.0.1")[:19], True),
        (ipv6()[:40], True),
        (ipv6(dst="2001:db8::1")[:40], False),
        (ipv6(dst="2001:db8::1")[:39], True),
        (b"", True),
        (b"\x99", True),
    ):
        assert T.is_ours(octets) == ours


def test_a_node_keeps_what_is_for_its_own_address_unless_an_eam_shares_it() -> None:
    shared = translator(eamt=eamt(("192.0.2.9", "2001:db8:9::9")))
    kept = {"192.0.2.9": True, "2001:db8:9::9": False, P + "c000:209": True, "2001:db8::1": True}
    assert {address: shared.keeps(ip_address(address).packed) for address in kept} == kept
