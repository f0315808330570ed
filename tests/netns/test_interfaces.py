"""What `nfxlat run --setup` does about the interfaces of its host, and what its workers have of that.

host4 --- router4 --- translator --- router6 --- host6
"""

import contextlib
import os
import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from nfxlat.lab.netns import wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import Lab


def opened(pid: int) -> list[str]:
    """What the descriptors of the process are, the standard ones left out; nothing of one that has ended."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found.append((int(entry.name), os.readlink(entry)))
    return [kind for number, kind in found if number > 2]


def kinds_open(pid: int) -> dict[str, int]:
    """How many descriptors of each kind it has, but for places that are kept."""
    kinds = (kind.partition(":[")[0] for kind in opened(pid))
    return dict(Counter(kind for kind in kinds if kind != os.devnull))


def test_an_interface_that_goes_down_and_up_is_stamped_again(lab: Lab, process: TranslatorProcess) -> None:
    def hung() -> tuple[int, str]:
        links = [kind for kind in opened(process.pid) if "bpf" in kind]
        return len(links), lab.translator.run(["tc", "filter", "show", "dev", "to-r4", "ingress"]).stdout

    before = hung()
    lab.translator.ip("link set to-r4 down")
    wait_for(lambda: hung() != before, "the stamp to be off")
    lab.translator.ip("link set to-r4 up")
    wait_for(lambda: any("stamp also on to-r4" in line for line in process.output()), "the stamp to be back")
    assert not [line for line in process.output() if "no stamp" in line]


@pytest.mark.parametrize(
    ("run_arguments", "sockets"), [((), 5), (("--inject", "ip"), 4), (("--model", "device"), 3)], ids=str
)
def test_a_worker_holds_what_is_its_own_and_nothing_else(
    lab: Lab, process: TranslatorProcess, run_arguments: tuple[str, ...], sockets: int
) -> None:
    """The queues' socket, the injector's, the line to the supervisor."""
    tun = {"/dev/net/tun": 1} if "device" in run_arguments else {}
    wanted = {"socket": sockets, "anon_inode": 1, **tun}  # an epoll

    def held() -> bool:
        return [kinds_open(pid) for pid in process.workers()] == [wanted]

    wait_for(held, f"{wanted}")
    (first,) = process.workers()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: first not in process.workers() and held(), f"{wanted} in the next worker")


def test_a_host_of_many_interfaces_is_ready_before_all_are_stamped(bare_lab: Lab) -> None:
    pairs = 30
    batch = [f"link add a{n} up type veth peer name b{n}\nlink set b{n} up" for n in range(pairs)]
    (bare_lab.directory / "links").write_text("\n".join(batch))
    bare_lab.translator.run(["ip", "-batch", str(bare_lab.directory / "links")])
    with TranslatorProcess(bare_lab.translator, bare_lab.directory) as process:
        ready = next(number for number, line in enumerate(process.output()) if line.startswith("ready"))
        wait_for(lambda: stamped(process) == 2 * pairs + 2, "all to be stamped")
        if any("by tcx" in line for line in process.output()):
            assert any("stamp also on" in line for line in process.output()[ready:])


def stamped(process: TranslatorProcess) -> int:
    """How many interfaces, as its output tells."""
    found = 0
    for line in process.output():
        if "stamp of gso_size" in line or "stamp also on" in line:
            more = re.search(r" and ([0-9]+) more$", line)
            found += line.count(",") + 1 + (int(more[1]) if more else 0)
    return found
