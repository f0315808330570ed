"""How often things are put back that others take away: two that undo each other's work would go on for ever.

After REPAIRS within WINDOW seconds there are REST seconds without. Only what succeeded counts towards that; what fails
is tried again, each time after twice as long, and is told once.
"""

from collections import deque
from collections.abc import Callable

from nfxlat.service.fence import described
from nfxlat.terms import Report

REPAIRS, WINDOW, REST = 5, 60.0, 60.0
AGAIN = 1.0  # seconds behind a repair that failed; at most REST

Later = Callable[[float, Callable[[], None]], None]


class Repairs:
    """The repairs of one kind of thing (`what`: "rules", "host"). `look` is called when it is time to look again.

    `counts`: how often something was lost, and put back. `resting`: nothing is to be looked at now.
    """

    def __init__(
        self, what: str, report: Report, later: Later, look: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        self._what, self._report, self._later, self._look, self._clock = what, report, later, look, clock
        self.counts = {"lost": 0, "repaired": 0}
        self.resting = False
        self._done: deque[float] = deque(maxlen=REPAIRS)
        self._failure, self._wait = "", AGAIN
        self._series, self._waiting = 0, False  # of failures: one look is to come, whatever else has us look

    def attempt(self, lost: str, repair: Callable[[], object]) -> None:
        """Put it back, or say why not."""
        now = self._clock()
        if len(self._done) == REPAIRS and now - self._done[0] < WINDOW:
            self.counts["lost"] += 1
            self.resting = True
            self._later(REST, self._resume)
            self._report(
                f"{self._what}: {lost}, for the {REPAIRS + 1}th time within a minute: not repaired for {REST:.0f} s; "
                "something else on this host keeps changing it"
            )
            return
        try:
            repair()
        except Exception as error:
            self.failed(described(f"{lost}; cannot be repaired", error))
            return
        self._done.append(now)
        self.counts["lost"] += not self._failure
        self.counts["repaired"] += 1
        self.well()
        self._report(f"{self._what}: {lost}; repaired")

    def well(self) -> None:
        """All is there."""
        self._failure, self._wait = "", AGAIN
        self._series, self._waiting = self._series + 1, False

    def failed(self, line: str) -> None:
        """Say so once, and look again later."""
        if line != self._failure:
            self.counts["lost"] += not self._failure
            self._report(f"{self._what}: {line}")
        self._failure = line
        if not self._waiting:
            self._waiting, series = True, self._series
            self._later(self._wait, lambda: self._again(series))
            self._wait = min(2 * self._wait, REST)

    def _again(self, series: int) -> None:
        if series == self._series:
            self._waiting = False
            self._look()

    def _resume(self) -> None:
        self.resting = False
        self._done.clear()
        self._look()
