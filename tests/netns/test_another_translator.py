"""Whoever else translates the same domain in a network namespace is seen, whatever container it is in, and refused."""

import ctypes
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import DEVNULL, STDOUT

import pytest

from nfxlat.host.netns import CLONE_NEWNET
from nfxlat.lab.netns import Namespace, end_processes, wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.topology import HOST6_EAM4, Lab
from nfxlat.service import status

pytestmark = pytest.mark.netns

RUN = [sys.executable, "-m", "nfxlat", "run", "--prefix6", "2001:db8:64::/96", "--eam", f"{HOST6_EAM4}=2001:db8:2::2"]
HERE: tuple[str, ...] = ()
MOUNTS = ("unshare", "-m", "sh", "-c", 'mount --make-rprivate /; mount -t tmpfs none /run; exec "$@"', "sh")
PROCESSES = ("unshare", "-pf", "--kill-child", *MOUNTS)  # where each is the first, and has number 1
SETUP = ("--setup",)
CLONE_NEWUSER, NOBODY = 0x10000000, 65534
NUMBERS = itertools.count()


@contextmanager
def started(lab: Lab, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`nfxlat run`, ready, in the network namespace of the lab's translator; `words` come before its command."""
    log = lab.directory / f"{next(NUMBERS)}.log"
    with log.open("w") as out:
        process = lab.translator.popen(words, stdin=DEVNULL, stdout=out, stderr=STDOUT)
    try:
        wait_for(lambda: process.poll() is not None or "\nready:" in log.read_text(), "nfxlat run to be ready", 60)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        if words[: len(PROCESSES)] == PROCESSES:  # unshare -f passes no signal on
            process.kill()
        end_processes([process])
        lab.translator.processes.remove(process)


def state(lab: Lab) -> tuple[str, ...]:
    rules = lab.translator.run(["nft", "list", "tables"]).stdout
    return lab.translator.ip("-o link show"), lab.translator.ip("route show table all"), rules


@pytest.mark.parametrize(
    ("first", "second", "setup"),
    [
        (HERE, MOUNTS, SETUP),
        (MOUNTS, HERE, SETUP),
        (HERE, PROCESSES, SETUP),
        (PROCESSES, PROCESSES, SETUP),
        (HERE, HERE, ()),
        (PROCESSES, HERE, ()),
    ],
    ids=lambda words: {HERE: "here", MOUNTS: "mounts", PROCESSES: "processes", SETUP: "setup"}[words],
)
def test_a_second_translator_of_a_domain_is_refused(
    bare_lab: Lab, first: tuple[str, ...], second: tuple[str, ...], setup: tuple[str, ...]
) -> None:
    with started(bare_lab, *first, *RUN, *setup, "--queue", "17") as process:
        before = state(bare_lab)
        done = bare_lab.translator.run([*second, *RUN, *setup, "--queue", "27"], check=False, timeout=60)
        assert done.stderr.splitlines()[-1].startswith("nfxlat: domain.siit0: another nfxlat ")
        assert done.returncode == 2
        assert state(bare_lab) == before
        assert process.poll() is None
        assert not setup or bare_lab.host4.call(ping, HOST6_EAM4).ok


@pytest.mark.parametrize("setup", [("--setup",), ()], ids=["setup", "by hand"])
def test_a_set_up_in_another_container_is_seen_by_one_without_and_the_other_way_round(
    bare_lab: Lab, setup: tuple[str, ...]
) -> None:
    other = () if setup else ("--setup",)
    with started(bare_lab, *PROCESSES, *RUN, *setup, "--queue", "17"):
        done = bare_lab.translator.run([*RUN, *other, "--queue", "27"], check=False, timeout=60)
        assert "another nfxlat translates for this domain without --setup, or in another container" in done.stderr


def test_another_domain_is_no_hindrance(bare_lab: Lab) -> None:
    second = [sys.executable, "-m", "nfxlat", "run", "--domain", "siit1", "--prefix6", "2001:db8:65::/96"]
    with started(bare_lab, *RUN, "--queue", "17"), started(bare_lab, *second, "--queue", "27"):
        pass


def test_the_owner_of_a_rootless_container_is_believed() -> None:
    """Its root is somebody else outside, where its network namespace may be entered."""
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setresuid(NOBODY, NOBODY, NOBODY)
            if ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
                os.write(told, b"-")
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(f"\0nfxlat/siit0/{os.getpid()}")
            listener.listen(8)
            os.write(told, b"+")
            signal.pause()
        finally:
            os._exit(1)
    try:
        if os.read(ready, 1) != b"+":
            pytest.skip("user namespaces are refused here")
        with Namespace("outside") as outside, outside.entered():
            assert status.other("siit0") is None
            inside = os.open(f"/proc/{child}/ns/net", os.O_RDONLY)
            try:
                assert ctypes.CDLL(None).setns(inside, CLONE_NEWNET) == 0
                found = status.other("siit0")
            finally:
                os.close(inside)
        assert found == status.Running("siit0", child)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(told)
