"""What may hang is done beside the service: the configuration read again, the summary written."""

import errno
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nfxlat import config, files
from nfxlat.errors import OperatorError
from nfxlat.files import Opener
from nfxlat.service import aside, reading, summary_file
from nfxlat.service.aside import Aside
from nfxlat.service.loop import Loop
from nfxlat.service.reading import Reading
from nfxlat.service.summary_file import SummaryFile

TOML = '[domain.siit0]\nprefix6 = "2001:db8:64::/96"\neam-file = "siit0.eam"\n'


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = os.listdir("/proc/self/fd"), Path("/proc/thread-self/children").read_text().split()
    yield
    assert (os.listdir("/proc/self/fd"), Path("/proc/thread-self/children").read_text().split()) == before


def hang(say: socket.socket) -> None:
    time.sleep(60)


def test_what_it_says_is_heard_to_its_end() -> None:
    def work(say: socket.socket) -> None:
        for number in range(1000):
            say.send(b"%d" % number)

    assert Aside(work, 10).wait(10) == [b"%d" % number for number in range(1000)]


def test_it_holds_nothing_of_its_parent_and_hears_no_signal() -> None:
    reader, writer = os.pipe()

    def work(say: socket.socket) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        for one in Path("/proc/self/fd").iterdir():  # /proc is that of the listing itself
            target, itself = os.path.realpath(one), f"/proc/{os.getpid()}/fd/{one.name}"
            if int(one.name) > 2 and target not in ("/dev/null", itself):
                say.send(target.partition("fd/")[2][:6].encode())

    assert Aside(work, 10).wait(10) == [b"socket"]
    os.close(reader)
    os.close(writer)


def test_it_is_ended_when_it_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Aside(hang, 10).wait(0.05) is None
    monkeypatch.setattr(aside, "GRACE", 0.0)
    alone = Aside(hang, 0.05)
    assert alone.wait(10) == []  # the kernel did that


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "siit.toml").write_text(TOML)
    (tmp_path / "siit0.eam").write_text("192.0.2.1 2001:db8::1\n")
    return tmp_path


class Bench:
    """A loop with `reading`; `found` is what came of it: how many EAMs, or why not."""

    def __init__(self, path: Path) -> None:
        self.path, self.loop, self.found = path, Loop(), list[int | str]()
        self.reading = Reading(self.loop, lambda error: self.end(str(error)))

    def begin(self) -> None:
        self.reading.begin(self.path, self.then)

    def then(self, opener: Opener) -> None:
        try:
            eamt = config.load(self.path, opener).domain().eamt
        except OperatorError as error:
            self.end(str(error))
        else:
            self.end(len(eamt or ()))

    def end(self, found: int | str) -> None:
        self.found.append(found)
        self.loop.stop()

    def run(self) -> int | str:
        self.loop.run()
        return self.found[-1]


@contextmanager
def benched(folder: Path) -> Iterator[Bench]:
    bench = Bench(folder / "siit.toml")
    try:
        yield bench
    finally:
        bench.reading.close()


def test_the_configuration_is_read_as_it_was_at_one_time(folder: Path) -> None:
    with benched(folder) as bench:
        bench.begin()
        assert bench.run() == 1
        (folder / "siit0.eam").write_text("\ufeff192.0.2.1 2001:db8::1\r\n192.0.2.2 2001:db8::2\r\n")
        bench.begin()
        assert bench.run() == 2


def test_what_cannot_be_read_is_said_of_its_file(folder: Path) -> None:
    with benched(folder) as bench:
        (folder / "siit0.eam").unlink()
        bench.begin()
        assert f"{folder}/siit0.eam: cannot be read: No such file or directory" in str(bench.run())
        (folder / "siit0.eam").symlink_to("/dev/zero")
        bench.begin()
        assert f"{folder}/siit0.eam: cannot be read: it is a device, not a file" in str(bench.run())
        (folder / "siit.toml").write_text("[domain")
        bench.begin()
        assert "not valid TOML" in str(bench.run())
        (folder / "siit.toml").unlink()
        bench.begin()
        assert "siit.toml: cannot be read: No such file" in str(bench.run())


def test_a_file_that_hangs_is_given_up_and_the_loop_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SECONDS", 5.0)  # in which the first file has to be read
    octets, went_on = files.octets, []

    def dead_mount(path: files.Path, largest: int = files.LARGEST) -> object:
        if str(path).endswith(".eam"):
            time.sleep(60)
        return octets(path, largest)

    with benched(folder) as bench:
        monkeypatch.setattr(files, "octets", dead_mount)
        bench.begin()
        bench.loop.later(0.0, lambda: went_on.append(True))
        assert bench.run() == f"{folder}/siit0.eam: cannot be read: it was not read within 5 s"
        assert went_on
        monkeypatch.setattr(files, "octets", octets)
        monkeypatch.setattr(reading, "SECONDS", 20.0)
        bench.begin()
        assert bench.run() == 1


def test_where_there_can_be_no_process_each_try_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    fork = os.fork
    with benched(folder) as bench:
        monkeypatch.setattr(os, "fork", refuse)
        for _ in range(2):
            bench.begin()
        told = f"{folder}/siit.toml: cannot be read: Resource temporarily unavailable; try again"
        assert bench.found == [told, told]
        monkeypatch.setattr(os, "fork", fork)
        bench.loop = bench.reading._loop = Loop()  # the former one was told to stop
        bench.begin()
        assert bench.run() == 1


def test_what_changed_while_it_was_read_is_read_too(folder: Path) -> None:
    with benched(folder) as bench:
        bench.begin()
        bench.begin()
        bench.begin()
        bench.run()
        bench.run()
        assert bench.found == [1, 1]


def test_it_is_left_unread_where_the_service_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_read_all", lambda path, say: hang(say))
    with benched(folder) as bench:
        began = time.monotonic()
        bench.begin()
    assert time.monotonic() - began < 20  # not 60


@pytest.mark.parametrize("last", [False, True])
def test_a_summary_that_cannot_be_written_in_time_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: bool
) -> None:
    monkeypatch.setattr(summary_file, "SECONDS", 0.1)
    if not last:
        monkeypatch.setattr(aside, "GRACE", 0.0)  # its process ends itself before anybody does
    monkeypatch.setattr(summary_file, "write", lambda path, text: time.sleep(60))
    loop = Loop()
    file = SummaryFile(tmp_path / "s.json", loop)
    if last:
        with pytest.raises(OperatorError, match="took longer"):
            file.finish("{}")
    else:
        file.begin("{}")
        with pytest.raises(OperatorError, match="was not written"):
            loop.run()
    assert list(tmp_path.iterdir()) == []


def test_the_newest_of_many_summaries_is_what_stays(tmp_path: Path) -> None:
    loop = Loop()
    file = SummaryFile(tmp_path / "s.json", loop)
    for number in range(5):
        file.begin(str(number))

    def written() -> None:
        if file._aside is None:
            loop.stop()
        loop.later(0.01, written)

    written()
    loop.run()
    assert (tmp_path / "s.json").read_text() == "4"
    file.finish("5")
    assert (tmp_path / "s.json").read_text() == "5"
    assert [path.name for path in tmp_path.iterdir()] == ["s.json"]
