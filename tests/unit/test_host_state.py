"""The state file: locked by the living, read after the dead, ignored from another time."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nfxlat.errors import OperatorError
from nfxlat.host import state
from nfxlat.host.state import State

HOLDER = """
import sys, pathlib
from nfxlat.host import state
state.RUN = pathlib.Path(sys.argv[1])
held = state.State("siit0")
held.data["sysctls"] = {"net/ipv4/ip_forward": "0"}
held.save()
held.save()  # each time a file of its own
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(state, "RUN", tmp_path / "nfxlat")
    return tmp_path / "nfxlat"


def test_nothing_is_left_after_a_clean_end(run: Path) -> None:
    fresh = State("siit0")
    assert not fresh.left_over
    fresh.save()
    assert fresh.path.exists()
    fresh.close(remove=True)
    assert not run.exists()


def test_a_living_holder_is_refused_and_a_killed_one_s_file_is_taken_over(run: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OperatorError, match="another nfxlat"):
            State("siit0")
        holder.kill()
        holder.wait()
    successor = State("siit0")
    assert successor.left_over
    assert successor.data["sysctls"] == {"net/ipv4/ip_forward": "0"}
    successor.close(remove=True)


def test_a_shorter_state_leaves_nothing_of_the_longer(run: Path) -> None:
    first = State("siit0")
    first.data["routes"] = ["x" * 1000]
    first.save()
    first.data["routes"] = []
    first.save()
    assert json.loads(first.path.read_text())["routes"] == []
    first.close(remove=True)


@pytest.mark.parametrize("text", ["", "{", '{"netns_cookie": -1, "sysctls": {"net/ipv4/ip_forward": "0"}}'])
def test_a_file_cut_short_or_about_a_former_namespace_is_ignored(run: Path, text: str) -> None:
    first = State("siit0")
    first.path.write_text(text)
    first.close(remove=False)
    second = State("siit0")
    assert not second.left_over
    assert second.data == {}
    second.close(remove=True)


def test_whoever_is_killed_while_he_writes_leaves_the_former_state(run: Path) -> None:
    dies = HOLDER.replace(
        "sys.stdin.read()",
        """import os, signal
pathlib.Path.rename = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
held.data["sysctls"] = {}
held.save()""",
    )
    ended = subprocess.run([sys.executable, "-c", dies, str(run)], capture_output=True, text=True, timeout=20)
    assert (ended.stdout, ended.returncode) == ("held\n", -signal.SIGKILL)
    successor = State("siit0")
    assert successor.data["sysctls"] == {"net/ipv4/ip_forward": "0"}
    successor.close(remove=True)
    assert not run.exists()


def test_full_run_is_one_line_and_the_former_state_stays(run: Path) -> None:
    held = State("siit0")
    held.data["sysctls"] = {"net/ipv4/ip_forward": "0"}
    held.save()
    held.data["sysctls"] = {}
    held._partial = Path("/dev/full")
    with pytest.raises(OperatorError, match="No space left"):
        held.save()
    assert json.loads(held.path.read_text())["sysctls"] == {"net/ipv4/ip_forward": "0"}
    held._partial = run / "unused"
    held.close(remove=True)


def test_two_domains_have_a_file_each(run: Path) -> None:
    first, second = State("siit0"), State("siit1")
    first.close(remove=True)
    assert second.path.exists()
    second.close(remove=True)
