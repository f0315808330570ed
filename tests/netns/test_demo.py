"""`nfxlat demo`: every line of its table holds, it fails when translation fails, and it leaves nothing behind."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nfxlat.host.netns import in_namespace
from nfxlat.lab import leftovers
from nfxlat.lab.probe import ping

pytestmark = pytest.mark.quiet

SMALL = ("--size", "24", "--seconds", "0.3", "--rounds", "1")
LINES = [
    "ping (prefix6)",
    "ping (EAM)",
    "UDP small",
    "UDP in fragments",
    "traceroute",
    "path MTU discovery",
    "closed UDP port",
    "unreachable host",
    "HTTP download, SHA-256",
    "TCP bulk",
]


class Demo:
    """A running `nfxlat demo --json`."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "nfxlat", "demo", "--json", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def __enter__(self) -> "Demo":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()
        leftovers.clean(self.pid)

    def wait_for_line(self, pattern: str) -> str:
        """Read what it tells while it works, up to a line that matches."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if re.search(pattern, line):
                return line
        raise AssertionError(f"it never said {pattern}")

    def end(self, timeout: float = 90.0) -> tuple[int, str, str]:
        """Its exit status, stdout and the rest of stderr."""
        output, errors = self.process.communicate(timeout=timeout)
        return self.process.returncode, output, errors

    def translator(self) -> int:
        """The pid of its `nfxlat run`."""
        for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            words: list[str] = []
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # an ip(8) that has gone
                words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            if words[2:5] == ["-m", "nfxlat", "run"]:
                return int(pid)
        raise AssertionError("it has no nfxlat run")

    def traces(self) -> list[str]:
        """What it has left: names under /run."""
        own = [*Path("/run/netns").glob(f"nfx-{self.pid:x}-*"), *Path("/run").glob(f"nfx-{self.pid:x}*")]
        return sorted(str(path) for path in own)


def outer_traces(inode: int) -> list[str]:
    """What a translator in the namespace `inode` has left outside of it."""
    left = [*Path("/run/netns").glob(f"nfxlat-*-{inode}"), *Path("/run/nfxlat").glob(f"*-{inode}.json")]
    return sorted(str(path) for path in left)


@pytest.fixture
def demo() -> Iterator[Demo]:
    """A demo at work on its first lines."""
    with Demo(*SMALL) as demo:
        demo.wait_for_line(r"^ping .*: ok")
        yield demo


@pytest.fixture(scope="module")
def finished() -> tuple[int, dict[str, Any], str, list[str]]:
    """One whole demo: exit status, its JSON, its text, what it left."""
    with Demo(*SMALL) as demo:
        status, output, text = demo.end()
        return status, json.loads(output), text, demo.traces()


Finished = tuple[int, dict[str, Any], str, list[str]]


@pytest.mark.parametrize("direction", ["4to6", "6to4"])
@pytest.mark.parametrize("what", LINES)
def test_line_holds(finished: Finished, what: str, direction: str) -> None:
    lines = [
        line for line in finished[1]["lines"] if line["what"] == what and (":" in line["from"]) == (direction == "6to4")
    ]
    assert len(lines) == 1
    assert lines[0]["ok"], lines[0]["figure"]


def test_demo_exits_0_and_leaves_nothing(finished: Finished) -> None:
    status, result, text, traces = finished
    assert (status, result["ok"], traces) == (0, True, [])
    assert "all checks passed" in text
    assert len(result["lines"]) == 2 * len(LINES)


def test_demo_names_the_rule_path(finished: Finished) -> None:
    _, result, text, _ = finished
    assert result["rule_path"] in ("native", "compat")
    assert "queue rule: " in text


def test_path_mtus_are_those_of_the_narrow_links(finished: Finished) -> None:
    """RFC 7915 4.2, 5.2: the MTU in the error, minus or plus the 20 octets between the headers."""
    steps = [line["values"]["steps"] for line in finished[1]["lines"] if line["what"] == "path MTU discovery"]
    assert steps == [[1500, 1480, 1380], [1500, 1420]]


def test_traceroute_names_the_ipv6_router_behind_its_pool_address(finished: Finished) -> None:
    hops = next(line["values"]["hops"] for line in finished[1]["lines"] if line["what"] == "traceroute")
    address, node = hops[2]
    assert address.startswith(("203.0.113.24", "203.0.113.25"))
    assert node == "2001:db8:1::2"


def test_bulk_transfers_pass_as_superframes(finished: Finished) -> None:
    shares = [line["values"]["superframe_share"] for line in finished[1]["lines"] if line["what"] == "TCP bulk"]
    assert len(shares) == 2
    assert min(shares) >= 0.9


@pytest.mark.parametrize("arguments", [("--inject", "ip"), ("--source", "netfilterqueue")])
def test_demo_holds_on_the_other_data_paths(arguments: tuple[str, str]) -> None:
    with Demo(*SMALL, *arguments) as demo:
        status, output, text = demo.end()
        assert demo.traces() == []
    assert [line["what"] + ": " + line["figure"] for line in json.loads(output)["lines"] if not line["ok"]] == []
    assert status == 0, text


def test_a_translator_that_dies_fails_the_demo(demo: Demo) -> None:
    inode = os.stat(f"/run/netns/nfx-{demo.pid:x}-translator").st_ino
    os.kill(demo.translator(), signal.SIGKILL)
    status, output, text = demo.end()
    assert status == 1
    assert "FAILED" in text
    result = json.loads(output)
    assert result["ok"] is False
    assert "nfxlat run has ended" in result["lines"][-1]["figure"]
    assert any("ready" in text for text in result["trouble"])
    assert demo.traces() == outer_traces(inode) == []


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_the_demo_and_leaves_nothing(demo: Demo, number: signal.Signals, expected: int) -> None:
    inode = os.stat(f"/run/netns/nfx-{demo.pid:x}-translator").st_ino
    inside = leftovers.processes_in(inode)
    assert inside
    demo.process.send_signal(number)
    status, output, text = demo.end(60)
    assert (status, output) == (expected, "")
    assert "Traceback" not in text
    assert demo.traces() == outer_traces(inode) == []
    assert not any(leftovers.runs(pid) for pid in inside)


def test_keep_leaves_a_working_lab_and_clean_removes_it() -> None:
    with Demo(*SMALL, "--keep") as demo:
        status, output, text = demo.end()
        assert status == 0, text
        kept = json.loads(output)["kept"]
        assert len(demo.traces()) == 6
        inode = os.stat(f"/run/netns/{kept['namespaces']['translator']}").st_ino
        assert kept["pid"] in leftovers.processes_in(inode)
        assert f"ip netns exec {kept['namespaces']['translator']} " in text
        with in_namespace(kept["namespaces"]["host4"]):
            assert ping("198.51.100.2").ok
        clean = [sys.executable, "-m", "nfxlat", "demo", "--clean", kept["lab"]]
        assert subprocess.run(clean, timeout=60, stdout=subprocess.DEVNULL).returncode == 0
        assert demo.traces() == outer_traces(inode) == []
        assert not leftovers.runs(kept["pid"])


def test_a_worker_that_died_fails_the_demo_though_every_line_holds(demo: Demo) -> None:
    translator = demo.translator()
    worker = int(Path(f"/proc/{translator}/task/{translator}/children").read_text().split()[0])
    os.kill(worker, signal.SIGKILL)
    status, output, text = demo.end()
    assert status == 1
    assert json.loads(output)["summary"]["workers_restarted"] == 1
    assert "one of its workers died" in text


def test_unknown_lab_is_one_line_and_exit_2() -> None:
    command = [sys.executable, "-m", "nfxlat", "demo", "--clean", "no-such-lab"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
