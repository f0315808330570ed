"""What a forked worker lets go of."""

import contextlib
import os
import resource

from nfxlat.service import inherited


def test_a_child_holds_only_what_it_wants() -> None:
    kept, other = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            inherited.hold_only({kept[1], other[1]})
            others = {int(name) for name in os.listdir(inherited.OPEN)} - {0, 1, 2, kept[1], other[1]}
            known = set()
            for number in others:
                with contextlib.suppress(FileNotFoundError):  # that of the list itself
                    known.add(os.readlink(inherited.OPEN / str(number)))
            os.write(kept[1], repr((known, os.get_inheritable(other[0]), os.read(other[0], 1))).encode())
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(kept[0], 1000).decode() == repr(({"/dev/null"}, False, b""))
    for descriptor in (*kept, *other):
        os.close(descriptor)


def test_a_limit_that_is_reached_is_no_hindrance() -> None:
    child = os.fork()
    if not child:
        status = 1
        try:
            opened = []
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            while True:
                try:
                    opened.append(os.open(os.devnull, os.O_RDONLY))
                except OSError:
                    break
            os.close(opened.pop())  # what a list of them takes
            inherited.hold_only(())
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
