"""Where stderr is the journal, lines are entries with fields."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nfxlat.service import journal
from nfxlat.service.journal import Journal, fields, is_journal
from nfxlat.service.log import Log


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[socket.socket]:
    """Takes entries as systemd-journald does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.setblocking(False)
        yield listener


def entries(daemon: socket.socket) -> list[dict[str, str]]:
    found = []
    try:
        while True:
            lines = daemon.recv(1 << 16).decode().splitlines()
            found.append(dict(line.split("=", 1) for line in lines))
    except BlockingIOError:
        return found


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("ready: translating for siit0, hook model, inject device", "ready"),
        ("reloaded in 0.1 s: 3 EAMs, 0.4 ms between two workers", "reloaded"),
        ("reload refused, nothing has changed: domain.siit0.colour: unknown key", "reload-refused"),
        ("worker 0 (pid 7) died: SIGKILL; restarting it", "worker-died"),
        ("worker 0 (pid 7) has hung for 5 s; killing it", "worker-hung"),
        ("worker 1 cannot be started: Cannot allocate memory; trying again", "worker-missing"),
        (
            "host: route 192.0.2.0/24 dev siit0 was there and is missing; without --setup this is not repaired",
            "missing",
        ),
        ("host: sysctl net.ipv4.ip_forward 1 (it is 0); repaired", "repaired"),
        ("host: route 192.0.2.0/24 dev siit0 is there again", "there-again"),
        ("rules: no rule sends packets to queue 7 any more", "missing"),
        ("device failed: OSError: [Errno 5] at x.py:3 (told once)", "failure"),
        ("route 192.0.2.0/24 dev siit0 mtu 1480", "setup"),
        ("trace: begun by pid 7", "trace"),
        ("offload: pairs that are known are translated at ingress, TCP", "offload"),
        ("something else", "note"),
    ],
    ids=lambda text: text[:30],
)
def test_a_line_s_event_is_known_by_its_words(line: str, event: str) -> None:
    found = fields(line, "siit0")
    assert (found["MESSAGE"], found["NFXLAT_EVENT"], found["NFXLAT_DOMAIN"]) == (line, event, "siit0")
    assert "NFXLAT_REASON" not in found


def test_what_is_told_of_a_packet_has_its_reason() -> None:
    found = fields("udp_zero_checksum: 192.0.2.2 port 9 > 198.51.100.2 port 9: IPv4 UDP without a checksum")
    assert (found["NFXLAT_EVENT"], found["NFXLAT_REASON"]) == ("packet", "udp_zero_checksum")


def test_lines_of_a_log_that_is_the_journal_s_are_entries(
    daemon: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        monkeypatch.setattr(journal, "SOCKET", tmp_path / "socket")
        found = os.fstat(theirs.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert is_journal(theirs.fileno())
        assert not is_journal(ours.fileno())
        assert not is_journal(-1)
        with closing(Log(theirs.fileno())) as log:
            log("queues 7 to 8 bound\nwith \x1b control")
            log.name("siit0")
            log("ready: translating")
            told = entries(daemon)
            assert [entry["MESSAGE"] for entry in told] == [
                "queues 7 to 8 bound",
                "with \\x1b control",
                "ready: translating",
            ]
            assert told[2] == {
                "MESSAGE": "ready: translating",
                "NFXLAT_DOMAIN": "siit0",
                "NFXLAT_EVENT": "ready",
                "PRIORITY": "5",
                "SYSLOG_IDENTIFIER": "nfxlat",
            }
            daemon.close()
            (tmp_path / "socket").unlink()
            log("goes on as text")
            assert ours.recv(100) == b"goes on as text\n"
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
                again.bind(str(tmp_path / "socket"))
                again.setblocking(False)
                log("and as entries, where the journal has made its socket anew")
                assert [entry["NFXLAT_DOMAIN"] for entry in entries(again)] == ["siit0"]
            assert log.lost == 0


def test_lines_that_come_too_fast_are_counted_and_their_number_told(daemon: socket.socket, tmp_path: Path) -> None:
    now = 0.0
    clock: Callable[[], float] = lambda: now  # noqa: E731
    with closing(Journal(tmp_path / "socket", clock)) as written:
        sent = 0
        for _ in range(journal.BURST + 300):
            sent += written.write("many")
            entries(daemon)  # a datagram socket holds few
        assert sent == journal.BURST
        now += 10.0
        entries(daemon)
        assert written.write("one")
        left_out = "300 lines were left out: more than 20 a second"
        assert [entry["MESSAGE"] for entry in entries(daemon)] == [left_out, "one"]
