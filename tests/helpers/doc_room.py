"""Where the commands of a page run: a room of processes, mounts and networks of its own.

/etc is the machine's with a layer on top, /run is empty but for the lab's namespaces by their short names, `nfxlat` is
this checkout's; systemctl and journalctl do for nfxlat@NAME what the shipped unit says. All of it goes with the room.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import doc_pages
from doc_pages import Command, Page, Written

from nfxlat.lab.topology import Lab

ROOT = doc_pages.ROOT
PATIENCE = 90.0  # seconds, of a busy machine
AGAIN = re.compile(r"(ip netns exec \S+ )?(ping|curl|nfxlat stats)\b")  # asked again where a change is under way
STAYS = re.compile(r"(ip netns exec \S+ )?(nfxlat run|nfxlat top|tcpdump)\b")

BEGIN = r"""
set -eu
folder=$1; shift
mount --make-rprivate /
mount -t tmpfs none "$folder"
mkdir "$folder/run" "$folder/run/netns" "$folder/upper" "$folder/work" "$folder/bin" "$folder/home"
while [ $# -gt 0 ]; do
    : >"$folder/run/netns/$1"
    mount --bind "$2" "$folder/run/netns/$1"
    shift 2
done
mount -t tmpfs none "$folder/home"
mount -t overlay -o "lowerdir=/etc,upperdir=$folder/upper,workdir=$folder/work" overlay /etc
mount --rbind "$folder/run" /run
ip link set lo up
printf '#!/bin/sh\nexec %s -m nfxlat "$@"\n' "$PYTHON" >"$folder/bin/nfxlat"
cp "$SYSTEMCTL" "$folder/bin/systemctl"
printf '#!/bin/sh\ncat /run/*.log\n' >"$folder/bin/journalctl"
chmod +x "$folder"/bin/*
ln -s "$CHECKOUT/rules" "$CHECKOUT/contrib" "$folder/home"
echo ready
exec sleep infinity
"""


class Room:
    """One page's. With a lab, commands run in its translator unless the prompt names another of its namespaces."""

    def __init__(self, folder: Path, lab: Lab | None) -> None:
        self.folder, self.lab = folder, lab
        self._staying: list[subprocess.Popen[str]] = []
        self._status = 0
        # Python as in the checkout's environment, but not its directory: `nfxlat` has to be the room's
        self._environment = {
            "PATH": f"{folder}/bin:{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": f"{folder}/home",
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
            "COLUMNS": "140",
            "PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "SYSTEMCTL": str(ROOT / "tests/helpers/doc_systemctl.sh"),
            "CHECKOUT": str(ROOT),
        }

    def __enter__(self) -> Room:
        names: list[str] = []
        for role, namespace in (self.lab.namespaces if self.lab else {}).items():
            names += [role, namespace.path]
        command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", BEGIN]
        self._unshare = subprocess.Popen(
            [*command, "sh", str(self.folder), *names],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment,
            start_new_session=True,
        )
        assert self._unshare.stdout is not None
        if self._unshare.stdout.readline() != "ready\n":
            self._end()
            raise RuntimeError("the room for the page's commands could not be made")
        pid = self._unshare.pid
        self.pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._enter("systemctl stop --all", "")
            for process in reversed(self._staying):
                _interrupt(process)
        finally:
            self._end()

    def _end(self) -> None:
        self._unshare.kill()
        self._unshare.wait()
        assert self._unshare.stdout is not None
        self._unshare.stdout.close()

    def work_through(self, page: Page) -> None:
        """Write and run what the page says, in order. AssertionError, with its line, where it is not as it says."""
        for step in page.steps:
            if isinstance(step, Written):
                self._write(step)
            else:
                self._command(step, page)

    def _write(self, step: Written) -> None:
        path = shlex.quote(step.path)
        self._start(f'mkdir -p "$(dirname {path})"; cat >{path}', "", subprocess.PIPE).communicate(step.content)

    def _start(self, text: str, where: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        where = where or ("translator" if self.lab else "")
        inside = ["nsenter", "-t", str(self.pid), "-m", "-r", "-w", "-p", "-n", "--"]
        if where:
            inside += ["nsenter", f"--net=/run/netns/{where}", "--"]
        return subprocess.Popen(
            [*inside, "bash", "-c", f"cd; {text}"],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment,
            start_new_session=True,
        )

    def _enter(self, text: str, where: str) -> tuple[int, str]:
        process = self._start(text, where)
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, output

    def _command(self, step: Command, page: Page) -> None:
        place = f"{page.path.relative_to(ROOT)}:{step.line}: {step.text}"
        if step.text.endswith(" &") or STAYS.match(step.text):
            self._stay(step, place)
            return
        before, self._status = self._status, 0
        text = f"(exit {before}); {step.text}"
        status, output = self._enter(text, step.where)
        deadline = time.monotonic() + PATIENCE / 3
        while AGAIN.match(step.text) and not doc_pages.matches(step.expected or ["..."], output):
            if time.monotonic() > deadline:
                break
            status, output = self._enter(text, step.where)
        if step.expected:
            assert doc_pages.matches(step.expected, output), _unlike(place, step.expected, output)
        following = page.steps[page.steps.index(step) + 1 :][:1]
        asked = [one for one in following if isinstance(one, Command) and one.text.startswith("echo $?")]
        assert status == 0 or asked, f"{place}\nended with status {status} and printed:\n{output}"
        self._status = status

    def _stay(self, step: Command, place: str) -> None:
        """Start what goes on, and wait for the output that the page shows."""
        text = step.text.removesuffix(" &")
        process = self._start(f"exec {text}", step.where)
        self._staying.append(process)
        expected = step.expected or (["...", "ready: ..."] if "nfxlat run" in text else [])
        output = _read_until(process, expected)
        assert doc_pages.matches(expected, output, whole=False), _unlike(place, expected, output)
        if step.after_interrupt is not None:
            rest = _interrupt(self._staying.pop())
            wanted = ["...", *step.after_interrupt, "..."]
            assert doc_pages.matches(wanted, rest), _unlike(place, wanted, rest)


def _read_until(process: subprocess.Popen[str], expected: list[str]) -> str:
    """What it prints, until it has printed all that is expected, or has ended."""
    assert process.stdout is not None
    descriptor, found = process.stdout.fileno(), b""
    deadline = time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while not doc_pages.matches(expected, found.decode(errors="replace"), whole=False):
            if time.monotonic() > deadline or not selector.select(max(0.0, deadline - time.monotonic())):
                break
            more = os.read(descriptor, 65536)
            if not more:
                break
            found += more
    return found.decode(errors="replace")


def _interrupt(process: subprocess.Popen[str]) -> str:
    """Ctrl-C; what it prints up to its end."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    assert process.stdout is not None
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    return output


def _unlike(place: str, expected: list[str], output: str) -> str:
    return "\n".join([place, "--- the page says:", *expected, "--- it printed:", output])
