"""Waiting until what was injected has left the backlog; what the kernel tells of backlogs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfxlat.datapath.backlog import LOOKS, PASSES, PAUSE, leave
from nfxlat.netlink import backlogs
from nfxlat.netlink.backlogs import Backlog, Backlogs, processor

HERE = 3


def pauses(*looks: Backlog | None) -> int:
    """How often it has waited, where it sees these one after the other."""
    slept: list[float] = []
    left: Iterator[Backlog | None] = iter(looks)

    def look() -> dict[int, Backlog]:
        found = next(left)
        return {1: Backlog(0, 9)} | ({HERE: found} if found is not None else {})

    leave(look, HERE, slept.append)
    assert set(slept) <= {PAUSE}
    return len(slept)


def test_an_empty_backlog_is_not_waited_for_nor_another_s() -> None:
    assert pauses(Backlog(5, 0)) == 0
    assert pauses(None) == 0


def test_it_has_to_be_empty_once() -> None:
    assert pauses(Backlog(5, 2), Backlog(6, 1), Backlog(7, 0)) == 2
    assert pauses(Backlog(5, 2), None) == 1


def test_or_to_have_taken_a_few_times_what_waited() -> None:
    assert pauses(Backlog(0xFFFFFFFF, 2), Backlog(2 * PASSES - 2, 7), Backlog(2 * PASSES - 1, 7)) == 2


def test_it_is_not_waited_for_without_end() -> None:
    assert pauses(*[Backlog(5, 2)] * (LOOKS + 1)) == LOOKS


def test_backlogs_are_seen_as_the_kernel_lists_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "softnet_stat"
    zeros = " ".join(["00000000"] * 8)
    file.write_text(
        f"0b5da22e 00000001 0000005d {zeros} 0000000a 00000000 0000000a 00000000\n"
        f"00000010 00000000 00000000 {zeros} 00000000 00000003\n"
    )
    monkeypatch.setattr(backlogs, "PROC", file)
    look = Backlogs()
    assert look() == {0: Backlog(0x0B5DA22E, 10), 3: Backlog(16, 0)}
    look.close()
    assert look() == {}
    file.write_text("0b5da22e 00000001 0000005d\n")  # Linux 5.9
    look = Backlogs()
    assert look() == {}
    look.close()
    monkeypatch.setattr(backlogs, "PROC", tmp_path / "nothing")
    look = Backlogs()
    assert look() == {}
    look.close()


def test_this_machine_s_are_known() -> None:
    look = Backlogs()
    assert processor() in range(os.cpu_count() or 1)
    assert processor() in look()
    look.close()
