"""Settings for all tests. `HYPOTHESIS_PROFILE=explore` looks at new examples at every run, and at many more of them.

The order: what is marked `first`, tests without a lab, those in labs, the virtual machine (which has worked beside all
these), then what is marked `quiet` and has the machine to itself. contrib/test without arguments shares all but the
quiet ones out among several processes, file by file.
"""

import os
import signal
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings
from ledger import LEDGER, TESTS, rows_of

SLOW = [HealthCheck.too_slow]  # a machine may be busy: no judgement by the clock
settings.register_profile("same", deadline=None, suppress_health_check=SLOW, derandomize=True)
settings.register_profile("explore", deadline=None, suppress_health_check=SLOW, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# programs that tests start read bytecode, and compile nothing anew: 0.1 s each, of hundreds
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

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


ORDER = ("first", "", "netns", "vm", "quiet")  # marks; "": none of these
NAMED = {f"{TESTS / path}::{name}" for row in rows_of(LEDGER.read_text()) for path, name in row.tests}


def place(item: pytest.Item) -> int:
    """Of the test in the order."""
    marks = {mark.name for mark in item.iter_markers()} & set(ORDER)
    strong = marks & {"first", "quiet"} or marks or {""}
    return max(map(ORDER.index, strong))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What tests/REQUIREMENTS.md names must run: a skip of it is a failure."""
    report = yield
    if report.skipped and f"{item.path}::{getattr(item, 'originalname', item.name)}" in NAMED:
        report.outcome = "failed"
        report.longrepr = f"skipped, but tests/REQUIREMENTS.md names it: {report.longrepr}"
    return report
