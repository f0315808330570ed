"""Settings for all tests. `HYPOTHESIS_PROFILE=explore` looks at new examples at every run, and at many more of them.

Marked `last`: runs behind all others, and can tell by `outcomes` how they ended.
"""

import os

import pytest
from hypothesis import settings

settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

_outcomes: dict[str, set[str]] = {}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        _outcomes.setdefault(report.nodeid.partition("[")[0], set()).add(report.outcome)


@pytest.fixture
def outcomes() -> dict[str, set[str]]:
    """How the tests before this one ended: node id without parameters -> passed, failed, skipped."""
    return _outcomes
