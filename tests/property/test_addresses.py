"""Properties of the address mapping that hold for every configuration."""

from ipaddress import IPv4Network, IPv6Address, IPv6Network

from hypothesis import assume, given
from hypothesis import strategies as st

from nfxlat import config
from nfxlat.errors import OperatorError
from nfxlat.xlat import special
from nfxlat.xlat.addresses import AddressMap, Method
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt, Pair
from nfxlat.xlat.explain import explain
from nfxlat.xlat.rfc6052 import PREFIX_LENGTHS, Embedding

octets4 = st.binary(min_size=4, max_size=4)
octets6 = st.binary(min_size=16, max_size=16)
# Few bits, so that prefixes overlap and addresses hit.
crowded4 = st.builds(lambda a, b: (0xC0000200 + a + (b << 28)) & 0xFFFFFFFF, st.integers(0, 255), st.integers(0, 1))
crowded6 = st.builds(lambda a, b: (0x20010DB8 << 96) + (a << 64) + b, st.integers(0, 15), st.integers(0, 255))


@st.composite
def prefixes6(draw: st.DrawFn) -> IPv6Network:
    """Fit as prefix6."""
    length = draw(st.sampled_from(PREFIX_LENGTHS))
    bits = draw(st.integers(0x2000 << 112, (0x4000 << 112) - 1)) & ~(0xFF << 56)
    return IPv6Network((bits, length), strict=False)


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    len4 = draw(st.integers(22, 32) | st.just(0))
    len6 = draw(st.integers(60, 96 + len4) | st.just(96 + len4))
    return IPv4Network((draw(crowded4), len4), strict=False), IPv6Network((draw(crowded6), len6), strict=False)


eam_lists = st.lists(pairs(), min_size=1, max_size=8, unique_by=(lambda pair: pair[0], lambda pair: pair[1]))


def bits(number: int, width: int) -> str:
    return f"{number:0{width}b}"


def naive(own: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network, number: int) -> int:
    """RFC 7757 3.3 on strings of bits."""
    suffix = bits(number, own.max_prefixlen)[own.prefixlen :]
    moved = bits(int(other.network_address), other.max_prefixlen)[: other.prefixlen] + suffix
    return int(moved[: other.max_prefixlen].ljust(other.max_prefixlen, "0"), 2)


@given(prefixes6(), octets4)
def test_rfc6052_4to6to4_is_the_identity(prefix6: IPv6Network, address4: bytes) -> None:
    embedding = Embedding(prefix6)
    address6 = embedding.embed(address4)
    assert IPv6Address(address6) in prefix6
    assert address6[8] == 0
    assert embedding.extract(address6) == address4


@given(prefixes6(), octets4, octets6)
def test_rfc6052_extraction_ignores_u_and_suffix(prefix6: IPv6Network, address4: bytes, noise: bytes) -> None:
    embedding = Embedding(prefix6)
    prefix_and_address = int.from_bytes(embedding.embed(b"\xff" * 4), "big") | int(prefix6.netmask)
    if prefix6.prefixlen == 96:
        prefix_and_address |= 0xFF << 56
    clean = int.from_bytes(embedding.embed(address4), "big")
    noisy = clean | (int.from_bytes(noise, "big") & ~prefix_and_address)
    assert embedding.extract(noisy.to_bytes(16, "big")) == address4


@given(prefixes6(), octets6)
def test_rfc6052_extracts_only_from_inside_the_prefix(prefix6: IPv6Network, address6: bytes) -> None:
    assert (Embedding(prefix6).extract(address6) is not None) == (IPv6Address(address6) in prefix6)


@given(eam_lists, crowded4)
def test_eamt_to6_is_the_longest_match_of_a_naive_scan(entries: list[Pair], number: int) -> None:
    eamt = Eamt(entries)
    address4 = number.to_bytes(4, "big")
    covering = [pair for pair in entries if number & int(pair[0].netmask) == int(pair[0].network_address)]
    if not covering:
        assert eamt.to6(address4) is None
        assert eamt.entry4(address4) is None
        return
    longest = max(covering, key=lambda pair: pair[0].prefixlen)
    assert eamt.to6(address4) == naive(*longest, number).to_bytes(16, "big")
    assert eamt.entry4(address4) == longest


@given(eam_lists, crowded6)
def test_eamt_to4_is_the_longest_match_of_a_naive_scan(entries: list[Pair], number: int) -> None:
    eamt = Eamt(entries)
    address6 = number.to_bytes(16, "big")
    covering = [pair for pair in entries if number & int(pair[1].netmask) == int(pair[1].network_address)]
    if not covering:
        assert eamt.to4(address6) is None
        assert eamt.entry6(address6) is None
        return
    longest = max(covering, key=lambda pair: pair[1].prefixlen)
    assert eamt.to4(address6) == naive(longest[1], longest[0], number).to_bytes(4, "big")
    assert eamt.entry6(address6) == longest


@given(eam_lists)
def test_eamt_does_not_depend_on_the_order_and_gives_all_entries_back(entries: list[Pair]) -> None:
    assert Eamt(entries) == Eamt(reversed(entries))
    assert set(Eamt(entries)) == set(entries)
    assert len(Eamt(entries)) == len(entries)


@given(pairs(), pairs())
def test_eamt_refuses_exactly_what_repeats_a_prefix(one: Pair, other: Pair) -> None:
    repeated = one[0] == other[0] or one[1] == other[1]
    try:
        Eamt([one, other])
        refused = False
    except OperatorError:
        refused = True
    assert refused == repeated


