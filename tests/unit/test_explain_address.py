from ipaddress import ip_address

import pytest

from nfxlat import config
from nfxlat.outcome import Reason
from nfxlat.xlat.addresses import AddressMap, Method
from nfxlat.xlat.explain import Explanation, explain


def told(toml: str, address: str, error_hop_limit: int | None = None) -> Explanation:
    domain = config.parse(f"[domain.siit0]\n{toml}", "test").domain()
    return explain(AddressMap(domain), ip_address(address), error_hop_limit=error_hop_limit)


EAMS = """
prefix6 = "2001:db8:100::/40"
eam = [["203.0.113.64/27", "2001:db8:5:a0::/60"], ["203.0.113.2", "2001:db8:2::2"]]
denylist4 = ["192.0.2.0/24", "10.0.0.0/8"]
"""
WKP = 'prefix6 = "64:ff9b::/96"'
EAM_ONLY = 'eam = [["192.0.2.1", "2001:db8::1"]]'
DENIED = '\ndenylist4 = ["10.0.0.0/8"]'


def test_eam_from_ipv4_names_entry_and_suffix_bits() -> None:
    assert told(EAMS, "203.0.113.77").as_json() == {
        "in": "203.0.113.77",
        "out": "2001:db8:5:a6:8000::",
        "rule": "eam",
        "entry": "203.0.113.64/27 2001:db8:5:a0::/60",
        "arithmetic": "suffix bits 01101 after 203.0.113.64/27 appended to 2001:db8:5:a0::/60, then 63 zero bits",
        "reason": None,
        "rfc": "RFC 7757 3.3",
        "notes": [],
    }


def test_eam_from_ipv6_tells_ignored_bits_and_the_way_back() -> None:
    told_ = told(EAMS, "2001:db8:5:a6:ffff::1")
    assert str(told_.counterpart) == "203.0.113.77"
    assert "suffix bits 01101 after 2001:db8:5:a0::/60" in told_.arithmetic
    assert "the last 63 bits of 2001:db8:5:a6:ffff::1 are ignored" in told_.arithmetic
    assert told_.notes == ("the way back leads to 2001:db8:5:a6:8000::",)


@pytest.mark.parametrize(("address", "out"), [("203.0.113.2", "2001:db8:2::2"), ("2001:db8:2::2", "203.0.113.2")])
def test_host_eam(address: str, out: str) -> None:
    told_ = told(EAMS, address)
    assert (str(told_.counterpart), told_.rule, told_.notes) == (out, Method.EAM, ())
    assert told_.entry == "203.0.113.2/32 2001:db8:2::2/128"


@pytest.mark.parametrize(
    ("prefix6", "octets"),
    [
        ("2001:db8::/32", "4-7"),
        ("2001:db8:100::/40", "5-7 and 9"),
        ("2001:db8:122::/48", "6-7 and 9-10"),
        ("2001:db8:122:300::/56", "7 and 9-11"),
        ("2001:db8:122:344::/64", "9-12"),
        ("2001:db8:122:344::/96", "12-15"),
    ],
)
def test_prefix6_tells_the_octets_both_ways(prefix6: str, octets: str) -> None:
    """RFC 6052 2.2"""
    there = told(f'prefix6 = "{prefix6}"', "198.51.100.7")
    assert (there.rule, there.entry, there.rfc) == (Method.PREFIX6, prefix6, "RFC 6052 2.3")
    assert there.arithmetic == f"octets c6 33 64 07 (198.51.100.7) put at octets {octets}, after {prefix6}"
    back = told(f'prefix6 = "{prefix6}"', str(there.counterpart))
    assert str(back.counterpart) == "198.51.100.7"
    assert back.arithmetic == f"octets c6 33 64 07 (198.51.100.7) read from octets {octets}, after {prefix6}"


