import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from nfxlat.errors import OperatorError
from nfxlat.xlat.eamt import Eamt, Pair


def pair(text: str) -> Pair:
    v4, v6 = text.split()
    return IPv4Network(v4), IPv6Network(v6)


def table(*lines: str) -> Eamt:
    return Eamt(pair(line) for line in lines)


def to6(eamt: Eamt, address: str) -> str | None:
    octets = eamt.to6(IPv4Address(address).packed)
    return str(IPv6Address(octets)) if octets is not None else None


def to4(eamt: Eamt, address: str) -> str | None:
    octets = eamt.to4(IPv6Address(address).packed)
    return str(IPv4Address(octets)) if octets is not None else None


UNEQUAL = table("203.0.113.64/27 2001:db8:5:a0::/60")


@pytest.mark.parametrize(
    ("v4", "v6"),
    [
        ("203.0.113.64", "2001:db8:5:a0::"),
        ("203.0.113.77", "2001:db8:5:a6:8000::"),
        ("203.0.113.95", "2001:db8:5:af:8000::"),
    ],
)
def test_unequal_suffix_stands_directly_behind_the_ipv6_prefix(v4: str, v6: str) -> None:
    """RFC 7757 3.3"""
    assert to6(UNEQUAL, v4) == v6
    assert to4(UNEQUAL, v6) == v4


@pytest.mark.parametrize(
    ("v6", "v4"), [("2001:db8:5:a6:ffff::1", "203.0.113.77"), ("2001:db8:5:a6::1", "203.0.113.76")]
)
def test_bits_behind_the_suffix_are_not_looked_at(v6: str, v4: str) -> None:
    """RFC 7757 3.3"""
    assert to4(UNEQUAL, v6) == v4


@pytest.mark.parametrize("v4", ["203.0.113.63", "203.0.113.96", "0.0.0.0"])
def test_ipv4_address_outside_every_entry_has_no_mapping(v4: str) -> None:
    assert to6(UNEQUAL, v4) is None
    assert UNEQUAL.entry4(IPv4Address(v4).packed) is None


def test_ipv6_address_outside_every_entry_has_no_mapping() -> None:
    assert to4(UNEQUAL, "2001:db8:5:b0::") is None
    assert UNEQUAL.entry6(IPv6Address("2001:db8:5:b0::").packed) is None


def test_empty_table_maps_nothing() -> None:
    assert len(Eamt()) == 0
    assert to6(Eamt(), "192.0.2.1") is None
    assert to4(Eamt(), "2001:db8::1") is None


def test_host_entry_maps_both_ways() -> None:
    eamt = table("192.0.2.1/32 2001:db8::1/128")
    assert to6(eamt, "192.0.2.1") == "2001:db8::1"
    assert to4(eamt, "2001:db8::1") == "192.0.2.1"
    assert to6(eamt, "192.0.2.2") is None
    assert to4(eamt, "2001:db8::2") is None


def test_longest_ipv4_prefix_wins() -> None:
    """RFC 7757 3.3"""
    eamt = table("192.0.2.0/24 2001:db8:24::/120", "192.0.2.128/25 2001:db8:25::/121", "192.0.2.200 2001:db8:32::1")
    assert to6(eamt, "192.0.2.1") == "2001:db8:24::1"
    assert to6(eamt, "192.0.2.129") == "2001:db8:25::1"
    assert to6(eamt, "192.0.2.200") == "2001:db8:32::1"


def test_longest_ipv6_prefix_wins() -> None:
    """RFC 7757 3.3"""
    eamt = table("198.51.100.0/24 2001:db8::/48", "203.0.113.0/24 2001:db8::/120", "192.0.2.1 2001:db8::5")
    assert to4(eamt, "2001:db8:0:700::1") == "198.51.100.7"
    assert to4(eamt, "2001:db8::7") == "203.0.113.7"
    assert to4(eamt, "2001:db8::5") == "192.0.2.1"


def test_overlapping_entries_make_two_independent_matches() -> None:
    """RFC 7757 3.3: the way back may use another entry."""
    eamt = table("192.0.2.0/24 2001:db8:1::/120", "203.0.113.0/25 2001:db8:1::/121")
    assert to6(eamt, "192.0.2.5") == "2001:db8:1::5"
    assert to4(eamt, "2001:db8:1::5") == "203.0.113.5"
    assert to4(eamt, "2001:db8:1::85") == "192.0.2.133"


def test_whole_ipv4_space_as_one_entry() -> None:
    eamt = table("0.0.0.0/0 2001:db8:64::/96")
    assert to6(eamt, "198.51.100.7") == "2001:db8:64::c633:6407"
    assert to4(eamt, "2001:db8:64::c633:6407") == "198.51.100.7"


def test_single_ipv4_address_for_a_whole_ipv6_prefix() -> None:
    eamt = table("192.0.2.1/32 2001:db8:9::/64")
    assert to6(eamt, "192.0.2.1") == "2001:db8:9::"
    assert to4(eamt, "2001:db8:9::abcd") == "192.0.2.1"


def test_ipv4_suffix_longer_than_the_ipv6_suffix_is_refused() -> None:
    """RFC 7757 3.2"""
    table("192.0.2.0/24 2001:db8::/120")
    with pytest.raises(OperatorError, match=r"8 IPv4 suffix bits do not fit in 7 IPv6 suffix bits.*at most /120"):
        table("192.0.2.0/24 2001:db8::/121")


@pytest.mark.parametrize(
    "entry",
    [
        (0xC0000201, 24, 0x20010DB8 << 96, 120),
        (0xC0000200, 24, 0x20010DB8 << 96 | 1, 120),
        (0xC0000201, 0, 0x20010DB8 << 96, 32),
    ],
)
def test_host_bits_are_refused(entry: tuple[int, int, int, int]) -> None:
    with pytest.raises(OperatorError, match="bits are set beyond the prefix length"):
        Eamt([entry])


