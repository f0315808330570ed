"""The injectors: errnos become reasons, and a local source is seen."""

import errno

from nfxlat.datapath.inject import local_source, reason_of
from nfxlat.outcome import Reason


def test_errnos_of_the_injectors_have_their_reasons() -> None:
    assert reason_of(errno.EMSGSIZE) is Reason.INJECT_TOO_BIG
    assert reason_of(errno.ENOBUFS) is Reason.INJECT_NO_BUFFER
    assert reason_of(errno.ENETDOWN) is Reason.INJECT_FAILED


def test_local_source_looks_at_the_source_of_either_family() -> None:
    local = frozenset({bytes([192, 0, 2, 1]), bytes(15) + b"\x07"})
    assert local_source(bytes([0x45]) + bytes(11) + bytes([192, 0, 2, 1]) + bytes(4), local)
    assert not local_source(bytes([0x45]) + bytes(15) + bytes([192, 0, 2, 1]), local)
    assert local_source(bytes([0x60]) + bytes(7) + bytes(15) + b"\x07" + bytes(16), local)
