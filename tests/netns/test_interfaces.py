"""What `nfxlat run --setup` does about the interfaces of its host, and what its workers have of that.

host4 --- router4 --- translator --- router6 --- host6
"""

import os
import signal
from pathlib import Path

import pytest

from nfxlat.lab.netns import wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import Lab


def kinds_open(pid: int) -> dict[str, int]:
    """How many descriptors of each kind the process has; the standard ones, and places that are kept, left out."""
    found: dict[str, int] = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        kind = os.readlink(entry).partition(":[")[0]
        if int(entry.name) > 2 and kind != os.devnull:
            found[kind] = found.get(kind, 0) + 1
    return found


def test_an_interface_that_goes_down_and_up_is_stamped_again(lab: Lab, process: TranslatorProcess) -> None:
    lab.translator.ip("link set to-r4 down")
    lab.translator.ip("link set to-r4 up")
    wait_for(lambda: any("stamp also on to-r4" in line for line in process.output()), "the stamp to be back")
    assert not [line for line in process.output() if "no stamp" in line]


@pytest.mark.parametrize(
    ("run_arguments", "sockets"), [((), 6), (("--inject", "ip"), 5), (("--model", "device"), 3)], ids=str
)
def test_a_worker_holds_what_is_its_own_and_nothing_else(
    lab: Lab, process: TranslatorProcess, run_arguments: tuple[str, ...], sockets: int
) -> None:
    """Two queues, the injector's sockets, the line to the supervisor."""
    tun = {"/dev/net/tun": 1} if "device" in run_arguments else {}
    wanted = {"socket": sockets, "anon_inode": 1, **tun}  # an epoll

    def held() -> list[dict[str, int]]:
        return [kinds_open(pid) for pid in process.workers()]

    wait_for(lambda: held() == [wanted], f"{wanted} in the place of {held()}")
    os.kill(process.workers()[0], signal.SIGKILL)
    wait_for(lambda: held() == [wanted], f"{wanted} in the place of {held()} in the next worker")
