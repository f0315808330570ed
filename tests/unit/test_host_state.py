"""The state file: locked by the living, read after the dead, ignored from another time."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import hold_state
import pytest

from nfxlat.errors import OperatorError
from nfxlat.host import state
from nfxlat.host.state import State

HOLDER = [sys.executable, hold_state.__file__]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(state, "RUN", tmp_path / "nfxlat")
    return tmp_path / "nfxlat"


def test_nothing_is_left_after_a_clean_end(run: Path) -> None:
    fresh = State("siit0")
    assert fresh.found is None
    fresh.save({})
    assert fresh.path.exists()
    fresh.close(remove=True)
    assert not run.exists()


def test_what_is_written_already_needs_no_room(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    former = State("siit0")
    former.save({"version": 1, "routes": ["former"]})
    former.close(remove=False)
    held = State("siit0")
    assert held.found is not None

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        held.save(held.found)
        with pytest.raises(OperatorError):
            held.save({"version": 1})
    held.close(remove=True)


def test_the_folder_may_go_with_another_s_last_record(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def gone_first(path: Path, flags: int, mode: int = 0o777) -> int:
        monkeypatch.setattr(os, "open", real)
        run.rmdir()
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", gone_first)
    held = State("siit0")
    held.path.unlink()
    run.rmdir()
    held.save({})
    assert held.path.exists()
    held.close(remove=True)


def test_a_living_holder_is_refused_and_a_killed_one_s_file_is_taken_over(run: Path) -> None:
    with subprocess.Popen([*HOLDER, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OperatorError, match="another nfxlat"):
            State("siit0")
        holder.kill()
        holder.wait()
    successor = State("siit0")
    assert successor.found is not None
    assert successor.found["routes"] == ["former"]
    successor.close(remove=True)


def test_a_shorter_state_leaves_nothing_of_the_longer(run: Path) -> None:
    first = State("siit0")
    first.save({"routes": ["x" * 1000]})
    first.save({"routes": []})
    assert json.loads(first.path.read_text())["routes"] == []
    first.close(remove=True)


@pytest.mark.parametrize("text", ["", '{"netns_cookie": -1, "routes": ["former"]}'], ids=["empty", "former"])
def test_an_empty_file_and_one_about_a_former_namespace_count_as_none(run: Path, text: str) -> None:
    first = State("siit0")
    first.path.write_text(text)
    first.close(remove=False)
    second = State("siit0")
    assert second.found is None
    second.close(remove=True)


@pytest.mark.parametrize("text", ["{", "[]", "7", '{"routes": []}'])
def test_a_damaged_file_is_refused_with_what_to_do_and_stays(run: Path, text: str) -> None:
    first = State("siit0")
    first.path.write_text(text)
    first.close(remove=False)
    for _ in range(2):  # the lock is free again each time
        with pytest.raises(OperatorError, match=r"damaged.*delete this file") as caught:
            State("siit0")
        assert caught.value.where == str(first.path)
    assert first.path.read_text() == text


def test_whoever_is_killed_while_he_writes_leaves_the_former_state(run: Path) -> None:
    ended = subprocess.run([*HOLDER, str(run), "--die"], capture_output=True, text=True, timeout=20)
    assert (ended.stdout, ended.returncode) == ("held\n", -signal.SIGKILL)
    successor = State("siit0")
    assert successor.found is not None
    assert successor.found["routes"] == ["former"]
    successor.close(remove=True)
    assert not run.exists()


def test_full_run_is_one_line_and_the_former_state_stays(run: Path) -> None:
    held = State("siit0")
    held.save({"routes": ["former"]})
    held._partial = Path("/dev/full")
    with pytest.raises(OperatorError, match="No space left"):
        held.save({"routes": []})
    assert json.loads(held.path.read_text())["routes"] == ["former"]
    held._partial = run / "unused"
    held.close(remove=True)


def test_two_domains_have_a_file_each(run: Path) -> None:
    first, second = State("siit0"), State("siit1")
    first.close(remove=True)
    assert second.path.exists()
    second.close(remove=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, None),
        ("", None),  # somebody is about to write it
        ('{"netns_cookie": 1, "version": 1}', None),  # of a namespace of the past, which had this inode
        ('{"netns_cookie": 9, "version": 1}', {"netns_cookie": 9, "version": 1}),
    ],
)
def test_who_only_looks_sees_the_record_of_this_namespace(
    run: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, found: dict[str, int] | None
) -> None:
    monkeypatch.setattr(state, "netns_cookie", lambda: 9)
    run.mkdir()
    if text is not None:
        state.path_of("siit0").write_text(text)
    assert state.read("siit0") == found
    assert state.others() == ({"siit0": found} if found else {})


@pytest.mark.parametrize("text", ["{", "{}", "[]", "1"])
def test_what_is_no_record_is_a_value_error_for_who_only_looks(run: Path, text: str) -> None:
    run.mkdir()
    state.path_of("siit0").write_text(text)
    with pytest.raises(ValueError):
        state.read("siit0")
    assert state.others() == {}
    with pytest.raises(OperatorError, match="damaged"):
        State("siit0")


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ({"version": 2, "things": []}, "its version is 2, but this nfxlat reads version 1"),
        ({"things": []}, "its version is None"),
        ({"version": 1, "things": [], "more": 1}, "it has more, which a newer nfxlat has written"),
    ],
)
def test_a_record_is_read_as_a_whole_or_refused(found: dict[str, Any], what: str) -> None:
    with pytest.raises(OperatorError, match=what):
        state.refuse_others(Path("x"), found, 1, ("things",))
    state.refuse_others(Path("x"), {"version": 1, "netns_cookie": 7, "things": []}, 1, ("things",))
