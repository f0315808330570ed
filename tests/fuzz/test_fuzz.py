"""The fuzzers' own tests: their corpus holds, a bounded run finds nothing, and faults that are put in are found.

The long run is contrib/dev/fuzz.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_core
import fuzz_datapath
import pytest
from fuzz_targets import TARGETS

from nfxlat.datapath.fastpath import FastPath
from nfxlat.outcome import Action, Outcome, Reason

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
RUNS = 40_000


@pytest.mark.parametrize("target", TARGETS)
def test_everything_holds_for_the_corpus(target: str) -> None:
    inputs = sorted((CORPUS / target).iterdir())
    assert inputs
    for path in inputs:
        TARGETS[target](path.read_bytes())


def test_corpus_is_small_and_of_known_targets() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 500_000


def test_corpus_of_the_core_reaches_every_action() -> None:
    cases = [fuzz_core.shaped(path.read_bytes()) for path in (CORPUS / "core").iterdir()]
    outcomes = [fuzz_core.run(case) for case in cases if case]
    assert {outcome.action for outcome in outcomes} == set(Action)
    assert sum(outcome.action is Action.TRANSLATED for outcome in outcomes) > len(outcomes) / 3


@pytest.mark.timeout(660)  # beside two whole runs 100 s were too few
def test_a_bounded_run_finds_nothing(tmp_path: Path) -> None:
    """All targets in one process, guided by coverage, the same inputs at every run: news is for contrib/dev/fuzz."""
    seeds, grown = tmp_path / "seeds", tmp_path / "grown"
    seeds.mkdir()
    grown.mkdir()
    for number, target in enumerate(TARGETS):
        for path in (CORPUS / target).iterdir():
            (seeds / f"{target}-{path.name}").write_bytes(bytes((number,)) + path.read_bytes())
    command = [sys.executable, str(HERE / "fuzz.py"), "all", f"-runs={RUNS}", "-seed=7915", "-max_len=1024"]
    command += ["-entropic=0", "-reload=0", "-shuffle=0"]  # each brings time or addresses of memory in
    command += ["-timeout=20", f"-artifact_prefix={tmp_path}/found-", str(grown), str(seeds)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"Done {RUNS} runs" in done.stderr
    assert len(list(grown.iterdir())) > 100  # it was guided: new inputs reached new code


def case_of(name: str) -> fuzz_core.Case:
    case = fuzz_core.shaped((CORPUS / "core" / name).read_bytes())
    assert case is not None
    return case


def changed(packet: bytes, at: int, mask: int = 1) -> bytes:
    return packet[:at] + bytes((packet[at] ^ mask,)) + packet[at + 1 :]


FAULTS: dict[str, Callable[[Outcome], Outcome]] = {
    "a packet out of what was dropped": lambda o: Outcome(Action.DROPPED, Reason.IGMP, o.packets),
    "a reason that does not fit": lambda o: o._replace(reason=Reason.IGMP),
    "no fragments, but FRAGMENTED": lambda o: o._replace(reason=Reason.FRAGMENTED),
    "hop limit": lambda o: o._replace(packets=(changed(o.packets[0], 7),)),
    "next header": lambda o: o._replace(packets=(changed(o.packets[0], 6),)),
    "length": lambda o: o._replace(packets=(o.packets[0] + b"\0",)),
    "martian source": lambda o: o._replace(packets=(o.packets[0][:8] + bytes(15) + b"\1" + o.packets[0][24:],)),
    "checksum": lambda o: o._replace(packets=(changed(o.packets[0], 46),)),
    "payload": lambda o: o._replace(packets=(changed(o.packets[0], -1 + len(o.packets[0])),)),
    "version": lambda o: o._replace(packets=(changed(o.packets[0], 0, 0x10),)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_is_put_in_is_found(fault: str) -> None:
    case = case_of("4-udp-as-it-is")
    outcome = fuzz_core.run(case)
    assert outcome.action is Action.TRANSLATED
    with pytest.raises(AssertionError):
        fuzz_core.judge(case, FAULTS[fault](outcome))


def test_a_lost_fragment_is_found() -> None:
    case = case_of("4-large-4000")
    outcome = fuzz_core.run(case)
    assert len(outcome.packets) > 2
    for packets in (outcome.packets[:-1], outcome.packets[1:], outcome.packets[::-1]):
        with pytest.raises(AssertionError):
            fuzz_core.judge(case, outcome._replace(packets=packets))


def test_a_fast_path_that_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    data = (CORPUS / "fast-path" / "4-tcp-data-0").read_bytes()
    fuzz_datapath.fast_path(data)
    run = FastPath.run

    def wrong(self: FastPath, buffer: bytearray, base: int, *arguments: Any) -> int:
        index = run(self, buffer, base, *arguments)
        begin, _ = arguments[-1].messages
        buffer[begin + fuzz_datapath.FRAME.size + 1] ^= 1
        return index

    monkeypatch.setattr(FastPath, "run", wrong)
    with pytest.raises(AssertionError, match="differs from the core"):
        fuzz_datapath.fast_path(data)
