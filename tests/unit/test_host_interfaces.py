"""Interfaces as the kernel lists them, and which stand on which."""

import struct

import pytest

from nfxlat.host import interfaces
from nfxlat.host.interfaces import Interface, below
from nfxlat.wire.netlink import attribute, nested, string, u32

INFO = struct.Struct("=BBHiII")


def body(index: int, *attributes: bytes) -> bytes:
    return INFO.pack(0, 0, 1, index, 1, 0) + b"".join(attributes)


def kind(text: str) -> bytes:
    return nested(interfaces.IFLA_LINKINFO, string(interfaces.IFLA_INFO_KIND, text))


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        ([string(3, "eth0")], Interface(5, "eth0", 1, "", 0, 0)),
        ([string(3, "eth0.7"), u32(5, 2), kind("vlan")], Interface(5, "eth0.7", 1, "vlan", 0, 2)),
        ([string(3, "b"), u32(10, 9), kind("veth"), u32(5, 4)], Interface(5, "b", 1, "veth", 9, 0)),
        ([string(3, "m"), u32(5, 4), u32(37, 0), kind("macvlan")], Interface(5, "m", 1, "macvlan", 0, 0)),
        ([string(3, "t"), u32(5, 5), kind("sit")], Interface(5, "t", 1, "sit", 0, 0)),
        ([string(3, "g"), u32(58, 65536), u32(64, 130000)], Interface(5, "g", 1, "", 0, 0, gro_max_size=130000)),
        ([attribute(3, b"\xff\0")], Interface(5, "\udcff", 1, "", 0, 0)),
    ],
)
def test_an_interface_is_read(attributes: list[bytes], wanted: Interface) -> None:
    assert interfaces._read(body(5, *attributes)) == wanted


def test_what_is_below_is_found_through_several_layers() -> None:
    links = {
        1: Interface(1, "lo", 1, "", 0, 0),
        2: Interface(2, "eth0", 1, "", 4, 0),
        3: Interface(3, "eth1", 1, "", 4, 0),
        4: Interface(4, "bond0", 1, "bond", 0, 0),
        5: Interface(5, "bond0.7", 1, "vlan", 6, 4),
        6: Interface(6, "br0", 1, "bridge", 0, 0),
        7: Interface(7, "eth2", 1, "", 0, 0),
    }
    assert below({6}, links) == {2, 3, 4, 5, 6}
    assert below({7, 99}, links) == {7}
    assert below((), links) == set()


def test_a_port_that_leaves_its_bridge_is_not_gone() -> None:
    assert interfaces.gone(body(5)) == 5
    assert interfaces.gone(b"\7" + body(5)[1:]) == 0
    assert interfaces.gone(b"") == 0
