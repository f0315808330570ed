"""Which interfaces are stamped, and that the stamp leaves them as they were. What it does: test_stamp.py."""

import os
import select
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from set_up import start_and_kill
from stamp_net import DOMAIN, WAYS, Net, stamp_net

from nfxlat.errors import OperatorError
from nfxlat.host import bpf, interfaces, stamp
from nfxlat.host.stamp import How, Stamp
from nfxlat.queues import Queues
from nfxlat.service.setup import Setup
from nfxlat.wire.netlink import NLMSG_OVERRUN

pytestmark = pytest.mark.netns


@pytest.fixture
def net() -> Iterator[Net]:
    with stamp_net() as made:
        yield made


def ingress(net: Net, device: str) -> tuple[bool, str]:
    """Whether the device has a clsact, and what tc lists of its filters."""
    listed = net.node.run(["tc", "filter", "show", "dev", device, "ingress"]).stdout
    return "clsact" in net.node.run(["tc", "qdisc", "show", "dev", device]).stdout, listed


def test_interfaces_that_come_later_are_stamped_and_those_that_go_forgotten(net: Net) -> None:
    lines: list[str] = []
    with net.node.entered(), closing(Stamp("siit0", lines.append)) as found:
        named = {socket.if_nametoindex(name) for name in ("in", "out")}
        assert found.indexes == named
        net.node.ip("link add late type veth peer name later")
        net.node.ip("link set late up")
        net.node.ip("link set later up")
        assert select.select([found], [], [], 5)[0]
        found.refresh()
        assert found.indexes == named | {socket.if_nametoindex(name) for name in ("late", "later")}
        assert lines[-1] == "stamp also on later, late"
        net.node.ip("link del late")
        assert select.select([found], [], [], 5)[0]
        found.refresh()
        assert found.indexes == named


def test_ports_of_a_bridge_are_left_to_the_bridge(net: Net) -> None:
    net.node.ip("link add br0 type bridge")
    net.node.ip("link set br0 up")
    net.node.ip("link set out master br0")
    with net.node.entered(), closing(Stamp("in", lambda line: None)) as found:  # "in": as if it were the domain device
        assert found.indexes == {socket.if_nametoindex("br0")}


def test_close_leaves_an_ingress_as_it_was(net: Net) -> None:
    net.node.run(["tc", "qdisc", "add", "dev", "out", "clsact"])
    before = ingress(net, "in"), ingress(net, "out")
    assert before == ((False, ""), (True, ""))
    with net.node.entered():
        found = Stamp("siit0", lambda line: None, how=("cls_bpf",))
        assert "nfxlat-siit0" in ingress(net, "in")[1]
        assert "nfxlat-siit0" in ingress(net, "out")[1]
        found.close()
    assert (ingress(net, "in"), ingress(net, "out")) == before


