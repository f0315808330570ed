"""To look a moment after the first word of a change, since others change much in one go; where that fails, to say so
once and look again."""

from collections.abc import Callable

from nfxlat.errors import OperatorError
from nfxlat.service.repairs import AGAIN, Later
from nfxlat.terms import Report


class Looking:
    """`look` raises OperatorError where it cannot look, which is told behind `prefix`. `later` calls something after
    some seconds; `debounce` are those from the first word of a change to a look."""

    def __init__(
        self, look: Callable[[], None], report: Report, later: Later, debounce: float, prefix: str = ""
    ) -> None:
        self._look, self._report, self._later = look, report, later
        self._debounce, self._prefix = debounce, prefix
        self._due, self._failure = False, ""

    def soon(self, seconds: float | None = None) -> None:
        """Look a moment later, or after so many seconds, unless that is due already."""
        if not self._due:
            self._due = True
            self._later(self._debounce if seconds is None else seconds, self.now)

    def now(self) -> None:
        self._due = False
        try:
            self._look()
        except OperatorError as error:
            if str(error) != self._failure:
                self._failure = str(error)
                self._report(f"{self._prefix}{error}")
            self.soon(AGAIN)
        else:
            self._failure = ""
