"""Settings for all tests. `HYPOTHESIS_PROFILE=explore` looks at new examples at every run, and at many more of them.

The order: what is marked `first`, tests without a lab, those in labs, the virtual machine (which has worked beside all
these), then what is marked `quiet` and has the machine to itself; last what is marked `last`, which can tell by
`outcomes` how all others ended.
"""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow]  # a machine may be busy: no judgement by the clock
settings.register_profile("same", deadline=None, suppress_health_check=SLOW, derandomize=True)
settings.register_profile("explore", deadline=None, suppress_health_check=SLOW, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# programs that tests start read bytecode, and compile nothing anew: 0.1 s each, of hundreds
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_outcomes: dict[str, set[str]] = {}
_RUN = os.getpid()


def _ended(number: int, frame: object) -> None:
    """A run that is told to end takes down what its tests have built; what it has forked just dies."""
    if os.getpid() != _RUN:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    raise KeyboardInterrupt


def _unheard(number: int, frame: object) -> None:
    """Who began this run had the signal ignored: nohup, or a shell's background. Programs would inherit that."""


def pytest_configure() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        before = signal.getsignal(number)
        if before is signal.SIG_IGN:
            signal.signal(number, _unheard)
        elif before is signal.SIG_DFL:
            signal.signal(number, _ended)


ORDER = ("first", "", "netns", "vm", "quiet", "last")  # marks; "": none of these


def place(item: pytest.Item) -> int:
    """Of the test in the order."""
    marks = {mark.name for mark in item.iter_markers()} & set(ORDER)
    strong = marks & {"first", "quiet", "last"} or marks or {""}
    return max(map(ORDER.index, strong))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=place)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        _outcomes.setdefault(report.nodeid.partition("[")[0], set()).add(report.outcome)


@pytest.fixture
def outcomes() -> dict[str, set[str]]:
    """How the tests before this one ended: node id without parameters -> passed, failed, skipped."""
    return _outcomes
