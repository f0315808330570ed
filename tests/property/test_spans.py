"""Spans of addresses against sets of addresses, and against ipaddress."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network, collapse_addresses
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

networks4 = st.builds(
    lambda address, length: IPv4Network((address >> 32 - length << 32 - length, length)),
    st.one_of(st.integers(0, 40), st.integers((1 << 32) - 40, (1 << 32) - 1)),
    st.integers(26, 32),
)
lists4 = st.lists(networks4, max_size=12)


def addresses(spans: list[prefixes.Span]) -> set[int]:
    return {address for first, last in spans for address in range(first, last + 1)}


def of(networks: list[IPv4Network]) -> set[int]:
    return {int(address) for network in networks for address in network}


@given(lists4)
def test_merged_spans_hold_the_same_addresses_with_a_gap_between_any_two(networks: list[IPv4Network]) -> None:
    spans = prefixes.merged(prefixes.spans(networks))
    assert addresses(spans) == of(networks)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(spans))


@given(lists4)
def test_prefixes_of_spans_are_the_fewest(networks: list[IPv4Network]) -> None:
    texts = prefixes.span_texts(prefixes.merged(prefixes.spans(networks)), 32)
    assert [IPv4Network(text) for text in texts] == list(collapse_addresses(networks))


@given(lists4, lists4)
def test_common_addresses_are_those_of_both(one: list[IPv4Network], other: list[IPv4Network]) -> None:
    common = prefixes.common(*(prefixes.merged(prefixes.spans(networks)) for networks in (one, other)))
    assert addresses(common) == of(one) & of(other)
    assert common == prefixes.merged(common)


@given(st.sets(st.integers(1 << 24, (1 << 24) + 40) | st.integers((224 << 24) - 20, (224 << 24) - 1)))
def test_hosts_in_a_row_are_one_span(hosts: set[int]) -> None:
    eamt = Eamt([(host, 32, (0x20010DB8 << 96) + host, 128) for host in hosts])
    assert list(eamt.v4_spans()) == prefixes.merged((host, host) for host in hosts)


def test_the_columns_of_an_eamt_as_spans() -> None:
    pairs = [
        (IPv4Network("192.0.2.1"), IPv6Network("2001:db8::1")),
        (IPv4Network("198.51.100.0/28"), IPv6Network("2001:db8:1::/120")),
    ]
    eamt = Eamt(pairs)
    assert list(eamt.v4_spans()) == prefixes.spans(v4 for v4, _ in pairs)
    assert list(eamt.v6_spans()) == prefixes.spans(v6 for _, v6 in pairs)
    domain = Domain(eamt=eamt)
    assert prefixes.span_texts(prefixes.clat6_spans(domain), 128) == ["2001:db8::1", "2001:db8:1::/120"]
    assert prefixes.translated4_spans(domain)[0] == (int(IPv4Address("192.0.2.1")),) * 2