@given(eam_lists, prefixes6() | st.none(), crowded4.map(lambda number: number.to_bytes(4, "big")))
def test_4to6to4_is_the_identity_where_the_way_back_uses_the_same_entry(
    entries: list[Pair], prefix6: IPv6Network | None, address4: bytes
) -> None:
    """RFC 7757 3.3: two independent matches; with the same entry, or prefix6 outside every EAM, nothing is lost."""
    addresses = AddressMap(Domain(prefix6=prefix6, eamt=Eamt(entries), mtu4=None))
    eamt = addresses.domain.eamt
    mapping = addresses.to6(address4)
    assert mapping.address is not None or prefix6 is None
    assume(mapping.address is not None)
    assert mapping.address is not None
    assume(eamt.entry6(mapping.address) == eamt.entry4(address4))
    back = addresses.to4(mapping.address)
    assert (back.address, back.method) == (address4, mapping.method)


@given(prefixes6(), octets4)
def test_strict_and_lax_differ_in_the_well_known_prefix_only(prefix6: IPv6Network, address4: bytes) -> None:
    strict = AddressMap(Domain(prefix6=prefix6))
    lax = AddressMap(Domain(prefix6=prefix6, well_known_prefix="lax"))
    assert strict.to6(address4) == lax.to6(address4)
    well_known = AddressMap(Domain(prefix6=IPv6Network("64:ff9b::/96")))
    assert (well_known.to6(address4).address is None) == special.non_global4(address4)


@given(octets4)
def test_martian4_equals_its_table(address4: bytes) -> None:
    number = int.from_bytes(address4, "big")
    assert special.martian4(address4) == any(number & int(n.netmask) == int(n[0]) for n in special.MARTIANS4)


@given(
    octets6
    | st.builds(lambda head, tail: head[:14] + tail, st.sampled_from([b"\0" * 14]), st.binary(min_size=2, max_size=2))
)
def test_martian6_equals_its_table(address6: bytes) -> None:
    assert special.martian6(address6) == any(IPv6Address(address6) in network for network in special.MARTIANS6)


@given(octets4, st.lists(octets4, min_size=1, max_size=40), st.integers(0, 255), st.integers(16, 32))
def test_rfc6791_choice_is_of_the_pool_and_stable(
    start: bytes, nodes: list[bytes], hop_limit: int, length: int
) -> None:
    pool = IPv4Network((int.from_bytes(b"\x0b" + start[1:], "big"), length), strict=False)
    addresses = AddressMap(Domain(prefix6=IPv6Network("2001:db8:64::/96"), rfc6791_v4=(pool,)))
    for node in nodes:
        router = b"\x20\x01" + bytes(10) + node
        chosen = addresses.rfc6791_v4(router, hop_limit)
        assert int.from_bytes(chosen, "big") & int(pool.netmask) == int(pool[0])
        assert chosen == addresses.rfc6791_v4(router, hop_limit)


@given(eam_lists, prefixes6() | st.none(), crowded4, crowded6)
def test_explanation_agrees_with_the_mapping(
    entries: list[Pair], prefix6: IPv6Network | None, number4: int, number6: int
) -> None:
    deny = (IPv4Network("192.0.2.64/26"),)
    addresses = AddressMap(Domain(prefix6=prefix6, eamt=Eamt(entries), denylist4=deny))
    for network, mapping in (
        (IPv4Network(number4), addresses.to6(number4.to_bytes(4, "big"))),
        (IPv6Network(number6), addresses.to4(number6.to_bytes(16, "big"))),
    ):
        told = explain(addresses, network.network_address)
        if told.counterpart is not None:
            assert (told.counterpart.packed, told.rule, told.reason) == mapping
            assert told.rule in (Method.EAM, Method.PREFIX6)
        elif mapping.address is not None:
            martian = special.martian4 if len(mapping.address) == 4 else special.martian6
            assert martian(mapping.address)
        else:
            assert told.reason is mapping.reason


mtus = st.integers(1280, 65535)
networks4 = st.builds(lambda number, length: IPv4Network((number, length), strict=False), crowded4, st.integers(20, 32))
domains = st.builds(
    Domain,
    name=st.from_regex(r"[a-km-z][A-Za-z0-9_-]{0,5}", fullmatch=True),
    prefix6=prefixes6(),
    eamt=st.just([]).map(Eamt) | eam_lists.map(Eamt),
    pool4=st.lists(networks4, max_size=3).map(tuple),
    denylist4=st.lists(st.just(IPv4Network("10.0.0.0/8")), max_size=1).map(tuple),
    rfc6791_v4=st.lists(networks4, max_size=3).map(tuple),
    lowest_ipv6_mtu=mtus,
    mtu4=st.integers(68, 65535),
    mtu6=mtus,
    mtu_plateaus=st.sets(st.integers(68, 65535), min_size=1, max_size=5).map(lambda s: tuple(sorted(s, reverse=True))),
    udp_zero_checksum=st.sampled_from(["drop", "compute", "forward"]),
    well_known_prefix=st.sampled_from(["strict", "lax"]),
    hairpin=st.sampled_from(["intrinsic", "simple", "off"]),
    traffic_class=st.sampled_from(["copy", "zero"]) | st.integers(0, 255),
)


@given(domains)
def test_rendered_configuration_reads_back(domain: Domain) -> None:
    assert config.parse(config.render(domain), "rendered").domains == (domain,)


def told(text: str) -> str:
    try:
        return config.parse(text, "siit.toml").source
    except OperatorError as error:
        return str(error)


@given(st.text() | st.text(alphabet='[]domain.siit0="\n,:/{}', max_size=60))
def test_any_text_is_a_configuration_or_one_operator_error(text: str) -> None:
    assert "\n" not in told(text)
