"""Netlink messages and attributes: octet for octet, there and back, and with lengths that cannot be."""

import errno
import struct
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nfxlat.wire import netlink
from nfxlat.wire.netlink import Malformed

u16, u32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
kinds = st.integers(0, netlink.NLA_TYPE_MASK)
Row = list[tuple[int, bytes]]
rows = st.lists(st.tuples(kinds, st.binary(max_size=40)))
sent = st.lists(st.tuples(u16, u16, u32, st.binary(max_size=40)))


def datagram(found: list[netlink.Message]) -> bytes:
    padded = (netlink.message(*one) + bytes(-len(one[3]) % 4) for one in found)
    return b"".join(padded)


def encoded(row: Row) -> bytes:
    return b"".join(netlink.attribute(kind, data) for kind, data in row)


def test_a_message_is_a_header_and_its_body() -> None:
    assert netlink.message(24, 0x405, 7, b"body") == struct.pack("=IHHII", 20, 24, 0x405, 7, 0) + b"body"


def test_an_attribute_is_padded_to_four_octets_and_its_length_is_not() -> None:
    assert netlink.attribute(9, b"abcde") == struct.pack("=HH", 9, 9) + b"abcde\0\0\0"
    assert netlink.attribute(9, b"abcd") == struct.pack("=HH", 8, 9) + b"abcd"
    assert netlink.attribute(9, b"") == struct.pack("=HH", 4, 9)


def test_numbers_are_in_the_order_of_those_who_read_them() -> None:
    assert netlink.u32(6, 0x01020304) == netlink.attribute(6, struct.pack("=I", 0x01020304))
    assert netlink.be32(6, 0x01020304) == netlink.attribute(6, b"\1\2\3\4")


def test_a_string_ends_with_a_zero() -> None:
    assert netlink.string(1, "siit0") == struct.pack("=HH", 10, 1) + b"siit0\0\0\0"


def test_a_nested_attribute_is_marked() -> None:
    inner = netlink.attribute(1, b"x")
    assert netlink.nested(5, inner, inner) == struct.pack("=HH", 20, 0x8005) + inner + inner


def test_an_attribute_holds_65531_octets_and_no_more() -> None:
    assert len(netlink.attribute(1, bytes(65531))) == 65536
    with pytest.raises(Malformed, match="attribute 1 of 65532 octets"):
        netlink.attribute(1, bytes(65532))
    with pytest.raises(Malformed):
        netlink.nested(1, *[netlink.attribute(2, bytes(996))] * 66)


def test_nfgenmsg_has_its_resource_in_network_order() -> None:
    assert netlink.nfgenmsg(10, 0x0102) == bytes((10, 0, 1, 2))


def test_a_batch_is_one_transaction_whose_last_message_is_acknowledged() -> None:
    octets = netlink.batch(10, [(6, netlink.NLM_F_CREATE, b"one!"), (8, 0, b"two!")])
    begin, first, second, end = netlink.messages(octets)
    assert begin == (0x10, netlink.NLM_F_REQUEST, 0, bytes((0, 0, 0, 10)))
    assert first == (0x0A06, netlink.NLM_F_REQUEST | netlink.NLM_F_CREATE, 1, b"one!")
    assert second == (0x0A08, netlink.NLM_F_REQUEST | netlink.NLM_F_ACK, 2, b"two!")
    assert end == (0x11, netlink.NLM_F_REQUEST, 3, bytes((0, 0, 0, 10)))


@pytest.mark.parametrize(("value", "code"), [(0, 0), (-errno.EBUSY, errno.EBUSY)])
def test_an_answer_tells_its_errno(value: int, code: int) -> None:
    assert netlink.errno_of(struct.pack("=i", value) + bytes(16)) == code


def test_an_answer_without_an_errno_is_malformed() -> None:
    with pytest.raises(Malformed, match="answer of 3 octets"):
        netlink.errno_of(bytes(3))


@pytest.mark.parametrize("length", [0, 1, 15, 21, 0xFFFFFFFF])
def test_a_message_whose_length_cannot_be_is_malformed(length: int) -> None:
    whole = netlink.message(3, 0, 0, b"")
    found = netlink.messages(whole + length.to_bytes(4, "little") + netlink.message(3, 0, 0, b"four")[4:])
    assert next(found)[0] == 3
    with pytest.raises(Malformed):
        next(found)


