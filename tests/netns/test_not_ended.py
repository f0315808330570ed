"""Nothing on the side ends `nfxlat run`; and should a bug end it all the same, what it has closed stays closed.

host4 --- router4 --- translator --- router6 --- host6
"""

import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import run_with_bug
from closed import MODELS, assert_nothing_leaves, state_of
from scapy.layers.inet import IP, UDP

from nfxlat.host import netns
from nfxlat.host.device import far_namespace
from nfxlat.lab.capture import send_packet
from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import DOMAIN, HOST4, HOST6_EAM4, Lab
from nfxlat.service.status import Running, ask


def a_worker_dies_of_a_real_time_signal(lab: Lab, process: TranslatorProcess) -> None:
    os.kill(process.workers()[0], signal.SIGRTMIN + 6)


def the_far_namespace_loses_its_name(lab: Lab, process: TranslatorProcess) -> None:
    with lab.translator.entered():
        netns.unpin(far_namespace("siit0"))
        assert ask(Running("siit0", process.pid))["unexpected"] is None


def the_summary_cannot_be_written(lab: Lab, process: TranslatorProcess) -> None:
    moved = lab.directory.rename(lab.directory.with_suffix(".moved"))
    try:
        os.kill(process.pid, signal.SIGUSR1)
        wait_for(lambda: "cannot be written" in (moved / "run.log").read_text(), "the failure to be told")
    finally:
        moved.rename(lab.directory)


def a_worker_dies_when_there_are_no_descriptors(lab: Lab, process: TranslatorProcess) -> None:
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    os.kill(process.workers()[0], signal.SIGKILL)
    wait_for(lambda: any("cannot be started" in line for line in process.output()), "the failure to be told")
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    "happen",
    [
        a_worker_dies_of_a_real_time_signal,
        the_far_namespace_loses_its_name,
        the_summary_cannot_be_written,
        a_worker_dies_when_there_are_no_descriptors,
    ],
    ids=lambda happen: happen.__name__,
)
def test_it_goes_on_when(
    lab: Lab, process: TranslatorProcess, happen: Callable[[Lab, TranslatorProcess], None]
) -> None:
    assert lab.host4.call(ping, HOST6_EAM4).ok
    happen(lab, process)
    wait_for(lambda: lab.host4.call(ping, HOST6_EAM4).ok, "packets to be translated again")
    assert process.alive()
    assert "Traceback" not in "\n".join(process.output())


def test_it_may_have_as_many_descriptors_as_the_system_allows(process: TranslatorProcess) -> None:
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard


@MODELS
def test_a_bug_of_the_supervisor_ends_it_closed_and_the_next_start_takes_over(
    bare_lab: Lab, run_arguments: tuple[str, ...]
) -> None:
    lab = bare_lab
    before = state_of(lab)
    process = TranslatorProcess(lab.translator, lab.directory, *run_arguments)
    process.command[1:4] = [str(Path(run_with_bug.__file__))]
    with process:
        assert lab.host4.call(ping, HOST6_EAM4).ok
        assert process._process is not None
        os.kill(process.pid, signal.SIGWINCH)
        assert process._process.wait(60) == 1  # what the unit restarts; 2 it does not
        assert any("a bug of the supervisor" in line for line in process.output())
        assert_nothing_leaves(lab)
    with TranslatorProcess(lab.translator, lab.directory, *run_arguments) as process:
        assert any("taking over" in line for line in process.output())
        assert lab.host4.call(ping, HOST6_EAM4).ok
        process.stop()
    assert state_of(lab) == before


class Pipe:
    """Somebody is to read what is written to it, and gets stuck, or goes."""

    def __init__(self) -> None:
        reader, self.writer = os.pipe()
        self._open = [self.writer, reader]

    def unread(self, ending: str) -> None:
        """From now on."""
        if ending == "reader has gone":
            os.close(self._open.pop())
            return
        os.set_blocking(self.writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"." * 4096)
        os.set_blocking(self.writer, True)

    def close(self) -> None:
        for descriptor in self._open:
            os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


UNREAD = pytest.mark.parametrize("ending", ["reader is stuck", "reader has gone"])


