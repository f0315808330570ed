"""Routes as the kernel lists them: read alike in whichever order their attributes come."""

import socket
from itertools import permutations

import pytest

from nfxlat.host import rtnetlink
from nfxlat.wire.netlink import attribute, u32

OURS = 118


def body(family: int, destination: bytes, *rest: bytes, protocol: int = OURS, table: int = 254) -> bytes:
    fixed = rtnetlink._RTMSG.pack(family, 8 * len(destination), 0, 0, table, protocol, 0, 1, 0)
    return fixed + b"".join(rest)


@pytest.mark.parametrize("destination", [b"\xc0\0\2\1", bytes(15) + b"\1"])
def test_a_route_is_read_in_any_order(destination: bytes) -> None:
    family = socket.AF_INET if len(destination) == 4 else socket.AF_INET6
    read = rtnetlink._reader(family, OURS)
    parts = u32(15, 254), attribute(1, destination), u32(6, 1024), u32(4, 7)
    orders = list(permutations(parts))
    found = [read(body(family, destination, *order)) for order in orders]
    assert found == [(destination, 8 * len(destination), 1024)] * len(orders)


def test_metrics_of_routes_that_differ_in_little_are_told_apart() -> None:
    read = rtnetlink._reader(socket.AF_INET, OURS)
    for metric in range(2 * rtnetlink.KINDS):
        destination = metric.to_bytes(4, "big")
        parts = u32(15, 254), attribute(1, destination), u32(6, metric)
        assert read(body(socket.AF_INET, destination, *parts)) == (destination, 32, metric)
    assert read(body(socket.AF_INET, b"1234", u32(15, 254), attribute(1, b"1234"), u32(4, 7))) == (b"1234", 32, 0)


def test_a_default_route_has_no_destination() -> None:
    read = rtnetlink._reader(socket.AF_INET, OURS)
    assert read(body(socket.AF_INET, b"", u32(15, 254), u32(6, 2048))) == (b"", 0, 2048)


def test_routes_of_a_table_with_a_large_number_are_told_from_those_of_another() -> None:
    read = rtnetlink._reader(socket.AF_INET, OURS, 1000)
    parts = attribute(1, b"1234"), u32(6, 5)
    for table, found in ((1000, (b"1234", 32, 5)), (1001, None)):
        for order in permutations((u32(15, table), *parts)):
            assert read(body(socket.AF_INET, b"1234", *order, table=rtnetlink.RT_TABLE_COMPAT)) == found


@pytest.mark.parametrize("other", [{"protocol": 4}, {"table": 255}])
def test_routes_of_others_are_left_out(other: dict[str, int]) -> None:
    read = rtnetlink._reader(socket.AF_INET, OURS)
    parts = u32(15, 254), attribute(1, b"1234")
    assert read(body(socket.AF_INET, b"1234", *parts)) is not None
    assert read(body(socket.AF_INET, b"1234", *parts, **other)) is None
    assert read(body(socket.AF_INET6, b"1234", *parts)) is None
