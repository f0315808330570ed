"""`nfxlat trace`, beside a translator at work.

host4 --- router4 --- translator --- router6 --- host6
"""

import contextlib
import itertools
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nfxlat.cli import main
from nfxlat.cli.exit_status import LACKING
from nfxlat.cli.translators import only_line
from nfxlat.datapath.trace_filter import Filter
from nfxlat.errors import OperatorError
from nfxlat.lab.datagram import UdpEcho, exchange, path_mtu
from nfxlat.lab.netns import Namespace, end_processes, wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import (
    HOST4,
    HOST4_6,
    HOST6,
    HOST6_4,
    HOST6_EAM4,
    HOST6_NARROW,
    HOST6_NARROW_4,
    HOST6_PREFIX,
    Lab,
)
from nfxlat.offline.capture import opened
from nfxlat.service.tracing import READERS

TRACE = [sys.executable, "-m", "nfxlat", "trace"]
NUMBERS = itertools.count()


class Tracer:
    """`nfxlat trace` in the translator's namespace; the translator knows it when this is made."""

    def __init__(self, lab: Lab, process: TranslatorProcess, *words: str) -> None:
        number = next(NUMBERS)
        self._out, self._err = lab.directory / f"trace-{number}.out", lab.directory / f"trace-{number}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = lab.translator.popen(
                [*TRACE, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(os.environ, TZ="UTC")
            )
        self._namespace = lab.translator
        process.told(f"trace: begun by pid {self.process.pid}")

    def lines(self) -> list[str]:
        return self._out.read_text().splitlines()

    def shown(self, number: int) -> list[dict[str, Any]]:
        """So many, of one that tells JSON."""
        wait_for(lambda: self._out.read_bytes().count(b"\n") >= number, f"{number} packets")
        return [json.loads(line) for line in self.lines()]

    def end(self, number: int = signal.SIGINT) -> str:
        """What it says last, on stderr."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> str:
        self.process.wait(30)
        self._namespace.processes.remove(self.process)
        return self._err.read_text().strip()


@contextlib.contextmanager
def tracer(lab: Lab, process: TranslatorProcess, *words: str) -> Iterator[Tracer]:
    made = Tracer(lab, process, *words)
    try:
        yield made
    finally:
        end_processes([made.process])
        with contextlib.suppress(ValueError):
            lab.translator.processes.remove(made.process)
        process.told(f"trace: ended by pid {made.process.pid}")


def unchecked_datagram(lab: Lab, target: str) -> None:
    """Of UDP without a checksum, which is dropped (RFC 7915 4.5)."""
    with lab.host4.entered():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    with raw:
        raw.sendto(struct.pack("!HHHH", 5000, 53, 9, 0) + b"x", (target, 0))


def test_what_comes_and_what_becomes_of_it_is_shown(shared_lab: Lab, shared_process: TranslatorProcess) -> None:
    with tracer(shared_lab, shared_process) as text, tracer(shared_lab, shared_process, "--json", HOST6) as numbers:
        assert shared_lab.host4.call(ping, HOST6_EAM4, count=1).ok
        there, back = numbers.shown(2)
        unchecked_datagram(shared_lab, HOST6_EAM4)
        *_, lost = numbers.shown(3)
        wait_for(lambda: "  IPv4 UDP without a checksum" in text.lines(), "the third as text too")
        assert text.end() == "nfxlat: 3 packets shown: stopped"
        lines = text.lines()
    assert (there["direction"], there["interface"], there["lengths"]) == ("4to6", "to-r4", [104])
    assert (back["direction"], back["interface"], back["action"]) == ("6to4", "to-r6", "translated")
    assert (lost["action"], lost["reason"], lost["packets"]) == ("dropped", "udp_zero_checksum", [])
    assert lines[0].endswith(f"{HOST4} > {HOST6_EAM4} ICMP echo request (8/0), 84 octets")
    assert lines[1] == "  translated (RFC 7915 4, 5); prerouting to-r4, worker 0"
    assert lines[2] == f"  => {HOST4_6} > {HOST6} ICMPv6 echo request (128/0), 104 octets"
    assert lines[-2:] == [
        "  dropped: udp_zero_checksum (RFC 7915 4.5); prerouting to-r4, worker 0",
        "  IPv4 UDP without a checksum",
    ]


def test_only_what_is_asked_for_is_shown(shared_lab: Lab, shared_process: TranslatorProcess) -> None:
    """By address of the other family, protocol, port, and loss."""
    filters = (("--dropped",), (HOST6_PREFIX, "udp"), ("port", "53"), ("--reason", "translated", "icmp"))
    with contextlib.ExitStack() as stack:
        tracers = [
            stack.enter_context(tracer(shared_lab, shared_process, "--json", "--seconds", "30", *words))
            for words in filters
        ]
        assert shared_lab.host4.call(ping, HOST6_4, count=1).ok
        unchecked_datagram(shared_lab, HOST6_EAM4)
        with UdpEcho(shared_lab.host6, HOST6_PREFIX) as echo:
            assert shared_lab.host4.call(exchange, HOST6_4, echo.port, 100).ok
        losses, udp, port, icmp = (one.shown(count) for one, count in zip(tracers, (1, 2, 1, 2), strict=True))
        for one in tracers:
            one.end()
    assert [one["reason"] for one in losses] == ["udp_zero_checksum"]
    assert [(one["direction"], one["fast"]) for one in udp] == [("4to6", True), ("6to4", True)]
    assert [one["reason"] for one in port] == ["udp_zero_checksum"]
    assert [one["direction"] for one in icmp] == ["4to6", "6to4"]


def test_an_error_of_a_router_on_the_way_is_part_of_the_conversation(
    shared_lab: Lab, shared_process: TranslatorProcess
) -> None:
    """Path MTU Discovery by router6, whose address is none of the two that are asked for."""
    with (
        UdpEcho(shared_lab.host6, HOST6_NARROW) as echo,
        tracer(shared_lab, shared_process, HOST4, HOST6_NARROW_4, "udp", "port", str(echo.port)) as one,
    ):

        def told() -> list[str]:
            shared_lab.host4.ip("route flush cache")
            shared_lab.host4.call(path_mtu, HOST6_NARROW_4, echo.port)
            return [line for line in one.lines() if "packet too big (2/0), MTU 1400" in line]

        wait_for(told, "Packet Too Big to be shown")
        about = f"  about {HOST4_6} port "
        assert any(line.startswith(about) and f"> {HOST6_NARROW} port {echo.port} UDP" in line for line in one.lines())


def test_it_ends_by_itself_and_leaves_out_what_is_too_much(shared_lab: Lab, shared_process: TranslatorProcess) -> None:
    with (
        tracer(shared_lab, shared_process, "--count", "3") as counted,
        tracer(shared_lab, shared_process, "--rate", "1", "--seconds", "2.5") as slow,
    ):
        assert shared_lab.host4.call(ping, HOST6_4, count=10, timeout=3).ok
        assert counted.ended() == "nfxlat: 3 packets shown: --count is reached"
        assert "packets shown" in slow.ended()
        assert len([line for line in slow.lines() if not line.startswith(" ")]) < 20


def test_a_capture_of_both_sides(shared_lab: Lab, shared_process: TranslatorProcess) -> None:
    path = shared_lab.directory / "both.pcapng"
    with tracer(shared_lab, shared_process, "--write", str(path), "--count", "2") as one:
        assert shared_lab.host4.call(ping, HOST6_4, count=1).ok
        one.ended()
    with opened(str(path)) as (capture, _):
        packets = [record.data for record in capture]
    assert [(packet[0] >> 4, len(packet)) for packet in packets] == [(4, 84), (6, 104), (6, 104), (4, 84)]
    assert b"translated: translated (RFC 7915 4, 5)" in path.read_bytes()


def test_who_is_one_too_many_is_told(shared_lab: Lab, shared_process: TranslatorProcess) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(READERS):
            stack.enter_context(tracer(shared_lab, shared_process, "port", str(number)))
        refused = shared_lab.translator.run(TRACE, check=False)
    assert refused.returncode == 2
    assert f"{READERS} others trace already (pid " in refused.stderr


def test_a_filter_that_is_none_is_refused(shared_lab: Lab, shared_process: TranslatorProcess) -> None:
    with shared_lab.translator.entered(), only_line("siit0") as line:
        for wanted in ("nonsense", 5, None, "\ud800"):
            with pytest.raises(OperatorError, match="this is no filter"):
                line.ask("trace", wanted=wanted)
        line.ask("trace", wanted=Filter().encode().decode())
        with pytest.raises(OperatorError, match="traces already"):
            line.ask("trace", wanted=Filter().encode().decode())
    assert shared_lab.host4.call(ping, HOST6_4, count=1).ok


def test_one_that_asks_for_more_on_its_connection_traces_no_longer_than_it_is_there(
    shared_lab: Lab, shared_process: TranslatorProcess
) -> None:
    with shared_lab.translator.entered():
        for _ in range(READERS + 1):
            ended = shared_process.output().count(f"trace: ended by pid {os.getpid()}")
            with only_line("siit0") as line:
                line.ask("trace", wanted=Filter().encode().decode())
                line.ask("mappings")
            shared_process.told(f"trace: ended by pid {os.getpid()}", ended + 1)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nonsense"], "filter: nonsense: not a word of a filter"),
        (["--reason", "nonsense"], "--reason nonsense: no such reason"),
        (["--count", "-1"], "--count: a number from 0"),
        (["--seconds", "nan"], "--seconds: a number of seconds above 0"),
        (["--rate", "10000000"], "--rate: a number from 0 to 1000000"),
        (["--domain", "siit9"], "no translator is running for siit9; what runs is siit0"),
        (["--dropped", "--reason", "translated"], "--reason translated: is never a reason for a drop; leave --dropped"),
        (["--write", "/nonexistent/x"], "/nonexistent/x: cannot be written: No such file or directory"),
    ],
)
def test_mistakes_are_one_line(
    shared_lab: Lab, shared_process: TranslatorProcess, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    with shared_lab.translator.entered():
        assert main(["trace", *words]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert line in told


def test_a_full_disk_is_told_with_the_name_of_the_file(
    shared_lab: Lab, shared_process: TranslatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    with shared_lab.translator.entered():
        assert main(["trace", "--write", "/dev/full"]) == LACKING
    assert capsys.readouterr().err == "nfxlat: /dev/full: cannot be written: No space left on device\n"


def test_where_nothing_runs_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with Namespace("none") as namespace, namespace.entered():
        assert main(["trace"]) == 2
    assert "no translator is running" in capsys.readouterr().err


def test_it_goes_on_with_the_next_worker_and_ends_with_the_translator(
    lab: Lab, process: TranslatorProcess, tmp_path: Path
) -> None:
    with tracer(lab, process, "--json", "--seconds", "600") as one:
        (worker,) = process.workers()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: process.workers() not in ([], [worker]), "another worker")
        assert lab.host4.call(ping, HOST6_4, count=1, timeout=5).ok
        assert len(one.shown(2)) >= 2
        process.stop()
        assert one.ended().endswith("packets shown: the translator has ended")


@pytest.mark.parametrize("run_arguments", [("--offload",)])
def test_offloaded_flows_are_shown_while_somebody_looks(lab: Lab, process: TranslatorProcess) -> None:
    def translated() -> int:
        found = process.summary()["offload"]
        return int(found["4to6"]["translated"]) + int(found["6to4"]["translated"])

    with UdpEcho(lab.host6, HOST6_PREFIX) as echo:

        def crossed(number: int = 1) -> bool:
            before = translated()
            for _ in range(number):
                assert lab.host4.call(exchange, HOST6_4, echo.port, 100).ok
            return translated() > before

        wait_for(crossed, "a datagram in the kernel")
        with tracer(lab, process, "--json", HOST6_4, "udp") as one:
            assert not crossed(5)
            assert len(one.shown(10)) == 10
        wait_for(crossed, "a datagram in the kernel again")
        with tracer(lab, process, "--json", "--dropped"):  # these are none
            wait_for(lambda: crossed(2), "a datagram in the kernel still")  # unused for long enough it is forgotten
