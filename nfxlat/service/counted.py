"""What a translator says of its mappings (nfxlat.service.counting) to who asks. It was read, so it is not believed."""

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from nfxlat import ipaddresses
from nfxlat.errors import OperatorError
from nfxlat.service.counting import ASKING
from nfxlat.service.status import Running, connected, silent

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
        self._one = one
        try:
            self._connection = connected(replace(one, kind=int(socket.SOCK_SEQPACKET)))
        except (OSError, ValueError):
            raise silent(one) from None
        try:
            self._connection.settimeout(_PATIENCE)
            self._connection.send(ASKING + wanted.encode())
            answer = self._message()
            if not isinstance(answer, dict) or answer.get("ok") is not True:
                why = answer.get("why") if isinstance(answer, dict) else None
                raise OperatorError(str(why), where=f"domain {one.domain} (pid {one.pid})")
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
            self._connection.send(b"now")
        while rows := self._message():
            for row in rows if isinstance(rows, list) else ():
                yield self._row(row)

    def close(self) -> None:
        self._connection.close()

    def _message(self) -> Any:
        try:
            return json.loads(self._connection.recv(_LARGEST))
        except (OSError, ValueError, RecursionError):
            raise silent(self._one) from None

    def _row(self, row: Any) -> Counted:
        try:
            v4, v6, *numbers = row
            for text in (v4, v6):
                if text:
                    ipaddresses.network(text)
            return Counted(v4, v6, *(int(_number(number)) for number in numbers))
        except (ValueError, TypeError):
            raise silent(self._one) from None


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST:
        raise ValueError("not a number")
    return value
