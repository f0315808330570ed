"""The watch of rules, without rules: what it says when they cannot be listed."""

from collections.abc import Callable, Iterator

import pytest

from nfxlat.errors import OperatorError
from nfxlat.nft.kernel import listing
from nfxlat.service.repairs import AGAIN
from nfxlat.service.rules_watch import OperatorsRulesWatch


@pytest.fixture
def timers() -> list[tuple[float, Callable[[], None]]]:
    return []


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def watch(
    timers: list[tuple[float, Callable[[], None]]], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[OperatorsRulesWatch]:
    monkeypatch.setattr(listing, "rules", list)
    watch = OperatorsRulesWatch(range(7, 9), lines.append, lambda *timer: timers.append(timer))
    yield watch
    watch.close()


def test_rules_that_cannot_be_listed_are_told_once_and_asked_for_again_one_look_at_a_time(
    watch: OperatorsRulesWatch,
    timers: list[tuple[float, Callable[[], None]]],
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise OperatorError("cannot be listed", where="rules")

    with monkeypatch.context() as patch:
        patch.setattr(listing, "rules", refuse)
        for _ in range(5):
            timers.pop()[1]()
            watch.changed()
            assert [seconds for seconds, _ in timers] == [AGAIN]
    assert lines == ["rules: cannot be listed"]
    timers.pop()[1]()
    assert timers == []
