"""The stamp where the kernel refuses: one line, and nothing is left attached. Else: test_stamp.py."""

import errno
import os
import platform
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfxlat.host import bpf, clsact, ingress, interfaces, stamp
from nfxlat.host.stamp import Stamp
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.offload.program import linked, text

CUT = "; superframes are cut into segments of 1280 octets"


@pytest.fixture(autouse=True)
def _elsewhere() -> Iterator[None]:
    """Whatever goes wrong here, this machine's interfaces are not stamped."""
    with Namespace("stamp") as namespace:
        namespace.ip("link add one type veth peer name two")
        namespace.ip("link set one up")
        with namespace.entered():
            yield


def refuse(code: int) -> object:
    def refused(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    return refused


def refuse_each(code: int) -> object:
    def refused(indexes: list[int], *_: object) -> dict[int, OSError]:
        return {index: OSError(code, os.strerror(code)) for index in indexes}

    return refused


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS, errno.EINVAL])
def test_a_refusal_of_bpf_is_one_line_and_no_stamp(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(bpf, "load", refuse(code))
    lines: list[str] = []
    found = Stamp("siit0", lines.append, udp=True)
    assert lines == [f"no stamp: the kernel refuses the BPF program ({os.strerror(code)}){CUT}"]
    assert (found.how, found.indexes) == (None, frozenset())
    found.refresh()
    found.close()
    assert len(lines) == 1


def test_a_machine_whose_system_call_is_not_known_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    lines: list[str] = []
    Stamp("siit0", lines.append).close()
    assert lines == [f"no stamp: the system call number of bpf(2) on vax is unknown{CUT}"]


def test_refusal_of_every_way_is_one_line_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf, "link_tcx_ingress", refuse(errno.EINVAL))
    monkeypatch.setattr(clsact, "attach", refuse_each(errno.EOPNOTSUPP))
    lines: list[str] = []
    noted: list[list[int]] = []
    before = len(os.listdir("/proc/self/fd"))
    found = Stamp("siit0", lines.append, note=noted.append)
    found.close()
    assert [line.partition(" (")[0] for line in lines] == ["no stamp: the kernel refuses the BPF program"]
    assert len(noted) == 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_fails_behind_the_load_offloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "listed", refuse(errno.ENOBUFS))
    table = ingress.Table(entries=64)
    found = Stamp("siit0", lambda line: None, udp=True, table=table)
    assert (found.how, found.udp, found.offloads, found.translates) == (None, False, "", frozenset())
    found.close()
    table.close()


def test_without_cap_perfmon_tcp_is_stamped_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = bpf.load

    def no_probe_read(instructions: bytes, name: str) -> int:
        if instructions == linked(text("stamp"), {}, {**(ingress.places() or {}), "fit_udp": 1}):
            raise PermissionError(errno.EACCES, "Permission denied")
        return loaded(instructions, name)

    monkeypatch.setattr(bpf, "load", no_probe_read)
    lines: list[str] = []
    found = Stamp("siit0", lines.append, udp=True)
    try:
        assert not found.udp
        assert lines == [f"stamp of gso_size by {found.how} for TCP on one"]
        assert found.how in stamp.HOW
    finally:
        found.close()


def test_without_btf_udp_is_not_stamped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingress, "BTF", Path("/nonexistent"))
    found = Stamp("siit0", lambda line: None, udp=True)
    assert found.how is not None
    assert not found.udp
    found.close()


def test_an_interface_that_refuses_later_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    found = Stamp("siit0", lines.append)
    try:
        monkeypatch.setattr(bpf, "link_tcx_ingress", refuse(errno.ENOMEM))
        monkeypatch.setattr(clsact, "attach", refuse_each(errno.ENOMEM))
        Namespace("stamp").ip("link add three type veth peer name four")
        Namespace("stamp").ip("link set three up")
        found.refresh()
        found.refresh()
        assert lines[1:] == [
            f"no stamp on three: the kernel refuses the BPF program (Cannot allocate memory){CUT} there"
        ]
    finally:
        found.close()


def test_this_kernel_tells_where_members_lie() -> None:
    places = ingress.places()
    if ingress.BTF.exists():
        assert places is not None
        assert all(0 < places[name] < 4096 for name in ("skb_head", "skb_end", "gso_type", "summed_at"))
        assert places["summed_shift"] <= 6
    else:
        assert places is None


def test_signals_that_come_while_it_is_verified_refuse_nothing() -> None:
    """As a SIGHUP behind a start does."""
    heard: list[int] = []
    former = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    table = ingress.Table(64)
    parent, child = os.getpid(), os.fork()
    if not child:
        while True:
            os.kill(parent, signal.SIGUSR1)
            time.sleep(0.001)
    try:
        wait_for(lambda: heard, "a signal")
        for _ in range(5):
            os.close(ingress.load("offload", table.descriptors, ingress.places())[0])
        count = len(heard)
        wait_for(lambda: len(heard) > count, "signals to be heard again")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        signal.signal(signal.SIGUSR1, former)
        table.close()
