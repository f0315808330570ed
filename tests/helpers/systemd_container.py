"""The unit under real systemd, as PID 1 of a container within a lab's namespace.

    unshare (PIDs, mounts, cgroups) - systemd - nfxlat@siit0.service as shipped, but for paths

Only the paths of the program and of its configuration differ, and where its output goes: all that bounds the service is
the shipped unit's.
"""

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nfxlat.lab.netns import Namespace, wait_for

ROOT = Path(__file__).parents[2]
UNITS = [ROOT / "contrib/systemd" / name for name in ("nfxlat@.service", "nfxlat-pin@.service")]
SERVICE = "nfxlat@siit0.service"
CHECKOUT = "/run/checkout"  # this one, within
TARGETS = ("sysinit", "basic", "shutdown", "network-online", "start")


@dataclass(frozen=True)
class Container:
    """One that is up. `pid`: of its systemd, as we count."""

    folder: Path
    pid: int

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command in its namespaces, PIDs as it counts them."""
        inside = ["nsenter", "-t", str(self.pid), "-m", "-r", "-w", "-p", "-n", "-C", "--", *command]
        return subprocess.run(inside, capture_output=True, text=True, timeout=120, check=check)

    def systemctl(self, *words: str, check: bool = True) -> str:
        done = self.run("systemctl", *words, check=False)
        if check and done.returncode:
            raise RuntimeError("\n".join([f"systemctl {' '.join(words)}: {done.stderr}", *self.log()]))
        return done.stdout.strip()

    def show(self, name: str) -> str:
        """A property of the service."""
        return self.systemctl("show", "--value", "-p", name, SERVICE)

    def main(self) -> int:
        """The service's process, as it counts; 0 without one."""
        return int(self.show("MainPID"))

    def status(self, pid: int) -> dict[str, str]:
        """/proc/PID/status of a process, as it counts."""
        lines = self.run("cat", f"/proc/{pid}/status").stdout.splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def workers(self) -> list[int]:
        pid = self.main()
        return [int(one) for one in self.run("cat", f"/proc/{pid}/task/{pid}/children").stdout.split()]

    @property
    def python(self) -> str:
        return _python()

    def log(self) -> list[str]:
        """What the service has said."""
        path = self.folder / "service.log"
        return path.read_text().splitlines() if path.exists() else []


@contextlib.contextmanager
def container(namespace: Namespace, folder: Path, options: str) -> Iterator[Container]:
    """Up with the unit, which is not started. `folder` holds siit0.toml; `options` as in /etc/default/nfxlat-siit0."""
    units = folder / "units"
    units.mkdir()
    for name in TARGETS:
        (units / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    program = folder / "nfxlat"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={CHECKOUT} exec {_python()} -m nfxlat "$@"\n')
    program.chmod(0o755)
    (folder / "default").write_text(f'NFXLAT_OPTIONS="{options}"\n')
    paths = {"/usr/local/bin/nfxlat": "nfxlat", "/etc/nfxlat.toml": "siit0.toml", "/etc/default/nfxlat-%i": "default"}
    output = "StandardOutput=append:/run/test/service.log\nStandardError=inherit\nTimeoutStartSec=600"
    for unit in UNITS:
        text = unit.read_text().replace("[Service]\n", f"[Service]\n{output}\n")
        for path, name in paths.items():
            text = text.replace(path, f"/run/test/{name}")
        (units / unit.name).write_text(text)
    group = f"nfxlat-test-{os.getpid()}-{secrets.token_hex(4)}"
    script = str(Path(__file__).with_name("systemd_inside.sh"))
    command = ["unshare", "--pid", "--mount", "--fork", "--kill-child", "sh", script]
    command += [str(folder), group, str(ROOT), sys.prefix]
    with (folder / "systemd.log").open("w") as log:
        process = namespace.popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end() -> None:
        process.kill()
        process.wait()
        with contextlib.suppress(ValueError):
            namespace.processes.remove(process)
        _remove_group(group)

    try:
        yield _booted(process, folder)
    except BaseException:
        with contextlib.suppress(TimeoutError):  # what is told is what has failed before
            end()
        raise
    else:
        end()


def _python() -> str:
    """This interpreter, as it is found within."""
    return f"/run/python/bin/{Path(sys.executable).name}" if sys.prefix != sys.base_prefix else sys.executable


def _booted(process: subprocess.Popen[str], folder: Path) -> Container:
    """Once its systemd is up; emulated and on a busy host that takes minutes."""

    def until(condition: Callable[[], object], what: str, seconds: float) -> None:
        wait_for(lambda: process.poll() is not None or condition(), what, seconds)
        assert process.poll() is None, "it has ended"

    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    asked = ["systemctl", "is-active", "start.target"]
    try:
        until(lambda: children.read_text().strip(), "the container", 30)
        up = Container(folder, int(children.read_text()))
        until(lambda: up.run(*asked, check=False).stdout == "active\n", "systemd", 240)
    except Exception as error:
        error.add_note((folder / "systemd.log").read_text())
        raise
    return up


def _remove_group(group: str) -> None:
    """And those whose creators were killed."""
    remove = """
        mount -t cgroup2 c /sys/fs/cgroup && cd /sys/fs/cgroup || exit
        for each in nfxlat-test-*-*; do
            pid=${each#nfxlat-test-}
            [ -e "/proc/${pid%-*}" ] || find "$each" -depth -type d -exec rmdir {} + || true
        done
        [ ! -e "$0" ] || find "$0" -depth -type d -exec rmdir {} +
    """
    command = ["unshare", "--mount", "sh", "-c", remove, group]

    def gone() -> bool:  # its processes end in their own time
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    wait_for(gone, "the end of the container", 30)
