"""How a command ends: by the operator's mistake, or for what the host lacks now."""

import contextlib
import ctypes
import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator

import pytest
from pyroute2.netlink.exceptions import NetlinkError
from supervised import Bench

from nfxlat.cli import exit_status, main
from nfxlat.errors import OperatorError
from nfxlat.host import state
from nfxlat.nft.kernel import load
from nfxlat.service.supervisor import ended_within

PR_SET_PDEATHSIG = 1  # linux/prctl.h


@contextlib.contextmanager
def child(life: Callable[[], object]) -> Iterator[int]:
    """A process that lives so, and no longer than this one."""
    pid = os.fork()
    if not pid:
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            life()
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_what_the_host_lacks_now_is_told_from_mistakes() -> None:
    assert exit_status.of(OperatorError("unknown key")) == 2
    assert exit_status.of(PermissionError(errno.EPERM, "Operation not permitted")) == 2
    for number in exit_status.LACKS:
        assert exit_status.of(OSError(number, os.strerror(number))) == 75
    assert exit_status.of(NetlinkError(errno.ENOMEM)) == 75
    assert exit_status.of(NetlinkError(errno.EEXIST)) == 2
    assert exit_status.of(MemoryError()) == 75
    assert exit_status.of(OperatorError(f"Could not process rule: {os.strerror(errno.ENOMEM)}")) == 75
    hidden = OperatorError("no TUN device")
    hidden.__context__ = OSError(errno.EMFILE, "")  # as `raise ... from None` leaves it
    assert exit_status.of(hidden) == 75


def test_a_start_that_cannot_fork_is_tried_again_by_the_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(1)
    monkeypatch.setattr(os, "fork", lambda: (_ for _ in ()).throw(OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))))
    with pytest.raises(OperatorError) as caught:
        bench.supervisor.start()
    assert exit_status.of(caught.value) == 75
    bench.close()


def test_a_set_up_that_runs_already_is_a_mistake() -> None:
    name = f"locked{os.getpid()}"

    def hold() -> None:  # a lock of fcntl is another process's
        held = state.State(name)
        os.kill(os.getpid(), signal.SIGSTOP)
        held.close(remove=True)

    with child(hold) as pid:
        assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
        with pytest.raises(OperatorError, match="another nfxlat --setup is running") as caught:
            state.State(name)
        os.kill(pid, signal.SIGCONT)
        assert os.waitpid(pid, 0)[1] == 0
    assert exit_status.of(caught.value) == 2


def test_no_command_shows_a_traceback_for_want_of_descriptors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking(*arguments: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("nfxlat.cli.explain.chosen_domain", lacking)
    assert main(["explain", "192.0.2.1"]) == 75
    assert capsys.readouterr().err == "nfxlat: Too many open files\n"


def test_without_a_descriptor_libnftables_is_not_begun_with() -> None:
    """It would end the process."""
    load.run("list tables")  # the bindings are imported
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        with pytest.raises(OperatorError, match="nft: Too many open files") as caught:
            load.run("list tables")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert exit_status.of(caught.value) == 75


def test_a_child_is_waited_for_without_a_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pidfd_open", lambda pid: (_ for _ in ()).throw(OSError(errno.EMFILE, "")))
    with child(signal.pause) as pid:
        assert not ended_within(pid, 0.05)
        os.kill(pid, signal.SIGKILL)
        assert ended_within(pid, 10)
