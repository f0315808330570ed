"""What a translator says of its mappings (nfxlat.service.mapping_readers). It was read, so it is not believed."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from nfxlat import ipaddresses
from nfxlat.service.mapping_readers import NOW
from nfxlat.service.requests import line_to
from nfxlat.service.status import Running, silent

_LARGEST = 1 << 18
_PATIENCE = 20.0  # seconds that a translator has to answer
_MOST = 1 << 64


class Counted(NamedTuple):
    """Of one mapping: packets, and octets behind IP headers, from it and to it. `v4` "": all that no EAM holds; `v6`
    "": the EAM is gone."""

    v4: str
    v6: str
    packets_from: int
    octets_from: int
    packets_to: int
    octets_to: int


class Asking:
    """A translator that counts for us, until `close`. `always`: it does so anyway, for `seconds` by now."""

    def __init__(self, one: Running, wanted: str = "") -> None:
        """`wanted`: an address or a prefix. Raises OperatorError."""
        self._line = line_to(one)
        try:
            answer, _ = self._line.ask("mappings", filter=wanted, patience=_PATIENCE)
            self.always, self.seconds = answer.get("always") is True, _number(answer.get("seconds"))
        except ValueError:
            self.close()
            raise silent(one) from None
        except BaseException:
            self.close()
            raise

    def rows(self) -> Iterator[Counted]:
        """All that was counted so far, in no order. Raises OperatorError."""
        with contextlib.suppress(OSError):
            self._line.connection.send(NOW)
        while rows := self._message():
            for row in rows if isinstance(rows, list) else ():
                yield self._row(row)

    def close(self) -> None:
        self._line.close()

    def _message(self) -> Any:
        try:
            return json.loads(self._line.connection.recv(_LARGEST))
        except (OSError, ValueError, RecursionError):
            raise silent(self._line.one) from None

    def _row(self, row: Any) -> Counted:
        try:
            v4, v6, *numbers = row
            for text in (v4, v6):
                if text:
                    ipaddresses.network(text)
            return Counted(v4, v6, *(int(_number(number)) for number in numbers))
        except (ValueError, TypeError):
            raise silent(self._line.one) from None


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST:
        raise ValueError("not a number")
    return value
