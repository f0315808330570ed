"""Mappings of a running translator, changed one by one or by a list: all of it or nothing, by the same checks and the
same steps as a reload.

    "eam", do "add" or "del", with the list beside it      as in an eam-file
    "eam", do "list"                                       answers with all of them beside it
    "eam", do "where"                                      answers with the file of the configuration

What is changed here is in memory alone: whoever wants it in the eam-file writes it there (nfxlat.service.eam_file), and
a reload or restart reads files.
"""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from nfxlat.config.eam import Reading
from nfxlat.errors import OperatorError
from nfxlat.service.requests import Answer, Asker
from nfxlat.terms import Report
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt, Entry, text_of

Change = Callable[[Domain], OperatorError | None]  # as a reload; what has been refused


class EamChanges:
    """`domain`: as it is now. `change` puts another in its place."""

    def __init__(
        self, domain: Callable[[], Domain], change: Change, configuration: Path | None, report: Report
    ) -> None:
        self._domain, self._change, self._report = domain, change, report
        self._configuration = configuration

    def answer(self, asker: Asker, request: dict[str, Any]) -> Answer:
        """To "eam". Raises OperatorError, and then nothing has changed."""
        domain, do = self._domain(), request.get("do")
        source = str(request.get("source", "the list"))
        if do == "list":
            asker.answer_text = "".join(f"{text_of(*entry)}\n" for entry in domain.eamt.entries())
            return {"mappings": len(domain.eamt)}
        if do == "where":
            path = self._configuration
            return {"configuration": None if path is None else str(path.absolute()), "domain": domain.name}
        if do not in ("add", "del"):
            raise OperatorError("this translator knows no such request", where=f"eam {do}")
        wanted = (added if do == "add" else removed)(domain.eamt, asker.text, source)
        self._report(f"eam {do} by pid {asker.pid}")
        if (refused := self._change(replace(domain, eamt=wanted))) is not None:
            raise refused
        return {"mappings": len(wanted), "changed": abs(len(wanted) - len(domain.eamt))}


def added(eamt: Eamt, text: str, source: str) -> Eamt:
    """With those of `text`, lines of an eam-file; `source` names it in errors. Raises OperatorError."""
    reading = Reading()
    reading.add_entries(eamt.entries())
    reading.add_file(Path(source), source, lambda path: io.StringIO(text))
    return reading.eamt() or eamt


def removed(eamt: Eamt, text: str, source: str) -> Eamt:
    """Without those. Raises OperatorError, also where one is not there."""
    gone = entries(text, source)
    there = set(eamt.entries())
    for entry in gone:
        if entry not in there:
            raise OperatorError(f"there is no EAM {text_of(*entry)}", where=source, hint="see nfxlat eam list")
    leaving = set(gone)
    return Eamt(entry for entry in eamt.entries() if entry not in leaving)


def entries(text: str, source: str) -> list[Entry]:
    """The mappings of `text`, checked. Raises OperatorError."""
    reading = Reading()
    reading.add_file(Path(source), source, lambda path: io.StringIO(text))
    return list((reading.eamt() or Eamt()).entries())
