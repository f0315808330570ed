from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest

from nfxlat.errors import OperatorError
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

PREFIX6 = IPv6Network("2001:db8:64::/96")
WKP = IPv6Network("64:ff9b::/96")
EAMT = Eamt([(IPv4Network("192.0.2.1"), IPv6Network("2001:db8::1"))])


def refused(where: str, **fields: Any) -> str:
    """What the operator is told about `fields`; `where` must be the key that it names."""
    with pytest.raises(OperatorError) as caught:
        Domain(**{"prefix6": PREFIX6} | fields)
    assert caught.value.where == where
    return str(caught.value)


def test_defaults() -> None:
    domain = Domain(prefix6=PREFIX6)
    assert domain.name == "siit0"
    assert domain.lowest_ipv6_mtu == 1280
    assert (domain.mtu4, domain.mtu6) == (1500, 1500)
    assert domain.mtu_plateaus == (65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68)
    assert domain.udp_zero_checksum == "drop"
    assert domain.hairpin == "intrinsic"
    assert domain.traffic_class == "copy"


def test_domain_that_can_translate_nothing_is_refused() -> None:
    assert "without prefix6 or an EAM" in refused("domain.siit0", prefix6=None)


def test_eam_alone_is_enough() -> None:
    assert Domain(eamt=EAMT).prefix6 is None


@pytest.mark.parametrize("name", ["s", "siit0", "xlat-clat_1", "a" * 15, "0"])
def test_name_that_a_device_can_bear(name: str) -> None:
    assert Domain(name, PREFIX6).name == name


@pytest.mark.parametrize(
    "name", ["", "a" * 16, "a/b", "a b", "a.b", ".", "..", "-a", "a:1", "a%d", "ä", "lo", "all", "default"]
)
def test_name_that_no_device_can_bear(name: str) -> None:
    assert "cannot be a domain name" in refused("domain", name=name)


@pytest.mark.parametrize("length", [32, 40, 48, 56, 64, 96])
def test_prefix6_lengths_of_rfc6052(length: int) -> None:
    assert Domain(prefix6=IPv6Network(f"2001:db8::/{length}")).prefix6


@pytest.mark.parametrize("length", [33, 65, 72, 95, 97, 128])
def test_other_prefix6_lengths_are_refused(length: int) -> None:
    text = refused("domain.siit0.prefix6", prefix6=IPv6Network(f"2001:db8::/{length}"))
    assert "not one of 32 40 48 56 64 96" in text


def test_prefix6_with_bits_64_to_71_is_refused() -> None:
    """RFC 6052 2.2"""
    assert "bits 64 to 71" in refused("domain.siit0.prefix6", prefix6=IPv6Network("2001:db8::ff00:0:0:0/96"))


@pytest.mark.parametrize("prefix6", ["::/96", "::/32", "::ffff:0:0/96", "fe80::/64", "ff0e::/96"])
def test_martian_prefix6_is_refused(prefix6: str) -> None:
    assert "overlaps" in refused("domain.siit0.prefix6", prefix6=IPv6Network(prefix6))


def test_pool4_needs_prefix6() -> None:
    text = refused("domain.siit0.pool4", prefix6=None, eamt=EAMT, pool4=(IPv4Network("198.51.100.0/24"),))
    assert "set prefix6" in text


def test_simple_hairpin_needs_prefix6() -> None:
    """RFC 7757 4.2.1"""
    assert "set prefix6" in refused("domain.siit0.hairpin", prefix6=None, eamt=EAMT, hairpin="simple")
    assert Domain(prefix6=PREFIX6, hairpin="simple").hairpin == "simple"


def test_strict_well_known_prefix_must_not_stand_for_ipv6_hosts() -> None:
    """RFC 6052 3.1"""
    pool4 = (IPv4Network("8.8.8.0/24"),)
    assert "64:ff9b::/96 must not be used for IPv6 hosts" in refused("domain.siit0.pool4", prefix6=WKP, pool4=pool4)
    assert Domain(prefix6=WKP, pool4=pool4, well_known_prefix="lax").pool4 == pool4
    assert Domain(prefix6=WKP, eamt=EAMT).strict_well_known_prefix


@pytest.mark.parametrize("prefix6", ["2001:db8:64::/96", "64:ff9b:1::/48", "64:ff9b:1::/96"])
def test_only_the_well_known_prefix_itself_is_strict(prefix6: str) -> None:
    """RFC 8215: 64:ff9b:1::/48 is free for local use."""
    domain = Domain(prefix6=IPv6Network(prefix6), pool4=(IPv4Network("10.0.0.0/8"),))
    assert not domain.strict_well_known_prefix


@pytest.mark.parametrize("network", ["127.0.0.0/24", "0.0.0.0/8", "224.0.0.0/24", "240.0.0.1/32", "169.254.0.0/16"])
def test_martian_pools_are_refused(network: str) -> None:
    good, bad = IPv4Network("198.51.100.0/24"), IPv4Network(network)
    assert "never translated" in refused("domain.siit0.pool4[1]", pool4=(good, bad))
    assert "never translated" in refused("domain.siit0.rfc6791-v4[0]", rfc6791_v4=(bad,))


def test_pool4_may_be_everything() -> None:
    """A CLAT's rules select all of IPv4; martians are dropped by packet."""
    assert Domain(prefix6=PREFIX6, pool4=(IPv4Network("0.0.0.0/0"),)).pool4


