"""One sender is the limit before the translator is: the bench tries two, and gives the higher rate."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from nfxlat.bench import workloads
from nfxlat.bench.stats import Trial
from nfxlat.bench.workloads import Settings, udp

MODEL: Any = SimpleNamespace(name="offload", ways={"4to6": None})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Two processors; numbers of senders that were tried."""
    monkeypatch.setattr(workloads, "SENDERS", 1)
    monkeypatch.setattr(workloads, "MORE_SENDERS", 2)
    return []


def lab(offers: dict[int, float], carries: dict[int, float], tried: list[int]) -> Callable[..., Any]:
    """A lab where so many senders offer that at most, and the translator carries this beside them."""

    @contextlib.contextmanager
    def listening(way: Any, flows: int, size: int, *, senders: int) -> Iterator[Callable[[float, float], Trial]]:
        tried.append(senders)

        def trial(rate: float, seconds: float) -> Trial:
            offered = min(rate, offers[senders])
            return Trial(offered, min(offered, carries[senders]), offered <= carries[senders], 1)

        yield trial

    return listening


def test_two_senders_where_one_is_the_limit(asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "_listening", lab({1: 200e3, 2: 390e3}, {1: 1e6, 2: 300e3}, asked))
    measurement = udp(256, 64, gro=False)
    taken = measurement.take(MODEL, Settings(), 0, {})
    assert asked == [1, 2]
    assert 285 <= taken.values[measurement.key] <= 300
    assert not taken.generator
    taken = measurement.take(MODEL, Settings(), 1, taken.values)  # and from the first in the next round
    assert asked == [1, 2, 2]
    assert 285 <= taken.values[measurement.key] <= 300


def test_one_sender_where_two_leave_the_translator_too_little(
    asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workloads, "_listening", lab({1: 200e3, 2: 390e3}, {1: 1e6, 2: 150e3}, asked))
    measurement = udp(256, 64, gro=False)
    taken = measurement.take(MODEL, Settings(), 0, {})
    assert asked == [1, 2]
    assert taken.values[measurement.key] == 200
    assert taken.generator == {measurement.key}
    measurement.take(MODEL, Settings(), 1, taken.values)
    assert asked == [1, 2, 1, 2]


def test_a_second_sender_is_not_asked_for_a_translator_that_is_the_limit(
    asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workloads, "_listening", lab({1: 200e3}, {1: 150e3}, asked))
    measurement = udp(256, 64, gro=False)
    assert 140 <= measurement.take(MODEL, Settings(), 0, {}).values[measurement.key] <= 150
    assert asked == [1]


def test_a_flow_has_one_sender(asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "_listening", lab({1: 200e3}, {1: 1e6}, asked))
    measurement = udp(1, 64, gro=False)
    assert measurement.take(MODEL, Settings(), 0, {}).generator == {measurement.key}
    assert asked == [1]
