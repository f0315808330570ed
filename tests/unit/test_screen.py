"""What goes to a terminal: control characters never, and on a narrow or dumb one it can be read."""

import io
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rich.console import Console
from scapy.layers.inet import IP, UDP
from scapy.utils import wrpcap
from told_summary import summary

from nfxlat.cli import doctor, main, screen, top, translators
from nfxlat.service.diagnosis import Diagnosis, State
from nfxlat.service.status import Running

ESCAPE = "\x1b]0;owned\x07"
RULES = f"""\
table ip mine {{
	comment "{ESCAPE}"
	chain c {{
		type nat hook prerouting priority -100;
		ip daddr 198.51.100.0/24 xlat to siit0 comment "{ESCAPE}"
	}}
}}
"""
TOML = '[domain.siit0]\nprefix6 = "2001:db8:64::/96"\npool4 = ["198.51.100.0/24"]\n'


def on_a_terminal(*arguments: str, columns: int = 60, term: str = "xterm") -> str:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    parts: list[bytes] = []

    def read() -> None:
        try:
            while part := os.read(ours, 1 << 16):
                parts.append(part)
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": term}
    command = [sys.executable, "-m", "nfxlat", *arguments]
    subprocess.run(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, timeout=60, check=False)
    os.close(theirs)
    reader.join()
    os.close(ours)
    return b"".join(parts).decode()


@pytest.mark.parametrize("verb", ["check", "compile", "load"])
def test_control_characters_of_rules_reach_no_terminal(tmp_path: Path, verb: str) -> None:
    file = tmp_path / f"{ESCAPE}.nft"
    file.write_text(RULES)
    (tmp_path / "c.toml").write_text(TOML)
    said = on_a_terminal("rules", verb, str(file), "--config", str(tmp_path / "c.toml"))
    assert "nat" in said
    assert ESCAPE not in said
    assert "\x1b]" not in said


def test_what_is_compiled_for_nft_stays_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "t.nft"
    file.write_text(f'table ip mine {{\n\tcomment "{ESCAPE}"\n}}\n')
    done = subprocess.run(
        [sys.executable, "-m", "nfxlat", "rules", "compile", str(file)], capture_output=True, check=True
    )
    assert ESCAPE in done.stdout.decode()
    shown = on_a_terminal("rules", "compile", str(file))
    assert ESCAPE not in shown
    assert "\t" in shown


@pytest.mark.parametrize("command", ["translate -v", "explain", "explain --json"])
def test_control_characters_of_captures_reach_no_terminal(tmp_path: Path, command: str) -> None:
    capture = tmp_path / f"{ESCAPE}.pcap"
    wrpcap(str(capture), [IP(src="192.0.2.1", dst="198.51.100.1") / UDP() / ESCAPE.encode()])
    (tmp_path / "c.toml").write_text(TOML)
    said = on_a_terminal(*command.split(), "--config", str(tmp_path / "c.toml"), str(capture))
    assert "translated" in said
    assert "\x1b]" not in said
    capture.write_bytes(b"no capture")
    said = on_a_terminal(*command.split(), "--config", str(tmp_path / "c.toml"), str(capture))
    assert "\x1b]" not in said


def finding(text: str) -> Diagnosis:
    return Diagnosis(f"GRO of {text}", State.NOTE, f"found {text}", f"meaning {text}", f"nfxlat doctor {text}")


@pytest.mark.parametrize("columns", [60, 140])
def test_control_characters_and_markup_of_names_reach_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=columns, highlight=False)
    monkeypatch.setattr(doctor, "_console", lambda: console)
    monkeypatch.setattr(
        "nfxlat.service.doctor.examine", lambda _: [finding(f"eth{ESCAPE}"), finding("[red]eth1[/red]")]
    )
    main(["doctor"])
    said = out.getvalue()
    assert "\x1b]" not in said
    assert "GRO of [red]eth1[/red]" in "".join(said.split("\n")) or "[red]eth1" in said


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_narrow_terminal_is_kept_to(tmp_path: Path, term: str) -> None:
    capture = tmp_path / "c.pcap"
    wrpcap(str(capture), [IP(src="127.0.0.1", dst="198.51.100.1") / UDP()])
    (tmp_path / "c.toml").write_text(TOML)
    said = on_a_terminal("translate", "--config", str(tmp_path / "c.toml"), str(capture), term=term)
    assert all(len(line) <= 60 for line in said.splitlines()), said
    assert "dropped: martian_source" in said
    assert "the source address must never appear on the wire" in said
    assert "…" not in said


LONG = "2001:db8:1111:2222:3333:4444:5555:"
BUSIEST = [["6to4", "198.51.100.2", "192.0.2.2", 123_456_789, 10**12], ["4to6", f"{LONG}1", f"{LONG}2", 1, 1]]
ANSWER = summary(counting={"busiest": BUSIEST})


@pytest.mark.parametrize(("term", "columns"), [("xterm", 80), ("xterm", 60), ("dumb", 80)])
def test_top_shows_itself_on_dumb_and_narrow_terminals(
    monkeypatch: pytest.MonkeyPatch, term: str, columns: int
) -> None:
    out = io.StringIO()
    monkeypatch.setenv("TERM", term)
    narrow = Console(file=out, force_terminal=True, width=columns, height=50)
    monkeypatch.setattr(screen, "console", lambda: narrow)
    monkeypatch.setattr(translators, "running", lambda: [Running("siit0", 1)])
    monkeypatch.setattr(top, "ask", lambda one: ANSWER)
    assert main(["top", "--interval", "0.1", "--count", "2"]) == 0
    said = out.getvalue()
    if term == "dumb":
        assert "\x1b" not in said
        assert all(len(line) <= columns for line in said.splitlines()), said
        assert said.count("6to4 198.51.100.2 > 192.0.2.2") == 2
        assert "8,000,000.0" in said
        assert "queue 7: lost (full)" in said
        assert "4to6 rejected: packet_too_big" in said
    assert "123,456,789" in said
    assert "…" not in said


def test_top_tells_rates_of_what_was_started_anew_from_0() -> None:
    assert top._Growing(1000, 1500, 2.0).rate == 250
    assert top._Growing(1000, 300, 2.0).rate == 150
    assert top._Growing(1000, 1000, 0.0).rate == 0


def test_lines_and_cells_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    screen.say(f"one{ESCAPE}", "two")
    assert capsys.readouterr().out == "one\\x1b]0;owned\\x07\ntwo\n"
    assert screen.cell(f"[b]{ESCAPE}").plain == "[b]\\x1b]0;owned\\x07"
