"""The nfnetlink batch of a compat queue rule, octet for octet."""

import struct

import pytest

from nfxlat.nft.kernel import compat
from nfxlat.wire import netlink


def attributes(data: bytes) -> dict[int, bytes]:
    return dict(netlink.attributes(data))


def messages(request: netlink.Request) -> list[tuple[int, int, bytes]]:
    batch = netlink.batch(netlink.NFNL_SUBSYS_NFTABLES, [request])
    return [(kind, flags, body) for kind, flags, _, body in netlink.messages(batch)]


@pytest.mark.parametrize(("family", "number"), [("ip", 2), ("ip6", 10)])
def test_the_batch_holds_one_new_rule_in_front_of_the_chain(family: str, number: int) -> None:
    begin, rule, end = messages(compat.queue_rule(family, "t", "queue_plain", 7, "id"))
    assert (begin[0], end[0]) == (0x10, 0x11)
    assert begin[2] == end[2] == struct.pack(">BBH", 0, 0, 10)
    assert rule[:2] == (0x0A06, 0x1 | 0x4 | 0x400)  # request, acknowledge, create; no append
    assert rule[2][:4] == bytes((number, 0, 0, 0))
    found = attributes(rule[2][4:])
    assert found[1] == b"t\0"
    assert found[2] == b"queue_plain\0"
    assert found[7] == b"\0\x03id\0"


def test_the_target_is_nfqueue_revision_3_without_bypass() -> None:
    rule = messages(compat.queue_rule("ip", "t", "c", 0x0102, "id"))[1][2]
    expression = attributes(attributes(attributes(rule[4:])[4])[1])
    assert expression[1] == b"target\0"
    target = attributes(expression[2])
    assert target[1] == b"NFQUEUE\0"
    assert target[2] == b"\0\0\0\x03"
    assert target[3] == struct.pack("=HHHH", 0x0102, 1, 0, 0)
