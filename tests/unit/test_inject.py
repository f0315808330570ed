"""The injectors: errnos become reasons, what is refused is told, and a local source is seen."""

import errno
import socket

from nfxlat.datapath.counters import ERROR, PART, Direction, cell
from nfxlat.datapath.inject import DeviceInjector, local_source, reason_of, with_identification
from nfxlat.datapath.mmsg import address_of
from nfxlat.outcome import Reason
from nfxlat.wire import ipv4
from nfxlat.wire.checksum import is_valid


def test_errnos_of_the_injectors_have_their_reasons() -> None:
    assert reason_of(errno.EMSGSIZE) is Reason.INJECT_TOO_BIG
    assert reason_of(errno.ENOBUFS) is Reason.INJECT_NO_BUFFER
    assert reason_of(errno.ENETDOWN) is Reason.INJECT_FAILED


def test_local_source_looks_at_the_source_of_either_family() -> None:
    local = frozenset({bytes([192, 0, 2, 1]), bytes(15) + b"\x07"})
    assert local_source(bytes([0x45]) + bytes(11) + bytes([192, 0, 2, 1]) + bytes(4), local)
    assert not local_source(bytes([0x45]) + bytes(15) + bytes([192, 0, 2, 1]), local)
    assert local_source(bytes([0x60]) + bytes(7) + bytes(15) + b"\x07" + bytes(16), local)


def test_what_is_refused_is_told_with_what_it_was_counted_as() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.close()
    refused: list[tuple[Reason, int]] = []
    injector = DeviceInjector(ours, bytes(6), bytes(6), lambda *one: refused.append(one))
    made = bytearray(injector.frame.whole(4) + b"\x45" + injector.frame.whole(6) + b"\x60" + injector.frame.whole(4))
    base, size = address_of(made), injector.frame.size + 1
    injector.put_packet(b"\x45" + bytes(19), 7)
    injector.put_all([base, size, base + size, size, base + 2 * size, size - 1], [], [base + 2 * size])
    injector.put_packet(b"\x60" + bytes(39), ERROR)
    injector.flush()
    results = cell(Reason.TRANSLATED, Direction.V6TO4), cell(Reason.TRANSLATED, Direction.V4TO6)
    assert refused == [(Reason.INJECT_FAILED, what) for what in (7, *results, PART, ERROR)]
    injector.put_packet(b"\x45" + bytes(19), 8)  # at the same address as the first
    injector.flush()
    assert refused[5:] == [(Reason.INJECT_FAILED, 8)]
    injector.close()


def test_a_fragment_without_an_identification_gets_the_one_that_the_others_of_its_datagram_get() -> None:
    addresses = bytes([192, 0, 2, 1, 192, 0, 2, 2])
    for word in (0x2000, 0x00B9, 0x2001):
        fragment = ipv4.build(0, 28, 0, word, 64, 17, addresses) + bytes(8)
        changed = with_identification(fragment)
        assert changed[4:6] == b"\xff\xff"
        assert changed[:4] + changed[6:] == fragment[:4] + fragment[6:]
        assert is_valid(changed[:20])
    for number, word in ((0, 0), (0, 0x4000), (7, 0x2000)):
        packet = ipv4.build(0, 28, number, word, 64, 17, addresses) + bytes(8)
        assert with_identification(packet) == packet
    assert with_identification(bytes([0x60]) + bytes(39)) == bytes([0x60]) + bytes(39)