def test_cls_bpf_is_taken_where_tcx_is_refused(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(program: int, ifindex: int) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(bpf, "link_tcx_ingress", refuse)  # as kernels before 6.6 do
    with net.node.entered(), closing(Stamp("siit0", lambda line: None)) as found:
        assert found.how == "cls_bpf"
        assert found.indexes == {socket.if_nametoindex(name) for name in ("in", "out")}


def test_filters_of_a_killed_run_are_removed_by_the_next(net: Net) -> None:
    start_and_kill(net.node, "router", "--stamp", "cls_bpf")
    assert "nfxlat-siit0" in ingress(net, "in")[1]
    lines: list[str] = []
    with net.node.entered():
        setup = Setup(DOMAIN, queues=Queues(), role="router", report=lines.append, superframes=False)
        setup.up()
        try:
            assert "removed the stamp of a former run from in" in lines
            assert setup.stamp is None
            assert ingress(net, "in") == (False, "")
        finally:
            setup.down()


def test_filters_of_others_are_left_alone(net: Net) -> None:
    with net.node.entered(), closing(Stamp("siit1", lambda line: None, how=("cls_bpf",))):
        Stamp("siit0", lambda line: None, how=("cls_bpf",)).close()
        has_clsact, filters = ingress(net, "in")
        assert has_clsact
        assert "nfxlat-siit1" in filters
        assert "nfxlat-siit0" not in filters


@pytest.mark.parametrize("how", WAYS)
def test_an_interface_that_goes_down_and_up_is_stamped_again(net: Net, how: How) -> None:
    lines: list[str] = []
    with net.node.entered(), closing(Stamp("siit0", lines.append, how=(how,))) as found:
        named = found.indexes
        inherited = [os.dup(descriptor) for descriptor in found._attached.values() if descriptor >= 0]
        try:
            net.node.ip("link set out down")
            found.refresh()
            assert found.indexes == {socket.if_nametoindex("in")}
            net.node.ip("link set out up")
            found.refresh()
        finally:
            for descriptor in inherited:
                os.close(descriptor)
        assert found.indexes == named
        assert lines[1:] == ["stamp also on out"]


@pytest.mark.parametrize("how", WAYS)
def test_an_interface_with_the_index_of_one_that_has_gone_is_another(net: Net, how: How) -> None:
    lines: list[str] = []
    net.node.ip("link add name first index 77 up type veth peer name third")
    with net.node.entered(), closing(Stamp("siit0", lines.append, how=(how,))) as found:
        net.node.ip("link del first")
        net.node.ip("link add name second index 77 up type veth peer name third")
        found.refresh()
        assert lines[-1] == "stamp also on second"
        found.refresh()
        assert 77 in found.indexes
        assert len(lines) == 2


def test_an_ingress_qdisc_of_another_is_used_and_left(net: Net) -> None:
    net.node.run(["tc", "qdisc", "add", "dev", "in", "ingress"])
    lines: list[str] = []
    with net.node.entered():
        with closing(Stamp("siit0", lines.append, how=("cls_bpf",))) as found:
            assert found.indexes == {socket.if_nametoindex(name) for name in ("in", "out")}
            assert "nfxlat-siit0" in ingress(net, "in")[1]
        assert lines == ["stamp of gso_size by cls_bpf for TCP on in, out"]
        assert ingress(net, "in") == (False, "")
        assert "ingress ffff:" in net.node.run(["tc", "qdisc", "show", "dev", "in"]).stdout


def test_a_filter_that_goes_with_a_qdisc_of_another_is_put_back(net: Net) -> None:
    net.node.run(["tc", "qdisc", "add", "dev", "in", "ingress"])
    lines: list[str] = []
    with net.node.entered(), closing(Stamp("siit0", lines.append, how=("cls_bpf",))) as found:
        found.refresh()
        net.node.run(["tc", "qdisc", "del", "dev", "in", "ingress"])
        net.node.run(["tc", "qdisc", "add", "dev", "in", "ingress"])
        assert select.select([found], [], [], 5)[0]
        found.refresh()
        assert "nfxlat-siit0" in ingress(net, "in")[1]
        assert lines[1:] == ["stamp also on in"]
        net.node.run(["tc", "filter", "del", "dev", "in", "ingress"])
        found.refresh()
        assert "nfxlat-siit0" in ingress(net, "in")[1]
    assert ingress(net, "in") == (False, "")


def test_what_was_lost_of_a_storm_is_looked_at(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    with net.node.entered(), closing(Stamp("siit0", lines.append, how=("cls_bpf",))) as found:
        found.refresh()
        net.node.run(["tc", "filter", "del", "dev", "in", "ingress"])
        found._watch.drain()
        monkeypatch.setattr(found._watch, "drain", lambda: [(NLMSG_OVERRUN, 0, 0, b"")])
        found.refresh()
        assert "nfxlat-siit0" in ingress(net, "in")[1]
        assert lines[1:] == ["stamp also on in"]
        monkeypatch.setattr(found._watch, "drain", list)
        monkeypatch.setattr(interfaces, "listed", lambda: pytest.fail("nothing has changed"))
        found.refresh()


def test_an_interface_that_comes_while_nothing_can_be_noted_is_stamped_and_noted_later(net: Net) -> None:
    noted: list[list[int]] = []
    full = False

    def note(indexes: list[int]) -> None:
        if full:
            raise OperatorError("No space left on device", where="/run/nfxlat/siit0.json")
        noted.append(indexes)

    with net.node.entered(), closing(Stamp("siit0", lambda line: None, how=("cls_bpf",), note=note)) as found:
        net.node.ip("link add late up type veth peer name later")
        full = True
        for _ in range(2):
            with pytest.raises(OperatorError):
                found.refresh()
            assert found.unfinished
        assert ingress(net, "late") == (False, "")
        full = False
        found.refresh()
        assert not found.unfinished
        late = socket.if_nametoindex("late")
        assert late in found.indexes
        assert late in noted[-1]
    assert ingress(net, "late") == (False, "")


def test_an_interface_that_refuses_takes_it_from_no_other(net: Net) -> None:
    net.node.run(["tc", "qdisc", "add", "dev", "in", "ingress_block", "7", "ingress"])
    lines: list[str] = []
    with net.node.entered(), closing(Stamp("siit0", lines.append, how=("cls_bpf",))) as found:
        assert found.indexes == {socket.if_nametoindex("out")}
        assert [line.partition(" (")[0] for line in lines] == [
            "stamp of gso_size by cls_bpf for TCP on out",
            "no stamp on in: the kernel refuses the BPF program",
        ]
        found.refresh()
        assert len(lines) == 2
        net.node.run(["tc", "qdisc", "del", "dev", "in", "ingress_block", "7", "ingress"])
        found.refresh()
        assert found.indexes == {socket.if_nametoindex(name) for name in ("in", "out")}


@pytest.mark.parametrize("how", WAYS)
def test_of_many_interfaces_a_number_is_stamped_at_a_time(net: Net, monkeypatch: pytest.MonkeyPatch, how: How) -> None:
    for number in range(3):
        net.node.ip(f"link add many{number} up type veth peer name more{number}")
        net.node.ip(f"link set more{number} up")
    monkeypatch.setattr(stamp, "AT_ONCE", 3)
    monkeypatch.setattr(stamp, "SHOWN", 2)
    lines: list[str] = []
    with net.node.entered(), closing(Stamp("siit0", lines.append, how=(how,))) as found:
        if how == "cls_bpf":  # which does not wait for every CPU
            assert lines == ["stamp of gso_size by cls_bpf for TCP on in, out and 6 more"]
        else:
            assert lines == ["stamp of gso_size by tcx for TCP on in, out and 1 more"]
            turns = 0
            while found.unfinished:
                turns += 1
                found.refresh()
            assert turns == 2
        assert len(found.indexes) == 8
    assert ingress(net, "many0") == (False, "")
