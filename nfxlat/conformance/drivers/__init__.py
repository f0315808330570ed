"""Drivers: how to start a translator with a domain between two interfaces, and how to stop it.

A driver is a small class in a file of this folder, with a line in `nfxlat.conformance.drivers.registry`:

    class Mine(Driver):
        name = "mine"
        title = "my translator"

        def refuses(self, domain): ...       # why it cannot have this domain; "" if it can
        def running(self, domain, place): ...  # a context manager: started and ready, then stopped

`place` has the namespace with the two interfaces, to be made into a translator, and a folder for files.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from nfxlat.conformance.suite import Domain
from nfxlat.lab.netns import Namespace

FOUR, SIX = "to-4", "to-6"  # its interfaces


@dataclass(frozen=True, slots=True)
class Place:
    """Where a driver works. `own4`, `own6`: its addresses, of which a driver may add some."""

    namespace: Namespace
    folder: Path
    own4: list[str]
    own6: list[str]


class Driver:
    """One translator."""

    name = ""
    title = ""
    learns = False  # a flow is treated otherwise when some packets of it have crossed: the suite sends those ahead

    def version(self) -> str:
        """Of what is tested, for reports."""
        return ""

    def missing(self) -> str:
        """Why it cannot run on this machine; "" if it can."""
        return ""

    def refuses(self, domain: Domain) -> str:
        """Why it cannot be set up with this domain; "" if it can."""
        return ""

    def running(self, domain: Domain, place: Place) -> contextlib.AbstractContextManager[object]:
        """The translator at work: ready when entered, gone when left. Raises OperatorError."""
        raise NotImplementedError
