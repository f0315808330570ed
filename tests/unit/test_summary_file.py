"""The summary's file: whole, no link followed, nothing left beside it."""

import json
import os
from pathlib import Path

import pytest

from nfxlat.errors import OperatorError
from nfxlat.service import summary_file


def test_it_is_put_in_the_place_of_the_former(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    for number in (1, 2):
        summary_file.write(path, json.dumps(number))
        assert path.read_text() == str(number)
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_its_place_is_replaced_and_what_it_points_to_is_kept(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "s.json"
    victim.write_text("precious")
    path.symlink_to(victim)
    summary_file.write(path, "{}")
    assert victim.read_text() == "precious"
    assert not path.is_symlink()
    assert path.read_text() == "{}"


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to a pipe", "in /dev", "root", "nothing"])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path = tmp_path / "s.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to a pipe":
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    elif kind == "in /dev":  # as /dev/stdout, which may be a file
        (tmp_path / "out").touch()
        path.symlink_to(tmp_path / "out")
        monkeypatch.setattr(summary_file, "_DEVICES", tmp_path)
    else:
        path = Path("/" if kind == "root" else "")
    before = sorted((one, os.lstat(one).st_ino) for one in tmp_path.iterdir())
    for refused in (summary_file.refuse, lambda path: summary_file.write(path, "{}")):
        with pytest.raises(OperatorError, match="not a regular file; name a file"):
            refused(path)
    assert sorted((one, os.lstat(one).st_ino) for one in tmp_path.iterdir()) == before


def test_a_link_of_the_name_of_the_partial_file_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr("secrets.token_hex", lambda octets: "guessed")
    (tmp_path / ".s.json.guessed").symlink_to(victim)
    with pytest.raises(OperatorError, match="cannot be written: File exists"):
        summary_file.write(tmp_path / "s.json", "{}")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "s.json").exists()


def test_no_name_of_the_partial_file_can_be_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    rename = Path.rename

    def noted(path: Path, target: Path) -> Path:
        names.append(path.name)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", noted)
    for _ in range(2):
        summary_file.write(tmp_path / "s.json", "{}")
    assert len(set(names)) == 2
    assert not any(str(os.getpid()) in name.split(".") for name in names)


def test_a_directory_that_has_gone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"--summary .*: cannot be written: No such file or directory"):
        summary_file.write(tmp_path / "gone" / "s.json", "{}")
    with pytest.raises(OperatorError, match="no such directory"):
        summary_file.refuse(tmp_path / "gone" / "s.json")
    summary_file.refuse(tmp_path / "s.json")


def test_a_full_disk_leaves_the_former_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.json"
    summary_file.write(path, "old")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OperatorError, match="No space left"):
        summary_file.write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
