from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest

from nfxlat.xlat.rfc6052 import PREFIX_LENGTHS, Embedding, fault

A = IPv4Address("198.51.100.7").packed

TABLE = [
    ("2001:db8::/32", "2001:db8:c633:6407::"),
    ("2001:db8:100::/40", "2001:db8:1c6:3364:7::"),
    ("2001:db8:122::/48", "2001:db8:122:c633:64:700::"),
    ("2001:db8:122:300::/56", "2001:db8:122:3c6:33:6407::"),
    ("2001:db8:122:344::/64", "2001:db8:122:344:c6:3364:700:0"),
    ("2001:db8:122:344::/96", "2001:db8:122:344::c633:6407"),
    ("64:ff9b::/96", "64:ff9b::c633:6407"),
]


@pytest.mark.parametrize(("prefix6", "result"), TABLE)
def test_embedding_follows_the_table_for_each_prefix_length(prefix6: str, result: str) -> None:
    assert Embedding(IPv6Network(prefix6)).embed(A) == IPv6Address(result).packed


@pytest.mark.parametrize(("prefix6", "result"), TABLE)
def test_extraction_is_the_inverse_for_each_prefix_length(prefix6: str, result: str) -> None:
    assert Embedding(IPv6Network(prefix6)).extract(IPv6Address(result).packed) == A


@pytest.mark.parametrize("length", PREFIX_LENGTHS)
def test_u_octet_and_suffix_are_zero_when_built(length: int) -> None:
    prefix6 = IPv6Network((0x2001_0DB8 << 96, length))
    built = Embedding(prefix6).embed(b"\xff\xff\xff\xff")
    assert built[8] == 0
    assert built.count(0xFF) == 4
    assert len(built) == 16


@pytest.mark.parametrize(("prefix6", "result"), [row for row in TABLE if not row[0].endswith("/96")])
def test_u_octet_and_suffix_are_ignored_when_read(prefix6: str, result: str) -> None:
    octets = bytearray(IPv6Address(result).packed)
    length = IPv6Network(prefix6).prefixlen // 8
    octets[8] = 0xAA
    octets[length + 5 :] = b"\x55" * (11 - length)
    assert Embedding(IPv6Network(prefix6)).extract(bytes(octets)) == A


@pytest.mark.parametrize(("prefix6", "result"), TABLE)
def test_address_outside_the_prefix_is_not_extracted(prefix6: str, result: str) -> None:
    octets = bytearray(IPv6Address(result).packed)
    octets[IPv6Network(prefix6).prefixlen // 8 - 1] ^= 1
    assert Embedding(IPv6Network(prefix6)).extract(bytes(octets)) is None


def test_only_six_prefix_lengths_are_fit() -> None:
    fit = [n for n in range(129) if fault(IPv6Network((0x2001_0DB8 << 96, n), strict=False)) is None]
    assert fit == [32, 40, 48, 56, 64, 96]


def test_prefix_with_a_u_octet_is_not_fit() -> None:
    assert "64 to 71" in (fault(IPv6Network("2001:db8:0:0:100::/96")) or "")
    assert fault(IPv6Network("2001:db8:0:0:ff:ffff::/96")) is None
