"""Medians, quantiles and the search for the highest clean rate."""

from collections.abc import Callable

import pytest

from nfxlat.bench.stats import Spread, Trial, quantile, search

CAPACITY = 123_456.0


def perfect(capacity: float, sender: float = 1e6) -> Callable[[float], Trial]:
    """Carries `capacity` and not one more; the sender offers `sender` at most."""

    def trial(rate: float) -> Trial:
        offered = min(rate, sender)
        return Trial(offered, min(offered, capacity), offered <= capacity)

    return trial


def test_a_spread_is_the_median_between_the_extremes() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert Spread.of([4.0, 1.0]) == Spread(2.5, 1.0, 4.0)


def test_a_spread_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        Spread.of([])


@pytest.mark.parametrize(
    ("share", "value"), [(0.001, 1.0), (0.5, 50.0), (0.505, 51.0), (0.99, 99.0), (0.991, 100.0), (1.0, 100.0)]
)
def test_a_quantile_is_the_nearest_rank(share: float, value: float) -> None:
    assert quantile([float(number) for number in range(100, 0, -1)], share) == value


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_a_share_beyond_all_is_no_quantile(share: float) -> None:
    with pytest.raises(ValueError, match="no such quantile"):
        quantile([1.0], share)


@pytest.mark.parametrize("guess", [0.0, 60_000.0, 120_000.0, 300_000.0])
def test_the_search_ends_just_below_the_capacity(guess: float) -> None:
    found = search(perfect(CAPACITY), 1e6, guess=guess, most=30)
    assert 0.95 * CAPACITY <= found.rate <= CAPACITY
    assert not found.generator


def test_the_search_never_names_a_rate_that_was_not_clean() -> None:
    clean: list[float] = []

    def trial(rate: float) -> Trial:
        result = perfect(CAPACITY)(rate)
        if result.clean:
            clean.append(rate)
        return result

    assert search(trial, 1e6, most=30).rate == max(clean)


def test_a_sender_that_falls_short_is_named_as_the_limit() -> None:
    found = search(perfect(CAPACITY, sender=50_000.0), 1e6)
    assert (found.rate, found.generator) == (50_000.0, True)
    found = search(perfect(CAPACITY, sender=50_000.0), 1e6, guess=49_000.0)
    assert (found.rate, found.generator) == (50_000.0, True)


def test_a_capacity_beyond_the_highest_rate_is_found_without_a_search() -> None:
    found = search(perfect(2e6, sender=2e6), 1e6)
    assert (found.rate, found.generator, found.trials) == (1e6, False, 2)


def test_one_hiccup_does_not_lower_the_rate() -> None:
    trials = 0

    def trial(rate: float) -> Trial:
        nonlocal trials
        trials += 1
        result = perfect(CAPACITY)(rate)
        return Trial(rate, result.arrived * 0.9, False) if trials == 2 else result

    assert search(trial, 1e6, most=30).rate >= 0.95 * CAPACITY


def test_trials_are_not_more_than_allowed() -> None:
    trials = 0

    def trial(rate: float) -> Trial:
        nonlocal trials
        trials += 1
        return Trial(rate, 0.5 * rate, False)

    found = search(trial, 1e6, most=7)
    assert (found.rate, found.trials, trials) == (0.0, 7, 7)


def test_a_bad_guess_is_left_behind_in_few_trials() -> None:
    found = search(perfect(10_000.0), 1e6, guess=500_000.0, most=24)
    assert 9_000 <= found.rate <= 10_000
