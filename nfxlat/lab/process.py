"""A real `nfxlat run` in a lab's translator namespace: started, awaited, asked for its counters, ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from nfxlat.errors import OperatorError
from nfxlat.lab.netns import PYTHON, Namespace, end_processes, wait_for
from nfxlat.lab.topology import DOMAIN
from nfxlat.service import aside

NAMING = ("--config", "--domain", "--prefix6", "--eam")  # flags that name a domain
SETTLES = 1.0  # seconds in which a worker that has sent something counts it, on a busy machine too


class TranslatorProcess:
    """`nfxlat run [--queue QUEUE] [--setup] ARGUMENTS`, ready when the `with` block begins and gone when it ends.

    Its domain is the lab's, unless ARGUMENTS name one; `configuration` is then the file, else None. Its output, its
    summary and that file are in `directory`. If it does not get ready: OperatorError with its own reason
    where it gives one (exit status 2), else RuntimeError with its output.
    """

    def __init__(
        self, namespace: Namespace, directory: Path, *arguments: str, queue: int | None = None, setup: bool = True
    ) -> None:
        self.namespace = namespace
        self.log, self._summary = directory / "run.log", directory / "summary.json"
        self._process: subprocess.Popen[str] | None = None
        self.configuration = None if set(NAMING) & set(arguments) else directory / "siit0.toml"
        domain = () if self.configuration is None else ("--config", str(self.configuration))
        self.command = [*PYTHON, "-m", "nfxlat", "run", *([] if queue is None else ["--queue", str(queue)])]
        self.command += ["--summary", str(self._summary), *(["--setup"] if setup else []), *domain, *arguments]

    def __enter__(self) -> TranslatorProcess:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, timeout: float = 240.0) -> None:
        """Start it and wait for its word on --ready-fd; emulated and on a busy host that takes minutes."""
        self._summary.unlink(missing_ok=True)
        if self.configuration is not None:
            self.configuration.write_text(DOMAIN)
        ours, theirs = os.pipe()
        try:
            with open(self.log, "w") as log:
                self._process = self.namespace.popen(
                    [*self.command, "--ready-fd", str(theirs)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs,),
                )
            os.close(theirs)
            theirs = -1
            readable, _, _ = select.select([ours], [], [], timeout)
            if not (readable and os.read(ours, 16).startswith(b"ready")):
                self._refused(timeout)
        finally:
            os.close(ours)
            if theirs >= 0:
                os.close(theirs)

    def _refused(self, timeout: float) -> NoReturn:
        """Pass on why it does not start: its own one line (exit 2), else all that it said, since that is a bug."""
        assert self._process is not None
        try:
            status = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            status = None
        if status == 2:
            raise OperatorError(self.last_words().removeprefix("nfxlat: "))
        fate = f"is not ready after {timeout:g} s" if status is None else f"ended with status {status}"
        raise RuntimeError("\n".join([f"nfxlat run {fate}; its output:", *self.output()]))

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def workers(self) -> list[int]:
        """The pids of its workers."""
        return [int(pid) for pid in self._children() if _name_of(pid) not in ("", aside.NAME)]

    def beside(self) -> list[int]:
        """The pids of those that read a configuration or write a summary for it (nfxlat.service.aside)."""
        return [int(pid) for pid in self._children() if _name_of(pid) == aside.NAME]

    def _children(self) -> list[str]:
        return Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()

    def output(self) -> list[str]:
        """The lines it has printed so far."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def told(self, words: str, times: int = 1) -> float:
        """Wait until so many lines of its output have these words; the seconds that took."""
        began = time.monotonic()
        wait_for(lambda: sum(words in line for line in self.output()) >= times, words)
        return time.monotonic() - began

    def last_words(self) -> str:
        return next((line for line in reversed(self.output()) if line.strip()), "it ended without output")

    def summary(self) -> dict[str, Any]:
        """Its counters now (SIGUSR1), as `nfxlat run --summary` writes them. OSError if it does not answer.

        A worker counts behind what it has sent, and is waited for: SETTLES seconds, since under load one is always at
        work.
        """
        deadline = time.monotonic() + SETTLES
        while (summary := self._asked())["totals"]["in_hands"] and time.monotonic() < deadline:
            pass
        return summary

    def _asked(self) -> dict[str, Any]:
        self._summary.unlink(missing_ok=True)
        if self.alive():
            os.kill(self.pid, signal.SIGUSR1)
        wait_for(lambda: self._summary.exists() or not self.alive(), "summary of nfxlat run", 20.0)
        summary = self._read_summary()
        if not summary:
            raise ProcessLookupError(f"nfxlat run has ended: {self.last_words()}")
        return summary

    def stop(self) -> dict[str, Any]:
        """End it (SIGTERM, in the end SIGKILL) and return its last summary; {} if it left none."""
        if self._process is None:
            return {}
        if self.alive():
            self._summary.unlink(missing_ok=True)
        end_processes([self._process], grace=10.0)
        with contextlib.suppress(ValueError):
            self.namespace.processes.remove(self._process)
        self._process = None
        return self._read_summary()

    def kill(self) -> None:
        """SIGKILL for it and its workers, without a chance to clean up (for tests of failing closed)."""
        os.killpg(self.pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def _read_summary(self) -> dict[str, Any]:
        try:
            summary: dict[str, Any] = json.loads(self._summary.read_text())
        except FileNotFoundError:
            return {}
        return summary


def _name_of(pid: str) -> str:
    """proc_pid_comm(5); "" of one that has gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
