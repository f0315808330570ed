"""Lists of mappings for a running translator, and the eam-file that they are saved in."""

import io
import os
from pathlib import Path

import pytest

from nfxlat import cli
from nfxlat.cli.eam import _given
from nfxlat.errors import OperatorError
from nfxlat.service import eam_file
from nfxlat.service.eam_changes import added, entries, removed
from nfxlat.xlat.eamt import Eamt

ONE, TWO, NET = "203.0.113.1 2001:db8::1", "203.0.113.2 2001:db8::2", "198.51.100.0/24 2001:db8:1::/120"
FILE = f"# ours\n{ONE}  # a comment\n\n{NET}\n"


def table(*lines: str) -> Eamt:
    return Eamt(entries("\n".join(lines), "a list"))


def test_entries_are_those_of_the_table() -> None:
    eamt = table(ONE, NET, TWO)
    as_numbers = [(int(v4.network_address), v4.prefixlen, int(v6.network_address), v6.prefixlen) for v4, v6 in eamt]
    assert list(eamt.entries()) == as_numbers
    assert Eamt(eamt.entries()) == eamt


def test_a_list_is_added_and_removed_as_a_whole() -> None:
    assert added(table(ONE), f"{TWO}\n{NET}\n", "a list") == table(ONE, TWO, NET)
    assert removed(table(ONE, TWO, NET), f"{ONE}\n{NET}\n", "a list") == table(TWO)
    assert added(table(ONE), "# nothing\n", "a list") == table(ONE)


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (f"{TWO}\n{ONE}\n", "a list:2", "has the same IPv4 prefix"),
        (f"{TWO}\n203.0.113.9\n", "a list:2", "expected a pair"),
        ("127.0.0.1 2001:db8::9\n", "a list:1", "never translated"),
        ("203.0.113.9 2001:db8::/120\n", "a list:1", ""),
    ],
)
def test_what_is_wrong_in_a_list_is_its_line(text: str, where: str, what: str) -> None:
    if not what:
        assert len(added(table(ONE), text, "a list")) == 2  # a suffix that is longer is right
        return
    with pytest.raises(OperatorError, match=what) as caught:
        added(table(ONE), text, "a list")
    assert caught.value.where == where


def test_what_is_not_there_is_not_removed() -> None:
    with pytest.raises(OperatorError, match=r"no EAM 203\.0\.113\.2/32 2001:db8::3/128"):
        removed(table(ONE, TWO), f"{ONE}\n203.0.113.2 2001:db8::3\n", "a list")


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    (tmp_path / "siit0.eam").write_text(FILE)
    (tmp_path / "siit0.eam").chmod(0o640)
    file = tmp_path / "siit0.toml"
    file.write_text('[domain.siit0]\nprefix6 = "2001:db8:64::/96"\neam = [["192.0.2.1", "2001:db8::a"]]\n')
    with file.open("a") as more:
        more.write('eam-file = "siit0.eam"\n')
    return file


def test_a_file_keeps_its_comments_and_its_mode(configuration: Path) -> None:
    path = configuration.with_name("siit0.eam")
    with eam_file.changing(configuration, "siit0", "add", f"{TWO}\n", "x") as found:
        assert found == path
        assert path.read_text() == FILE  # not before the translator has it
    assert path.read_text() == f"{FILE}203.0.113.2/32 2001:db8::2/128\n"
    with eam_file.changing(configuration, "siit0", "del", f"{TWO}\n{ONE}\n", "x"):
        pass
    assert path.read_text() == f"# ours\n\n{NET}\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(path.parent)) == ["siit0.eam", "siit0.toml"]


def test_what_is_refused_leaves_the_file_and_nothing_beside_it(configuration: Path) -> None:
    def refused(do: str, text: str) -> str:
        with (
            pytest.raises(OperatorError) as caught,
            eam_file.changing(configuration, "siit0", do, text, "stdin"),
        ):
            raise OperatorError("the translator refuses")
        return str(caught.value)

    assert "the translator refuses" in refused("add", f"{TWO}\n")
    assert "same IPv4 prefix" in refused("add", "203.0.113.1 2001:db8::9\n")
    assert "same IPv4 prefix" in refused("add", "192.0.2.1 2001:db8::9\n")  # of the configuration itself
    assert "there is no line 192.0.2.1/32" in refused("del", "192.0.2.1 2001:db8::a\n")
    assert configuration.with_name("siit0.eam").read_text() == FILE
    assert sorted(os.listdir(configuration.parent)) == ["siit0.eam", "siit0.toml"]


def test_without_an_eam_file_there_is_nothing_to_save_in(configuration: Path) -> None:
    configuration.write_text('[domain.siit0]\nprefix6 = "2001:db8:64::/96"\n')
    with pytest.raises(OperatorError, match="has no eam-file"):
        eam_file.of(configuration, "siit0")
    configuration.unlink()
    with pytest.raises(OperatorError, match="cannot be read"):
        eam_file.of(configuration, "siit0")


def test_pairs_are_written_in_two_ways() -> None:
    wanted = "203.0.113.1 2001:db8::1\n203.0.113.2 2001:db8::2\n"
    for words in (["203.0.113.1=2001:db8::1", "203.0.113.2=2001:db8::2"], [*ONE.split(), *TWO.split()]):
        assert _given(words) == (wanted, "the arguments")


@pytest.mark.parametrize("words", ["203.0.113.1", "203.0.113.1 2001:db8::1 -", "203.0.113.1="])
def test_half_a_pair_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eam", "add", *words.split()]) == 2
    assert "expected pairs" in capsys.readouterr().err


def test_a_list_of_another_system_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = f"\ufeff{ONE}\r\n{TWO}\r\n".encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(octets)))
    assert _given(["-"]) == (f"{ONE}\n{TWO}\n", "stdin")


def test_a_translator_that_does_not_run_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eam", "list", "--domain", "nobody"]) == 2
    assert capsys.readouterr().err.startswith("nfxlat: this network namespace: no translator is running for nobody")


def test_what_is_no_file_is_not_replaced(configuration: Path) -> None:
    """As /dev/null, which is read as an empty file."""
    path = configuration.parent / "null"
    os.mkfifo(path)
    configuration.write_text(configuration.read_text().replace("siit0.eam", "null"))
    with pytest.raises(OperatorError, match=r"siit0\.eam-file: not a regular file"):
        eam_file.of(configuration, "siit0")
