"""The service manager, and whoever reads --ready-fd, hear that the service is ready."""

import contextlib
import os
import re
import shlex
import socket
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from nfxlat.cli import parser
from nfxlat.service import notify as module
from nfxlat.service import readiness
from nfxlat.service.notify import notify
from nfxlat.service.options import Options
from nfxlat.xlat.domain import Domain

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("abstract", [False, True])
def test_what_the_manager_asked_for_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + path if abstract else path)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + path if abstract else path)
        assert notify("READY=1")
        assert manager.recv(64) == b"READY=1"


@pytest.mark.parametrize("path", [None, "", "relative", "/nonexistent/notify"])
def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch, path: str | None) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if path is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", path)
    assert notify("READY=1") is (False if path == "/nonexistent/notify" else None)


def test_a_manager_that_reads_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        with contextlib.ExitStack() as stack:
            sent = 1
            while sent:  # one sender alone may fill its own buffer before the queue (net.unix.max_dgram_qlen)
                other = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
                other.setblocking(False)
                sent = 0
                with contextlib.suppress(BlockingIOError):
                    while True:
                        sent += other.sendto(b".", path)
            monkeypatch.setenv("NOTIFY_SOCKET", path)
            monkeypatch.setattr(module, "PATIENCE", 0.05)
            assert notify("READY=1") is False


def test_the_unit_starts_a_command_that_there_is() -> None:
    unit = (ROOT / "contrib/systemd/nfxlat@.service").read_text()
    options = re.findall(r'NFXLAT_OPTIONS="?(--[^"]*)"', unit)
    (command,) = re.findall(r"^ExecStart=(.*)", unit, re.MULTILINE)
    for given in options:
        arguments = shlex.split(command.replace("%i", "siit0").replace("$NFXLAT_OPTIONS", given))
        parsed = parser().parse_args(arguments[1:])
        assert (parsed.domain, parsed.setup, parsed.queue) == ("siit0", True, 7)
    assert len(options) == 3
    assert "Type=notify\n" in unit


@pytest.mark.parametrize("descriptor", [1, 2])
def test_a_ready_descriptor_that_lines_go_to_stays_open(
    descriptor: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next file or socket that is opened would get its number, and our lines."""
    closed, close = [], os.close
    with monkeypatch.context() as patch:
        patch.setattr(os, "close", lambda number: closed.append(number) if number < 3 else close(number))
        domain = Domain(prefix6=IPv6Network("2001:db8:64::/96"))
        readiness.tell(Options(domain, ready_descriptor=descriptor), lambda line: None)
    assert closed == []
    assert capfd.readouterr()[descriptor - 1] == "ready\n"
