"""What fails beside the data path is told once, counted, and goes no further: nothing on the side ends the service."""

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from nfxlat.errors import OperatorError
from nfxlat.terms import Report

TOLD_AT_MOST = 100  # different failures; more are counted alone

Result = TypeVar("Result")


class Fence:
    """`count`: how many failures there were, told or not."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._told: set[str] = set()
        self.count = 0

    def failed(self, what: str, error: Exception) -> None:
        """`what` has raised `error`: told if this is the first time."""
        self.count += 1
        line = described(what, error)
        if line not in self._told and len(self._told) < TOLD_AT_MOST:
            self._told.add(line)
            self._report(f"{line} (told once)")

    def tried(self, what: str, call: Callable[[], Result], otherwise: Result) -> Result:
        """What `call` returns, `otherwise` where it fails."""
        try:
            return call()
        except Exception as error:
            self.failed(what, error)
            return otherwise

    @contextlib.contextmanager
    def unraisable(self) -> Iterator[None]:
        """What a destructor raises, which the interpreter would write to stderr by itself, is told as any failure."""

        def hook(what: "sys.UnraisableHookArgs") -> None:
            if isinstance(what.exc_value, Exception):
                self.failed("clean-up", what.exc_value)

        former, sys.unraisablehook = sys.unraisablehook, hook
        try:
            yield
        finally:
            sys.unraisablehook = former


def described(what: str, error: Exception) -> str:
    """One line for the operator; of a bug, with the place in the source."""
    if isinstance(error, OperatorError):
        return f"{what}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return " ".join(f"{what} failed: {type(error).__name__}: {error}{place}".split())