def test_martian_ipv6_pool_is_refused() -> None:
    assert "fe80::/10" in refused("domain.siit0.rfc6791-v6[0]", rfc6791_v6=(IPv6Network("fe80::/64"),))
    assert Domain(prefix6=PREFIX6, rfc6791_v6=(IPv6Network("2001:db8:6791::/96"),)).rfc6791_v6


def test_pool_inside_the_denylist_is_refused() -> None:
    text = refused("domain.siit0.pool4[0]", pool4=(IPv4Network("10.1.0.0/16"),), denylist4=(IPv4Network("10.0.0.0/8"),))
    assert "10.1.0.0/16 is in 10.0.0.0/8 of denylist4" in text


def test_martian_own_addresses_are_refused() -> None:
    assert "loopback" in refused("domain.siit0.address4", address4=IPv4Address("127.0.0.1"))
    assert "link-local" in refused("domain.siit0.address6", address6=IPv6Address("fe80::1"))
    assert Domain(prefix6=PREFIX6, address4=IPv4Address("192.0.2.1"), address6=IPv6Address("2001:db8::1")).address6


@pytest.mark.parametrize(
    ("field", "key", "lowest"),
    [("lowest_ipv6_mtu", "lowest-ipv6-mtu", 1280), ("mtu4", "mtu4", 68), ("mtu6", "mtu6", 1280)],
)
def test_mtu_bounds(field: str, key: str, lowest: int) -> None:
    for value in (lowest, 65535):
        assert getattr(Domain(prefix6=PREFIX6, **{field: value}), field) == value  # type: ignore[arg-type]
    for value in (lowest - 1, 65536):
        assert f"{value} is out of range; {lowest} to 65535" in refused(f"domain.siit0.{key}", **{field: value})


def test_mtus_may_be_unknown() -> None:
    domain = Domain(prefix6=PREFIX6, mtu4=None, mtu6=None)
    assert domain.mtu4 is None
    assert domain.mtu6 is None


@pytest.mark.parametrize(
    ("plateaus", "key"),
    [
        ((), "mtu-plateaus"),
        ((1500, 1500), "mtu-plateaus[1]"),
        ((576, 1280, 1492), "mtu-plateaus[1]"),
        ((1492, 67), "mtu-plateaus[1]"),
        ((65536, 68), "mtu-plateaus[0]"),
    ],
)
def test_plateaus_descend_within_bounds(plateaus: tuple[int, ...], key: str) -> None:
    refused(f"domain.siit0.{key}", mtu_plateaus=plateaus)
    assert Domain(prefix6=PREFIX6, mtu_plateaus=(1492, 68)).mtu_plateaus == (1492, 68)


@pytest.mark.parametrize(
    ("field", "key", "choices"),
    [
        ("udp_zero_checksum", "udp-zero-checksum", "drop, compute or forward"),
        ("well_known_prefix", "well-known-prefix", "strict or lax"),
        ("hairpin", "hairpin", "intrinsic, simple or off"),
    ],
)
def test_choices(field: str, key: str, choices: str) -> None:
    for choice in choices.replace(" or ", ", ").split(", "):
        assert getattr(Domain(prefix6=PREFIX6, **{field: choice}), field) == choice  # type: ignore[arg-type]
    assert f"use {choices}" in refused(f"domain.siit0.{key}", **{field: "on"})


def test_a_host_translates_to_private_addresses_inside_the_well_known_prefix_unless_told_otherwise() -> None:
    """draft-ietf-v6ops-nat64-wkp-1918; RFC 6052 3.1 elsewhere."""
    domain = Domain(prefix6=WKP, eamt=EAMT)
    assert domain.strict_well_known_prefix
    assert not domain.as_host().strict_well_known_prefix
    for chosen in ("strict", "lax"):
        told = replace(domain, well_known_prefix=chosen)
        assert told.as_host() == told
        assert told.strict_well_known_prefix == (chosen == "strict")


@pytest.mark.parametrize("value", ["copy", "zero", 0, 46 << 2, 255, "dscp-0", "dscp-9", "dscp-46", "dscp-63"])
def test_traffic_class_choices(value: Any) -> None:
    assert Domain(prefix6=PREFIX6, traffic_class=value).traffic_class == value


@pytest.mark.parametrize("value", ["", "ef", -1, 256, "dscp", "dscp-64", "dscp-046", "dscp 4", "dscp-4 "])
def test_other_traffic_classes_are_refused(value: Any) -> None:
    hint = "use copy, zero, 0 to 255, or dscp-0 to dscp-63"
    assert hint in refused("domain.siit0.traffic-class", traffic_class=value)


@pytest.mark.parametrize("vrf", ["red", "vrf-1.5", "a" * 15])
def test_vrf_that_an_interface_can_be_named(vrf: str) -> None:
    assert Domain(prefix6=PREFIX6, vrf=vrf).vrf == vrf


@pytest.mark.parametrize("vrf", ["", "a" * 16, "a b", 'a"b', "a/b", "a:b", ".", "..", "lo", "all", "default", "siit0"])
def test_vrf_that_no_interface_can_be_named(vrf: str) -> None:
    assert "cannot be the name of a VRF" in refused("domain.siit0.vrf", prefix6=PREFIX6, vrf=vrf)


def test_loose_reverse_path_in_a_vrf_is_refused() -> None:
    fields = {"prefix6": PREFIX6, "vrf": "red", "reverse_path": "loose"}
    assert "cannot be had in a VRF" in refused("domain.siit0.reverse-path", **fields)
