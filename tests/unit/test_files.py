"""Files that an operator names: what hangs or does not end is refused, by every command that reads one."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from nfxlat import config, files
from nfxlat.cli import main
from nfxlat.nft.kernel import includes

TOML = '[domain.siit0]\nprefix6 = "2001:db8:64::/96"\n'


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.1)


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def refusal(path: Path | str, largest: int = files.LARGEST) -> str:
    with pytest.raises(OSError) as caught, files.opened(path, largest) as file:
        file.read()
    return caught.value.strerror or ""


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbfone\r\ntwo\n" + b"x" * 200_000)
    assert files.text(tmp_path / "f") == "one\ntwo\n" + "x" * 200_000
    assert files.text("/dev/null") == ""


def test_a_pipe_that_is_filled_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE", 30.0)
    reader, writer = os.pipe()

    def fill() -> None:
        for _ in range(100):
            os.write(writer, b"y" * 4000)
        os.close(writer)

    thread = threading.Thread(target=fill)
    thread.start()
    assert files.text(f"/dev/fd/{reader}") == "y" * 400_000
    thread.join()
    os.close(reader)


def test_a_pipe_that_nobody_fills_is_not_waited_for(tmp_path: Path) -> None:
    path = fifo(tmp_path / "fifo")
    assert "a pipe that did not come to its end within 0.1 s" in refusal(path)
    holder = os.open(path, os.O_RDWR)
    os.write(holder, b"some of it")
    assert "a pipe that did not come to its end" in refusal(path)
    os.close(holder)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/full", "/dev/urandom", "/dev/tty", "/dev/ptmx"])
def test_a_device_is_no_file(path: str) -> None:
    assert refusal(path) in ("it is a device, not a file", os.strerror(6))


def test_what_is_too_large_or_no_name_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(8 << 20)
    assert refusal(tmp_path / "sparse", largest=4 << 20) == "it is larger than 4 MB"
    assert "null" in refusal(f"{tmp_path}/a\0b")
    assert refusal(tmp_path) == "Is a directory"


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    refusal("/dev/zero")
    refusal(fifo(tmp_path / "fifo"))
    files.text("/dev/null")
    assert os.listdir("/proc/self/fd") == before


def config_is(path: str, folder: Path) -> list[str]:
    return ["--config", path]


def eam_file_is(path: str, folder: Path) -> list[str]:
    (folder / "nfxlat.toml").write_text(f'{TOML}eam-file = "{path}"\n')
    return ["--config", str(folder / "nfxlat.toml")]


@pytest.mark.parametrize("path", ["fifo", "/dev/zero", "/dev/tty", "a\\u0000b"])
@pytest.mark.parametrize("given", [config_is, eam_file_is])
@pytest.mark.parametrize("command", ["run", "translate", "explain", "rules check", "rules compile"])
def test_no_command_waits_for_a_configuration(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    given: Callable[[str, Path], list[str]],
    path: str,
) -> None:
    if path == "fifo":
        path = str(fifo(tmp_path / "fifo"))
    operands = {"translate": ["in.pcap"], "explain": ["192.0.2.1"]}.get(command.split()[0], [])
    if command.startswith("rules"):
        (tmp_path / "t.nft").write_text("table ip t {\n}\n")
        operands = [str(tmp_path / "t.nft")]
    if given is config_is:
        path = path.replace("\\u0000", "\0")
    assert main([*command.split(), *given(path, tmp_path), *operands]) == 2
    said = capsys.readouterr().err
    assert "cannot be read: " in said or "is not a file name" in said
    assert said.count("\n") == 1


def test_no_domain_is_added_with_an_eam_file_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["prefix6", "2001:db8:64::/96", "eam-file", str(fifo(tmp_path / "fifo"))]
    assert main(["domain", "add", "siit0", *words]) == 2
    assert "eam-file" in capsys.readouterr().err


@pytest.mark.parametrize("included", [False, True])
@pytest.mark.parametrize("command", ["check", "compile", "load"])
def test_no_rules_are_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, included: bool
) -> None:
    path = fifo(tmp_path / "fifo.nft")
    if included:
        path = tmp_path / "t.nft"
        path.write_text('include "fifo.nft"\n')
    assert main(["rules", command, str(path)]) == 2
    said = capsys.readouterr().err
    assert ("which is no file" if included else "cannot be read: ") in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_includes_of_other_systems_are_handed_on_as_nft_reads_them(tmp_path: Path, bom: bytes, end: bytes) -> None:
    text = 'include "a.nft" # both\ndefine x = 1\n'
    (tmp_path / "a.nft").write_bytes(bom + b'include "b.nft"' + end)
    (tmp_path / "b.nft").write_bytes(bom + b"table ip t {" + end + b"}" + end)
    with includes.staged(text, str(tmp_path / "rules.nft")) as (staged, names):
        if bom or end != b"\n":
            assert sorted(names.values()) == [str(tmp_path / name) for name in ("a.nft", "b.nft")]
            inside = {name: Path(memory).read_bytes() for memory, name in names.items()}
            assert inside[str(tmp_path / "b.nft")] == b"table ip t {\n}\n"
            assert staged.count("\n") == 2
            assert "/proc/self/fd/" in staged
        else:
            assert (staged, names) == (text, {})
    assert staged.replace("\n", "").endswith("define x = 1")
    named = str(tmp_path / "a.nft")
    assert list(includes.read("b.nft", named, named)) == [(str(tmp_path / "b.nft"), "table ip t {\n}\n")]


def test_nested_includes_are_sought_where_nft_seeks_them(tmp_path: Path) -> None:
    """By the folder of the file that it is given, behind its symlinks, and not by that of the one that includes."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.nft").write_bytes(b'include "b.nft"\r\n')
    (tmp_path / "d" / "b.nft").write_bytes(b"table ip another {\r\n}\r\n")
    (tmp_path / "b.nft").write_bytes(b"table ip t {\r\n}\r\n")
    text = 'include "d/a.nft"\n'
    (tmp_path / "rules.nft").write_text(text)
    link = tmp_path / "d" / "link.nft"
    link.symlink_to(tmp_path / "rules.nft")
    for name in map(str, (tmp_path / "rules.nft", link)):
        with includes.staged(text, name) as (_, names):
            assert sorted(names.values()) == [str(tmp_path / "b.nft"), str(tmp_path / "d" / "a.nft")]
        (found,) = includes.read("b.nft", str(tmp_path / "d" / "a.nft"), name)
        assert found == (str(tmp_path / "b.nft"), "table ip t {\n}\n")


def test_the_files_of_a_configuration_are_known_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        TOML + 'eam-file = "one.eam"\n[domain.siit1]\neam-file = "/etc/two.eam"\n[domain.siit2]\neam-file = 3\n'
    )
    assert list(config.sources(path)) == [path, tmp_path / "one.eam", Path("/etc/two.eam")]
    path.write_text("[domain]\nsiit0 = 1\n")
    assert list(config.sources(path)) == [path]
    assert list(config.sources(tmp_path / "none")) == [tmp_path / "none"]


def test_a_fault_without_an_effect_is_still_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = "type filter hook prerouting priority -450; ip daddr 192.0.2.1 xlat to 2001:db8:64::/95"
    file = tmp_path / "x.nft"
    file.write_text(f"table ip t {{\n\tchain c {{ {rule}; }}\n}}\n", encoding="utf-8")
    assert main(["rules", "compile", str(file)]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith("has length 95, not one of 32 40 48 56 64 96 (RFC 6052 2.2); such as 2001:db8:64::/96")
