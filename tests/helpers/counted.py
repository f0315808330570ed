"""What a translator that serves several tests has counted during one of them."""

from typing import Any

from nfxlat.lab.process import TranslatorProcess

Reasons = dict[str, dict[str, int]]  # by reason and direction


class Counted:
    """Its counters from here on."""

    def __init__(self, process: TranslatorProcess) -> None:
        self._process = process
        self._before: dict[str, Any] = process.summary()

    def reasons(self) -> Reasons:
        """How often each reason was met since, in which direction; what was not is left out."""
        found: Reasons = {}
        for reason, directions in self._process.summary()["reasons"].items():
            before = self._before["reasons"].get(reason, {})
            more = {direction: n - before.get(direction, 0) for direction, n in directions.items()}
            if grown := {direction: n for direction, n in more.items() if n}:
                found[reason] = grown
        return found

    def total(self, name: str) -> int:
        """How much this total has grown since."""
        grown: int = self._process.summary()["totals"][name] - self._before["totals"][name]
        return grown
