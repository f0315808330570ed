"""What fails beside the data path is told once and counted."""

import sys

import pytest

from nfxlat.errors import OperatorError
from nfxlat.service import fence as module
from nfxlat.service.fence import Fence


def broken() -> int:
    return 1 // 0


def test_a_failure_is_told_once_for_each_place_and_message_and_counted_each_time() -> None:
    told: list[str] = []
    fence = Fence(told.append)
    for _ in range(3):
        assert fence.tried("stats", broken, 7) == 7
    fence.failed("rules", OperatorError("no memory", where="nft"))
    fence.failed("rules", OperatorError("no permission", where="nft"))
    assert fence.count == 5
    assert len(told) == 3
    assert told[0].startswith("stats failed: ZeroDivisionError: ")
    assert "test_fence.py:" in told[0]
    assert told[1:] == ["rules: nft: no memory (told once)", "rules: nft: no permission (told once)"]


def test_what_does_not_fail_is_returned_and_neither_told_nor_counted() -> None:
    fence = Fence(lambda line: None)
    assert fence.tried("stats", lambda: 3, 0) == 3
    assert fence.count == 0


def test_messages_that_never_repeat_do_not_fill_the_memory() -> None:
    told: list[str] = []
    fence = Fence(told.append)
    for number in range(3 * module.TOLD_AT_MOST):
        fence.failed("stats", ValueError(number))
    assert len(told) == module.TOLD_AT_MOST
    assert fence.count == 3 * module.TOLD_AT_MOST


def test_a_message_of_several_lines_is_one_line() -> None:
    told: list[str] = []
    Fence(told.append).failed("nft", ValueError("a\nb"))
    assert "\n" not in told[0]


def test_what_a_destructor_raises_is_told_and_not_written_by_the_interpreter(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ZeroDivisionError("of a destructor")

    told: list[str] = []
    before = sys.unraisablehook
    with Fence(told.append).unraisable():
        Broken()
    assert sys.unraisablehook == before
    assert len(told) == 1
    assert "of a destructor" in told[0]
    assert capfd.readouterr().err == ""