@pytest.mark.parametrize(
    ("toml", "address", "reason", "words"),
    [
        (EAMS, "127.0.0.1", Reason.MARTIAN_SOURCE, "127.0.0.0/8 (loopback)"),
        (EAMS, "fe80::1", Reason.MARTIAN_SOURCE, "fe80::/10 (link-local)"),
        (EAMS, "2001:db8:17f:0:1::", Reason.MARTIAN_SOURCE, "127.0.0.1 is in 127.0.0.0/8"),
        ('eam = [["0.0.0.0/0", "fe00::/8"]]', "128.0.2.1", Reason.MARTIAN_SOURCE, "fe80:2:100:: is in fe80::/10"),
        (EAMS, "10.1.2.3", Reason.DENYLISTED, "10.1.2.3 is in 10.0.0.0/8 of denylist4"),
        (EAM_ONLY + DENIED, "10.1.2.3", Reason.DENYLISTED, "10.1.2.3 is in 10.0.0.0/8 of denylist4; no EAM covers"),
        (EAMS, "2001:db8:10a:102:3::", Reason.DENYLISTED, "10.1.2.3 is in 10.0.0.0/8 of denylist4"),
        (WKP, "192.168.0.1", Reason.WELL_KNOWN_PREFIX, "192.168.0.1 is not global"),
        (WKP, "64:ff9b::c0a8:1", Reason.WELL_KNOWN_PREFIX, "192.168.0.1 is not global"),
        (EAMS, "2001:db9::1", Reason.NO_MAPPING_SOURCE, "neither 2001:db8:100::/40 nor an EAM covers 2001:db9::1"),
        (EAM_ONLY, "192.0.2.2", Reason.NO_MAPPING_SOURCE, "no EAM covers 192.0.2.2, and the domain has no prefix6"),
    ],
)
def test_refusal_names_the_check_and_its_clause(toml: str, address: str, reason: Reason, words: str) -> None:
    told_ = told(toml, address)
    assert told_.reason is reason
    assert words in told_.arithmetic
    json = told_.as_json()
    assert (json["out"], json["rule"], json["reason"], json["rfc"]) == (None, None, reason.label, reason.rfc)


def test_address_without_mapping_is_told_what_icmp_errors_from_it_become() -> None:
    """RFC 6791"""
    assert "becomes an address of 192.0.0.8/32" in told(EAMS, "2001:db9::1").arithmetic
    assert "RFC 6791" not in told(EAM_ONLY, "192.0.2.2").arithmetic


def test_source_of_an_icmp_error_falls_back_on_rfc6791() -> None:
    with_pool = told(EAMS + 'rfc6791-v4 = ["203.0.113.240/28"]', "2001:db9::1", 62)
    assert (str(with_pool.counterpart), with_pool.rule) == ("203.0.113.242", Method.RFC6791)
    assert str(told(EAMS, "2001:db9::1", 62).counterpart) == "192.0.0.8"
    mirrored = told(EAM_ONLY + '\nrfc6791-v6 = ["2001:db8:6791::/96"]', "192.0.2.2", 62)
    assert str(mirrored.counterpart) == "2001:db8:6791::c000:202"
    assert told(EAM_ONLY, "192.0.2.2", 62).reason is Reason.NO_MAPPING_SOURCE


def test_mapped_source_of_an_icmp_error_keeps_its_mapping() -> None:
    assert told(EAMS, "2001:db8:2::2", 62).rule is Method.EAM


def test_way_back_that_is_refused_is_told() -> None:
    toml = (
        'eam = [["198.51.100.0/24", "2001:db8::/120"], ["10.0.0.0/25", "2001:db8::/121"]]\ndenylist4 = ["10.0.0.0/8"]'
    )
    assert told(toml, "198.51.100.1").notes == ("the way back is refused",)


def test_a_denied_source_of_an_icmp_error_takes_an_address_of_the_pool_as_in_the_core() -> None:
    toml = 'prefix6 = "2001:db8:64::/96"\ndenylist4 = ["10.0.0.0/8"]\nrfc6791-v4 = ["203.0.113.8/32"]\n'
    explained = told(toml, "2001:db8:64::a00:1", error_hop_limit=64)
    assert (str(explained.counterpart), explained.rule) == ("203.0.113.8", Method.RFC6791)
    assert "10.0.0.1 is in 10.0.0.0/8 of denylist4" in explained.arithmetic
    assert told(toml, "2001:db8:64::a00:1").reason is Reason.DENYLISTED
    assert told(toml, "10.0.0.1", error_hop_limit=64).reason is Reason.DENYLISTED  # there is no pool of IPv6 addresses