@pytest.mark.parametrize("length", [0, 3, 9, 0xFFFF])
def test_an_attribute_whose_length_cannot_be_is_malformed(length: int) -> None:
    octets = netlink.attribute(1, b"four") + struct.pack("=HH", length, 2) + b"four"
    with pytest.raises(Malformed):
        netlink.chosen(octets, frozenset((1, 3)))
    assert netlink.chosen(octets, frozenset((1,))) == {1: b"four"}  # nothing behind it is looked at
    found = netlink.attributes(octets)
    assert next(found) == (1, b"four")
    with pytest.raises(Malformed):
        next(found)


def test_octets_too_few_for_an_attribute_are_malformed() -> None:
    for octets in (b"\0\0\0", netlink.u32(1, 2) + b"\4"):
        with pytest.raises(Malformed):
            list(netlink.attributes(octets))
        with pytest.raises(Malformed):
            netlink.chosen(octets, frozenset((1, 3)))


def test_flags_are_taken_off_an_attribute_s_type() -> None:
    octets = netlink.nested(5) + netlink.attribute(0x4000 | 6, b"x")
    assert list(netlink.attributes(octets)) == [(5, b""), (6, b"x")]
    assert netlink.chosen(octets, frozenset((5, 6))) == {5: b"", 6: b"x"}


def test_attributes_begin_behind_a_fixed_part() -> None:
    assert list(netlink.attributes(bytes(12) + netlink.u32(4, 0), 12)) == [(4, bytes(4))]
    assert list(netlink.attributes(bytes(12), 12)) == []


@given(sent)
def test_messages_are_read_as_they_were_made(found: list[netlink.Message]) -> None:
    assert list(netlink.messages(datagram(found))) == found


@given(rows)
def test_attributes_are_read_as_they_were_made(row: Row) -> None:
    assert list(netlink.attributes(encoded(row))) == row


@given(rows, st.frozensets(st.integers(0, 4)), st.binary(max_size=9))
def test_chosen_attributes_are_the_first_of_their_types(row: Row, wanted: frozenset[int], before: bytes) -> None:
    few = [(kind % 5, data) for kind, data in row]
    expected = {kind: data for kind, data in reversed(few) if kind in wanted}
    start = bytes(-len(before) % 4) + before
    assert netlink.chosen(start + encoded(few), wanted, len(start)) == expected


@given(st.binary(max_size=40))
def test_attributes_are_malformed_however_they_are_read(octets: bytes) -> None:
    every = frozenset(range(netlink.NLA_TYPE_MASK + 1))
    try:
        expected = dict(reversed(list(netlink.attributes(octets))))
    except Malformed:
        with pytest.raises(Malformed):
            netlink.chosen(octets, every)
    else:
        assert netlink.chosen(octets, every) == expected


@given(st.lists(st.tuples(kinds, rows), max_size=5))
def test_nested_attributes_are_read_as_they_were_made(tree: list[tuple[int, Row]]) -> None:
    octets = b"".join(netlink.nested(kind, encoded(row)) for kind, row in tree)
    assert [(kind, list(netlink.attributes(data))) for kind, data in netlink.attributes(octets)] == tree


@pytest.mark.parametrize("read", [netlink.messages, netlink.attributes])
@given(octets=st.binary(max_size=200))
def test_any_octets_are_read_or_malformed(read: Callable[[bytes], object], octets: bytes) -> None:
    """Whatever a length says: it ends, and nothing lies outside."""
    values: list[bytes] = []
    try:
        for one in read(octets):  # type: ignore[attr-defined]
            values.append(one[-1])
            assert len(values) <= 50
    except Malformed:
        pass
    assert all(value in octets for value in values)


@given(sent, st.data())
def test_a_datagram_that_is_cut_off_is_not_taken_for_a_whole_one(
    found: list[netlink.Message], data: st.DataObject
) -> None:
    whole = datagram(found)
    assume(whole)
    cut = data.draw(st.integers(1, len(whole) - 1))
    try:
        read = list(netlink.messages(whole[:cut]))
    except Malformed:
        return
    assert read == found[: len(read)]
    rest = datagram(found[: len(read)])
    assert len(rest) - 3 <= cut <= len(rest)  # only padding may be missing
