"""Those who look on while a translator is soaked: two that trace, and one that scrapes its metrics."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from types import TracebackType

from nfxlat.lab.netns import PYTHON, Namespace, end_processes
from nfxlat.lab.soak.accounts import Row

NFXLAT = (*PYTHON, "-m", "nfxlat")
EVERY = 3.0  # seconds between two scrapes
FLOODED = ("udp", "port", "9", "--rate", "20")  # what is traced is not offloaded: the overload stays in the queues
DROPPED = ("--dropped", "--rate", "20")


class Watchers:
    """They look on in `namespace`, and write into `directory`, for as long as the `with` block lasts."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        self._namespace, self._file = namespace, directory / "soak.prom"
        self._traces = [directory / f"trace-{number}.json" for number in range(2)]
        self._processes: list[subprocess.Popen[str]] = []
        self._stopped = threading.Event()
        self._scraper = threading.Thread(target=self._scrape)
        self.scrapes, self.failures = 0, list[str]()

    def _scrape(self) -> None:
        while not self._stopped.wait(EVERY):
            done = self._namespace.run([*NFXLAT, "stats", "--textfile", str(self._file)], check=False)
            text = self._file.read_text() if self._file.exists() else ""
            self.scrapes += 1
            if done.returncode or "nfxlat_packets_total" not in text:
                self.failures.append(done.stderr.strip() or "no metrics")

    def row(self) -> Row:
        """What has become of them."""
        ended = [process.args for process in self._processes if process.poll() is not None]
        shown = [sum(1 for _ in path.open()) for path in self._traces]
        figures = f"{self.scrapes} scrapes, {len(self.failures)} failed; {shown[0]:,} and {shown[1]:,} packets traced"
        figures += "".join(f"; {what}" for what in (*self.failures[:1], *(f"{args!r} ended" for args in ended)))
        ok = self.scrapes > 0 and not self.failures and not ended and all(shown)
        return Row("metrics scraped, packets traced meanwhile", figures, ok)

    def __enter__(self) -> Watchers:
        for path, words in zip(self._traces, (FLOODED, DROPPED), strict=True):
            with path.open("w") as out:
                command = [*NFXLAT, "trace", *words, "--count", "0", "--json"]
                self._processes.append(self._namespace.popen(command, stdout=out, stderr=subprocess.DEVNULL))
        self._scraper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._scraper.join()
        end_processes(self._processes)
        for process in self._processes:
            self._namespace.processes.remove(process)