@UNREAD
def test_a_log_that_cannot_be_written_costs_its_lines_alone(bare_lab: Lab, pipe: Pipe, ending: str) -> None:
    """A worker has something to say (a UDP datagram without checksum), and the supervisor too (its death)."""
    lab, to = bare_lab, pipe.writer
    process = TranslatorProcess(lab.translator, lab.directory)
    (lab.directory / "siit0.toml").write_text(DOMAIN)
    ready, told = os.pipe()
    with open(ready, "rb", 0) as reader:
        command = [*process.command, "--ready-fd", str(told)]
        try:
            started = lab.translator.popen(command, stdin=subprocess.DEVNULL, stdout=to, stderr=to, pass_fds=(told,))
        finally:
            os.close(told)
        assert reader.read(16) == b"ready\n"
    pipe.unread(ending)
    for _ in range(3):
        lab.host4.call(send_packet, bytes(IP(src=HOST4, dst=HOST6_EAM4) / UDP(dport=9, chksum=0)), HOST6_EAM4)

    def lost() -> int:
        with lab.translator.entered():
            return int(ask(Running("siit0", started.pid))["lost_lines"])

    wait_for(lambda: lost() >= 1, "the worker's line to be lost")
    (worker,) = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    os.kill(int(worker), signal.SIGKILL)
    wait_for(lambda: lab.host4.call(ping, HOST6_EAM4).ok, "packets to be translated again")
    wait_for(lambda: lost() >= 2, "the supervisor's line to be lost")
    with lab.translator.entered():
        assert ask(Running("siit0", started.pid))["workers_restarted"] == 1
    started.terminate()
    assert started.wait(60) == 0


def test_a_file_that_hangs_holds_neither_the_service_nor_its_end(bare_lab: Lab, tmp_path: Path) -> None:
    """A pipe that somebody holds open and never fills takes the place of the eam-file."""
    lab, eams = bare_lab, tmp_path / "siit0.eam"
    before = state_of(lab)
    (tmp_path / "siit0.toml").write_text(DOMAIN + 'eam-file = "siit0.eam"\n')
    eams.write_text("")
    with TranslatorProcess(lab.translator, lab.directory, "--config", str(tmp_path / "siit0.toml")) as process:
        eams.unlink()
        os.mkfifo(eams)
        with eams.open("r+b", 0):
            os.kill(process.pid, signal.SIGHUP)
            wait_for(process.beside, "the file to be read beside the service")
            with lab.translator.entered():
                assert ask(Running("siit0", process.pid))["reloads"]["done"] == 0
            assert lab.host4.call(ping, HOST6_EAM4).ok
            wait_for(lambda: "reload refused" in process.last_words(), "the file to be given up", 30)
            assert "siit0.eam: cannot be read: it is a pipe that did not come to its end" in process.last_words()
            os.kill(process.pid, signal.SIGHUP)
            wait_for(process.beside, "the file to be read beside the service")
            beside = process.beside()
            process.stop()
            assert [pid for pid in beside if Path(f"/proc/{pid}").exists()] == []
    assert sum("reload refused" in line for line in process.output()) == 1  # its end waited for no second
    assert "Traceback" not in "\n".join(process.output())
    assert state_of(lab) == before


@MODELS
def test_a_worker_that_hangs_is_replaced_within_seconds(bare_lab: Lab, run_arguments: tuple[str, ...]) -> None:
    lab = bare_lab
    with TranslatorProcess(lab.translator, lab.directory, *run_arguments) as process:
        (first,) = process.workers()
        os.kill(first, signal.SIGSTOP)
        wait_for(lambda: first not in process.workers(), "the worker to be replaced")
        wait_for(lambda: lab.host4.call(ping, HOST6_EAM4).ok, "packets to be translated again")
        assert any(f"(pid {first}) has hung for 5 s; killing it" in line for line in process.output())


@UNREAD
def test_a_ready_descriptor_that_nobody_reads_costs_its_line_alone(bare_lab: Lab, pipe: Pipe, ending: str) -> None:
    lab = bare_lab
    process = TranslatorProcess(lab.translator, lab.directory)
    (lab.directory / "siit0.toml").write_text(DOMAIN)
    pipe.unread(ending)
    with process.log.open("w") as log:
        command = [*process.command, "--ready-fd", str(pipe.writer)]
        started = lab.translator.popen(command, stdout=log, stderr=log, pass_fds=(pipe.writer,))
    told = f"--ready-fd {pipe.writer}: nobody reads it"
    wait_for(lambda: told in process.output() or started.poll() is not None, "that to be told", 60)
    assert lab.host4.call(ping, HOST6_EAM4).ok
    started.terminate()
    assert started.wait(60) == 0
    assert "Traceback" not in process.log.read_text()


def test_lines_go_into_no_socket_where_there_is_no_stderr(bare_lab: Lab) -> None:
    lab = bare_lab
    process = TranslatorProcess(lab.translator, lab.directory)
    (lab.directory / "siit0.toml").write_text(DOMAIN)
    ready, told = os.pipe()
    with open(ready, "rb", 0) as reader:
        closing = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
        try:
            started = lab.translator.popen([*closing, *process.command, "--ready-fd", str(told)], pass_fds=(told,))
        finally:
            os.close(told)
        assert reader.read(16) == b"ready\n"
    (worker,) = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    for pid in (started.pid, worker):
        assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)} == {"/dev/null"}
    assert lab.host4.call(ping, HOST6_EAM4).ok
    started.terminate()
    assert started.wait(60) == 0
