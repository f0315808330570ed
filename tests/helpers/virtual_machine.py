"""A virtual machine with a stock Debian kernel, under virtme-ng and qemu in software emulation.

    host   boot ------------- virtme-run --- qemu
                |                              |  9p "host": /, read-only
                |  order.json, results.json    |  9p "results"
                +------------------------------+
    guest                          virtme's init > guest.sh (overlay) > guest.py > the steps

The guest has no network but what the steps make inside. Its end is judged by the token in results.json, never by an
exit status. contrib/dev/vm.sh brings kernel and programs.
"""

import contextlib
import json
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HERE = ROOT / "tests/vm"
CPUS, MEMORY = 2, "2G"
TAIL = 40  # lines of a log that are shown
Steps = Mapping[str, tuple[list[str], float]]  # by name: a command for the guest, the seconds that it may take


@dataclass(frozen=True)
class Guest:
    """What the guest has left in `folder`: NAME.out and NAME.err of each step, and `results` (see guest.py)."""

    folder: Path
    results: dict[str, Any]

    def output(self, step: str) -> str:
        return (self.folder / f"{step}.out").read_text()

    def tail(self, step: str) -> str:
        """The step's status and the last lines of what it said, for a failure."""
        said = [*self.output(step).splitlines(), *(self.folder / f"{step}.err").read_text().splitlines()]
        return "\n".join([f"{step}: {self.results['steps'][step]}", *said[-TAIL:]])


def kernel_folder() -> Path:
    """The unpacked kernel; fails the test with one line where it or a program is missing."""
    found = subprocess.run(
        ["sh", str(ROOT / "contrib/dev/vm.sh"), "find"], capture_output=True, text=True, timeout=60, check=False
    )
    if found.returncode:
        pytest.fail(found.stderr.strip(), pytrace=False)
    return Path(found.stdout.strip())


def virtme_run() -> str:
    """The program beside this interpreter, else on PATH."""
    beside = Path(sys.executable).parent / "virtme-run"
    program = str(beside) if beside.exists() else shutil.which("virtme-run")
    if program is None:
        pytest.fail("virtme-run is missing: install the Python package virtme-ng (contrib/test does)", pytrace=False)
    return program


@dataclass(frozen=True)
class Booted:
    """A guest at work, for at most `seconds`."""

    process: subprocess.Popen[bytes]
    folder: Path
    token: str
    seconds: float

    def guest(self) -> Guest:
        """Wait for its end; fails the test where it does not come to it."""
        self.process.wait(self.seconds + 10)
        results = self.folder / "results.json"
        found = json.loads(results.read_text()) if results.exists() else {}
        if found.get("token") != self.token:
            said = [line for name in ("boot.log", "guest.log") for line in log_tail(self.folder / name)]
            ended = f"the guest ended without results; it had {self.seconds:g} s"
            pytest.fail("\n".join([ended, *said]), pytrace=False)
        return Guest(self.folder, found)


@contextlib.contextmanager
def boot(steps: Steps, seconds: float, folder: Path) -> Iterator[Booted]:
    """Boot, run the steps one after the other, power off: at most `seconds` in all. Does not wait for it."""
    kernel, program = kernel_folder(), virtme_run()
    (image,) = (kernel / "boot").glob("vmlinuz-*")
    token = secrets.token_hex(16)
    order = {name: {"command": command, "seconds": limit} for name, (command, limit) in steps.items()}
    (folder / "order.json").write_text(json.dumps({"token": token, "steps": order}))
    options = "ro,cache=loose,trans=virtio,version=9p2000.L,msize=512000"
    lower = f"mkdir /run/lower && mount -t 9p -o {options} host /run/lower"
    inside = ["sh", f"/run/lower{HERE / 'guest.sh'}", str(kernel), sys.executable, str(HERE / "guest.py")]
    virtme = [program, f"--kimg={image}", "--mods=auto", "--force-9p", "--disable-kvm", "--disable-microvm"]
    virtme += [f"--cpus={CPUS}", f"--memory={MEMORY}", "--show-boot-console"]
    # the emulated TSC is sound, but a watchdog on a loaded machine doubts it and falls back to HPET, which is slow
    virtme += ["-a", "tsc=reliable", "-a", "mitigations=off"]
    for share in (
        "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
        f"local,path={folder},mount_tag=results,security_model=none",
    ):
        virtme += ["--qemu-opt=-virtfs", f"--qemu-opt={share}"]
    virtme += ["--script-sh", f"{lower} && exec {shlex.join(inside)}"]
    # a pipe, not a file: qemu opens /proc/self/fd/1 anew, several times, and would truncate it
    piped = ["sh", "-c", f'"$@" 2>&1 | cat >{shlex.quote(str(folder / "boot.log"))}', "sh", *virtme]
    # timeout(1) leads the process group and ends all of it, also where this process is no more
    limited = ["timeout", "--kill-after=5", str(seconds), *piped]
    with subprocess.Popen(limited, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            yield Booted(process, folder, token, seconds)
        finally:
            process.terminate()  # timeout(1) passes it on to the group


def log_tail(path: Path) -> list[str]:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else ["(nothing)"]
    return [f"--- {path.name}", *lines[-TAIL:]]


Boot = Callable[[Steps, float], Booted]
