"""The command line in odd surroundings: nobody reads, nothing can be written, a value is empty or no number."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nfxlat import config
from nfxlat.cli import main
from nfxlat.errors import OperatorError

NFXLAT = f"{sys.executable} -m nfxlat"
TOML = '[domain.siit0]\nprefix6 = "2001:db8:64::/96"\neam-file = "eam.txt"\n'


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", ["--help", "run --help", "--version", "explain --prefix6 2001:db8::/96 192.0.2.1"])
def test_who_reads_no_more_is_not_complained_to(words: str) -> None:
    ended = shell(f"{{ sleep 0.1; {NFXLAT} {words}; echo $? >&2; }} | true")
    assert ended.stderr in ("141\n", "0\n")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("words", ["--help", "explain --prefix6 2001:db8::/96 192.0.2.1"])
def test_a_full_disk_is_one_line(words: str) -> None:
    ended = shell(f"{NFXLAT} {words} > /dev/full")
    assert ended.stderr == "nfxlat: output cannot be written: No space left on device\n"
    assert ended.returncode == 74


def test_a_closed_stdin_is_one_line() -> None:
    ended = shell(f"{NFXLAT} translate --prefix6 2001:db8::/96 - <&-")
    assert ended.stderr == "nfxlat: -: stdin is closed\n"
    assert ended.returncode == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--prefix6", ""], "--prefix6: empty value"),
        (["--prefix6", "2001:db8::/96", "--domain", ""], "--domain: empty value"),
        (["--prefix6", "2001:db8::/96", "--eam", ""], "--eam: empty value"),
        (["--prefix6", "2001:db8::/96", "--pool4", ""], "--pool4: empty value"),
        (["--prefix6", "2001:db8::/96", "--icmp-rate", "nan"], "--icmp-rate"),
        (["--prefix6", "2001:db8::/96", "--icmp-rate", "inf"], "--icmp-rate"),
        (["--prefix6", "2001:db8::/96", "--ready-fd", "999"], "--ready-fd: file descriptor 999 is not open"),
        (["--prefix6", "2001:db8::/96", "--ready-fd", "-1"], "--ready-fd: file descriptor -1 is not open"),
        (["--prefix6", "2001:db8::/96", "--ready-fd", f"{1 << 40}"], "--ready-fd"),
        (
            ["--prefix6", "2001:db8::/96", "--summary", "/nowhere/s.json"],
            "--summary /nowhere/s.json: no such directory",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_does_not_start_with_a_value_that_is_none(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["run", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("interval", ["nan", "inf", "1e10", "-1", "0"])
def test_an_interval_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], interval: str) -> None:
    assert main(["top", "--interval", interval]) == 2
    assert "--interval" in capsys.readouterr().err


def test_a_list_on_stdin_that_is_none_is_one_line() -> None:
    for given, told in (
        ("<&-", "-: stdin is closed"),
        ("< /dev/null", "stdin: the list is empty"),
        ("< FILE", "stdin: cannot be read: not UTF-8: invalid start byte"),
    ):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"\xff\n")
            file.flush()
            ended = shell(f"{NFXLAT} eam add - {given.replace('FILE', file.name)}")
        assert ended.stderr == f"nfxlat: {told}\n"
        assert ended.returncode == 2


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "-1"])
def test_a_demo_of_no_length_is_refused(capsys: pytest.CaptureFixture[str], seconds: str) -> None:
    with pytest.raises(SystemExit):
        main(["demo", "--seconds", seconds])
    assert "must be greater than 0" in capsys.readouterr().err


@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["", "BOM"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_files_of_other_systems_are_read(tmp_path: Path, bom: str, end: str) -> None:
    for name, text in (("nfxlat.toml", TOML), ("eam.txt", "192.0.2.1 2001:db8::1\n")):
        (tmp_path / name).write_bytes((bom + text.replace("\n", end)).encode())
    domain = config.load(tmp_path / "nfxlat.toml").domain()
    assert domain.eamt is not None
    assert len(domain.eamt) == 1


def test_pool6_means_prefix6() -> None:
    with pytest.raises(OperatorError, match="did you mean prefix6"):
        config.parse('[domain.siit0]\npool6 = "2001:db8:64::/96"\n', "file")


@pytest.mark.parametrize(
    "text",
    [
        f'[domain.siit0]\nprefix6 = "{"2001:db8:" * 20_000}"\n',
        f"[domain.siit0]\n{'k' * 100_000} = 1\n",
        f"[domain.{'x' * 100_000}]\n",
    ],
    ids=["value", "key", "name"],
)
def test_what_has_no_end_is_shown_by_its_beginning(text: str) -> None:
    with pytest.raises(OperatorError) as caught:
        config.parse(text, "siit0.toml")
    line = str(caught.value)
    assert line.startswith("siit0.toml: domain.")
    assert " characters)" in line
    assert len(line) < 1500
