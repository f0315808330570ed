"""The EAMT of the keys eam and eam-file together, read in one pass: a million lines are normal."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NoReturn

from nfxlat import files
from nfxlat.config.kinds import pair, prefix4, prefix6
from nfxlat.errors import OperatorError
from nfxlat.files import Opener
from nfxlat.xlat.eamt import Eamt, Entry


class Reading:
    """Where the EAMT that is being built stands: the n-th mapping of an array, or a line of a file."""

    __slots__ = ("_form", "_number", "_sources")

    def __init__(self) -> None:
        self._form, self._number = "{}", 0
        self._sources: list[Iterator[Entry]] = []

    def add_array(self, mappings: Sequence[object], where: str) -> None:
        """The mappings that stand in the configuration itself; `where` names the key."""
        self._sources.append(self._array(mappings, where))

    def add_file(self, path: Path, where: str, opener: Opener = files.opened) -> None:
        """The mappings of a file, one "v4-prefix v6-prefix" a line; what follows `#` is a comment."""
        self._sources.append(self._file(path, where, opener))

    def add_entries(self, entries: Iterable[Entry]) -> None:
        """Mappings of a table that stands, ahead of those that are to be added to it."""
        self._sources.append(iter(entries))

    def eamt(self) -> Eamt | None:
        """All of them, None where nothing was added. Raises OperatorError, `where` being the mapping or the line."""
        if not self._sources:
            return None
        try:
            return Eamt(chain(*self._sources))
        except OperatorError as error:
            where = error.where or self._form.format(self._number)
            raise OperatorError(error.what, where=where, hint=error.hint) from error

    def _array(self, mappings: Sequence[object], where: str) -> Iterator[Entry]:
        self._form = f"{_braced(where)}[{{}}]"
        for self._number, mapping in enumerate(mappings):
            v4, v6 = pair(mapping)
            yield *prefix4(v4), *prefix6(v6)

    def _file(self, path: Path, where: str, opener: Opener) -> Iterator[Entry]:
        try:
            with opener(path) as file:
                self._form = f"{_braced(str(path))}:{{}}"
                for self._number, line in enumerate(file, 1):
                    if "#" in line:
                        line = line.partition("#")[0]
                    words = line.split()
                    if not words:
                        continue
                    if len(words) != 2:
                        raise OperatorError("expected a pair of prefixes", hint="for example, 192.0.2.2 2001:db8::2")
                    yield *prefix4(words[0]), *prefix6(words[1])
        except (OSError, UnicodeDecodeError) as error:
            unreadable(error, f"{where}: {path}")


def unreadable(error: OSError | UnicodeDecodeError, where: str) -> NoReturn:
    """Raise the OperatorError of a file that cannot be read."""
    what = error.strerror if isinstance(error, OSError) else f"not UTF-8: {error.reason}"
    raise OperatorError(f"cannot be read: {what}", where=where) from error


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
