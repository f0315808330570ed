"""Messages between supervisor and workers: what is encoded decodes to the same, and nothing else decodes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfxlat.service.messages import (
    Go,
    Message,
    MessageError,
    Node,
    PathMtu,
    Ping,
    Pong,
    Ready,
    Retired,
    Stop,
    Teach,
    Trace,
    Untrace,
    decode,
)

address = st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))
messages: st.SearchStrategy[Message] = st.one_of(
    st.sampled_from([Go(), Stop(), Ping(), Ready(), Retired(), Pong()]),
    st.builds(PathMtu, st.lists(st.tuples(st.binary(min_size=8, max_size=8), st.integers(0, 0xFFFF))).map(tuple)),
    st.builds(Teach, st.integers(0, 0xFFFFFFFF), st.frozensets(st.integers(0, 0xFFFFFFFF))),
    st.builds(Trace, st.integers(0, 0xFFFFFFFF), st.binary()),
    st.builds(Untrace, st.integers(0, 0xFFFFFFFF)),
    st.builds(Node, st.frozensets(address), st.frozensets(st.integers(0, 0xFFFFFFFF)), st.frozensets(address)),
)


@given(messages)
def test_every_message_survives_the_way(message: Message) -> None:
    again = decode(message.encode())
    assert again == message
    assert type(again) is type(message)


@given(st.lists(messages, min_size=2, max_size=8))
def test_different_messages_are_different_octets(several: list[Message]) -> None:
    assert len({message.encode() for message in several}) == len(set(several))


@given(st.one_of(st.binary(max_size=64), st.builds(bytes.__add__, st.sampled_from([b"n", b"m"]), st.binary())))
def test_hostile_octets_are_an_error_or_exactly_a_message(octets: bytes) -> None:
    try:
        message = decode(octets)
    except MessageError:
        return
    assert message.encode() == octets


@given(messages, st.data())
def test_a_message_cut_short_or_with_more_behind_it_is_an_error(message: Message, data: st.DataObject) -> None:
    octets = message.encode()
    for wrong in (octets[: data.draw(st.integers(0, len(octets) - 1))], octets + data.draw(st.binary(min_size=1))):
        try:
            other = decode(wrong)
        except MessageError:
            continue
        assert isinstance(other, Node | PathMtu | Teach | Trace)  # its last field may have fewer or more entries
        assert other != message
        assert other.encode() == wrong


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"x",
        b"go",
        b'"stop"',
        b"n",
        b"n" + b"\xff" * 8,  # as many addresses as there are in no packet
        b"n" + bytes(7) + b"\x02" + bytes(40),  # the same address twice
        b"n" + bytes(16) + b"\0\0\0\2\0\0\0\1",  # not sorted
        b"m" + bytes(5),
        b"m" + bytes(11),
    ],
    ids=repr,
)
def test_what_is_no_message_is_an_error(octets: bytes) -> None:
    with pytest.raises(MessageError):
        decode(octets)
