"""A run of the tests that is ended in the middle of one leaves no lab; what a killed one leaves can be removed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nfxlat.lab.leftovers import clean, leftovers
from nfxlat.lab.netns import wait_for

HELD = Path(__file__).parent.parent / "helpers" / "held_run.py"


def namespaces_of(pid: int) -> list[str]:
    return [path.name for path in Path("/run/netns").glob(f"nfx-{pid:x}-*")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name)
def test_a_run_that_is_ended_leaves_no_lab(tmp_path: Path, number: signal.Signals) -> None:
    ready = tmp_path / "ready"
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HELD)],
        env={**os.environ, "NFXLAT_HELD": str(ready)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=HELD.parent.parent.parent,
    )
    try:
        wait_for(lambda: ready.exists() or run.poll() is not None, "the lab", 60)
        assert namespaces_of(run.pid)
        run.send_signal(number)
        assert run.wait(60) != 0
        if number == signal.SIGKILL:  # as `nfxlat demo --clean` does
            assert leftovers(run.pid)
            clean(run.pid)
        assert namespaces_of(run.pid) == []
        assert not list(Path("/run").glob(f"nfx-{run.pid:x}-*"))
    finally:
        run.kill()
        run.wait()
        clean(run.pid)