@pytest.mark.parametrize(("len4", "len6"), [(33, 128), (-1, 96), (32, 129), (32, -1)])
def test_lengths_out_of_range_are_refused(len4: int, len6: int) -> None:
    with pytest.raises(OperatorError, match="a prefix length is out of range"):
        Eamt([(0, len4, 0, len6)])


@pytest.mark.parametrize(
    ("first", "second", "column"),
    [
        ("192.0.2.1/32 2001:db8::1/128", "192.0.2.1/32 2001:db8::2/128", "IPv4"),
        ("192.0.2.1/32 2001:db8::1/128", "192.0.2.2/32 2001:db8::1/128", "IPv6"),
        ("192.0.2.1/32 2001:db8::1/128", "192.0.2.1/32 2001:db8::/64", "IPv4"),
        ("192.0.2.1/32 2001:db8::/64", "192.0.2.1/32 2001:db8::1/128", "IPv4"),
        ("192.0.2.0/24 2001:db8::/64", "192.0.2.0/24 2001:db9::/96", "IPv4"),
        ("192.0.2.0/24 2001:db8::/64", "198.51.100.0/28 2001:db8::/64", "IPv6"),
    ],
)
def test_a_prefix_twice_in_one_column_is_refused_naming_both_entries(first: str, second: str, column: str) -> None:
    """RFC 7757 leaves the behaviour open; we refuse."""
    with pytest.raises(OperatorError) as caught:
        table(first, second)
    assert caught.value.what == f"EAM {second} has the same {column} prefix as EAM {first}"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("127.0.0.1/32 2001:db8::1/128", "127.0.0.1/32 is in 127.0.0.0/8 (loopback)"),
        ("169.254.1.1/32 2001:db8::1/128", "169.254.1.1/32 is in 169.254.0.0/16 (link-local)"),
        ("240.0.0.0/8 2001:db8::/104", "240.0.0.0/8 is in 240.0.0.0/4 (reserved and broadcast)"),
        ("192.0.2.1/32 ::1/128", "::1/128 is in ::1/128 (loopback)"),
        ("192.0.2.1/32 fe80::1/128", "fe80::1/128 is in fe80::/10 (link-local)"),
        ("192.0.2.0/24 ff0e::/16", "ff0e::/16 is in ff00::/8 (multicast)"),
        ("192.0.2.0/24 ::ffff:192.0.2.0/120", "::ffff:192.0.2.0/120 is in ::ffff:0.0.0.0/96 (IPv4-mapped)"),
    ],
)
def test_a_mapping_of_martians_alone_is_refused(entry: str, told: str) -> None:
    with pytest.raises(OperatorError) as caught:
        table(entry)
    assert re.sub(r"::ffff:[^ /]*", "M", f"{told}, which is never translated") in re.sub(
        r"::ffff:[^ /]*", "M", caught.value.what
    )


def test_a_mapping_that_reaches_beyond_martians_is_taken() -> None:
    eamt = table("0.0.0.0/0 2001:db8:64::/96", "169.253.0.1/32 2001:db8::1/128", "192.0.2.1/32 fec0::1/128")
    assert to6(eamt, "8.8.8.8") == "2001:db8:64::808:808"


def test_same_address_with_different_lengths_is_no_duplicate() -> None:
    assert len(table("192.0.2.0/24 2001:db8::/120", "192.0.2.0/25 2001:db8::/121", "192.0.2.0 2001:db8::")) == 3


MANY = (
    "192.0.2.1/32 2001:db8::1/128",
    "192.0.2.2/32 2001:db8:2::/64",
    "203.0.113.64/27 2001:db8:5:a0::/60",
    "198.51.100.0/24 2001:db8:24::/120",
    "0.0.0.0/0 2001:db8:64::/96",
)


def test_iteration_gives_every_entry_back_longest_ipv4_prefix_first() -> None:
    eamt = table(*reversed(MANY))
    assert list(eamt) == [pair(line) for line in MANY]
    assert len(eamt) == len(MANY)
    assert set(eamt.v4_networks()) == {v4 for v4, _ in map(pair, MANY)}
    assert set(eamt.v6_networks()) == {v6 for _, v6 in map(pair, MANY)}


@pytest.mark.parametrize("line", MANY)
def test_entry_that_a_lookup_used_is_told(line: str) -> None:
    eamt = table(*MANY)
    v4, v6 = pair(line)
    assert eamt.entry4(v4.broadcast_address.packed) == (v4, v6)
    assert eamt.entry6(v6.broadcast_address.packed) == (v4, v6)


def test_numbers_and_networks_make_equal_tables() -> None:
    networks = table(*MANY)
    numbers = Eamt((int(v4[0]), v4.prefixlen, int(v6[0]), v6.prefixlen) for v4, v6 in map(pair, MANY))
    assert numbers == networks
    assert hash(numbers) == hash(networks)
    assert numbers != table(*MANY[1:])
    assert numbers != "table"
    assert repr(numbers) == "<Eamt of 5>"


def test_a_hundred_thousand_entries_each_map_to_their_own_counterpart() -> None:
    base4, base6 = 0x0B000000, 0x20010DB8 << 96
    count = 100_000
    eamt = Eamt((base4 + 7 * n, 32, base6 + (n * n << 16), 128) for n in range(count))
    assert len(eamt) == count
    for n in range(count):
        v4, v6 = (base4 + 7 * n).to_bytes(4, "big"), (base6 + (n * n << 16)).to_bytes(16, "big")
        assert eamt.to6(v4) == v6
        assert eamt.to4(v6) == v4
    assert eamt.to6((base4 + 1).to_bytes(4, "big")) is None
