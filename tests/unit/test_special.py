from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from nfxlat.xlat.special import martian4, martian6, martian_name, non_global4

MARTIAN4 = [
    *("0.0.0.0", "0.255.255.255", "127.0.0.0", "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.255.255"),
    *("224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.254", "255.255.255.255"),
]
LEGAL4 = [
    *("1.0.0.0", "10.0.0.1", "100.64.0.1", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0"),
    *("172.16.0.1", "192.0.0.8", "192.168.1.1", "198.51.100.7", "223.255.255.255"),
]
MARTIAN6 = [
    *("::", "::1", "::ffff:0:0", "::ffff:198.51.100.7", "::ffff:ffff:ffff", "fe80::", "fe80::1"),
    *("febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ff00::", "ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
]
LEGAL6 = [
    *("::2", "::100", "::1:0:0:1", "::1:fffe:0:0", "::fffe:0:0", "0:1::", "0:1::1", "1::", "64:ff9b::1", "fc00::1"),
    *("fe00::1", "fe7f:ffff::", "fec0::", "2001:db8::1", "feff:ffff::"),
]


@pytest.mark.parametrize("address", MARTIAN4)
def test_ipv4_martian(address: str) -> None:
    assert martian4(IPv4Address(address).packed)
    assert martian_name(ip_address(address))


@pytest.mark.parametrize("address", LEGAL4)
def test_ipv4_address_that_may_pass(address: str) -> None:
    assert not martian4(IPv4Address(address).packed)
    assert martian_name(ip_address(address)) is None


@pytest.mark.parametrize("address", MARTIAN6)
def test_ipv6_martian(address: str) -> None:
    assert martian6(IPv6Address(address).packed)
    assert martian_name(ip_address(address))


@pytest.mark.parametrize("address", LEGAL6)
def test_ipv6_address_that_may_pass(address: str) -> None:
    assert not martian6(IPv6Address(address).packed)
    assert martian_name(ip_address(address)) is None


def test_martian_name_tells_range_and_use() -> None:
    assert martian_name(ip_address("127.0.0.1")) == "127.0.0.0/8 (loopback)"


@pytest.mark.parametrize(
    "address",
    [
        *("0.1.2.3", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "169.254.1.1"),
        *("172.16.0.0", "172.31.255.255", "192.0.0.1", "192.0.0.8", "192.0.0.11", "192.0.2.255", "192.88.99.1"),
        *("192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.7", "203.0.113.80"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255"),
    ],
)
def test_non_global_ipv4_address(address: str) -> None:
    """RFC 6052 3.1, the IANA registry of today."""
    assert non_global4(IPv4Address(address).packed)


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255"),
        *("172.32.0.0", "192.0.0.9", "192.0.0.10", "192.0.1.0", "192.0.3.0", "192.88.98.1", "192.88.100.1"),
        *("192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.1", "198.51.101.1"),
        *("203.0.112.255", "203.0.114.0", "223.255.255.255"),
    ],
)
def test_global_ipv4_address(address: str) -> None:
    assert not non_global4(IPv4Address(address).packed)
