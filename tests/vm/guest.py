"""In the guest: run the steps that the host asks for, then write what came of them together with the host's token.

    guest.py    reads /run/results/order.json: {"token": ..., "steps": {name: {"command": [...], "seconds": ...}}}

A step's output goes to NAME.out and NAME.err in the same folder. results.json, renamed into place as the last thing of
all, is the proof that the guest came to its end.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RESULTS = Path("/run/results")
ROOT = Path(__file__).parent.parent.parent
PR_SET_CHILD_SUBREAPER = 36
TOO_LATE = -signal.SIGKILL


def run(name: str, command: list[str], seconds: float) -> dict[str, Any]:
    """Run one step, for at most `seconds`: its exit status (of a signal: negative) and how long it took."""
    print(f"{name}: {' '.join(command)}", flush=True)
    started = time.monotonic()
    with open(RESULTS / f"{name}.out", "wb") as out, open(RESULTS / f"{name}.err", "wb") as err:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
        status = None
        while status is None and time.monotonic() < started + seconds:
            status = reap(process.pid)
            time.sleep(0.05)
        if status is None:
            os.killpg(process.pid, signal.SIGKILL)
            status = TOO_LATE
    took = round(time.monotonic() - started, 1)
    print(f"{name}: status {status} after {took} s", flush=True)
    return {"status": status, "seconds": took}


def reap(pid: int) -> int | None:
    """Collect what has ended, orphans too, as a real PID 1 does; the exit status of `pid` if it is among them."""
    found = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if ended == 0:
            return found
        if ended == pid:
            found = os.waitstatus_to_exitcode(status)


def output(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()


def main() -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    order = json.loads((RESULTS / "order.json").read_text())
    steps = {name: run(name, step["command"], step["seconds"]) for name, step in order["steps"].items()}
    left = {
        "namespaces": output("ip", "netns", "list"),
        "rules": output("nft", "list", "ruleset"),
        "files": sorted(str(path) for path in Path("/run").glob("nf*x*")),
        "devices": [line.split(": ")[1] for line in output("ip", "-o", "link")],
    }
    modules = [line.split()[0] for line in Path("/proc/modules").read_text().splitlines()]
    results = {"token": order["token"], "kernel": os.uname().release, "modules": modules, "steps": steps, "left": left}
    (RESULTS / "results.json.new").write_text(json.dumps(results))
    os.rename(RESULTS / "results.json.new", RESULTS / "results.json")


if __name__ == "__main__":
    main()
