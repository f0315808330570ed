"""`nfxlat stats --mappings` beside traffic, to the packet: by workers and at ingress, over a killed worker, a reload.

host4 --- router4 --- translator --- router6 --- host6
"""

import json
import os
import signal
from contextlib import closing

import pytest

from nfxlat.cli import main
from nfxlat.lab.datagram import UdpEcho, exchange
from nfxlat.lab.netns import wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST6, HOST6_4, HOST6_EAM4, HOST6_PREFIX, Lab
from nfxlat.service.counted import Asking
from nfxlat.service.status import Running

EAM = "203.0.113.2/32"
SIZE = 100  # octets behind the IP header
OFFLOADS = pytest.mark.parametrize("run_arguments", [("--no-offload",), ("--offload",)], ids=" ".join)


def exchanged(lab: Lab, count: int, target: str = HOST6_EAM4) -> None:
    """So many datagrams there, and as many back."""
    with UdpEcho(lab.host6, HOST6 if target == HOST6_EAM4 else HOST6_PREFIX) as echo:
        for _ in range(count):
            assert lab.host4.call(exchange, target, echo.port, SIZE - 8).ok


def counted(asking: Asking) -> dict[str, tuple[int, ...]]:
    return {row.v4: row[2:] for row in asking.rows()}


@OFFLOADS
def test_each_packet_counts_for_the_mappings_of_both_ends(lab: Lab, process: TranslatorProcess) -> None:
    with lab.translator.entered(), closing(Asking(Running("siit0", process.pid))) as asking:
        assert counted(asking) == {}
        exchanged(lab, 5)
        exchanged(lab, 3, HOST6_4)
        both = (5, 5 * SIZE, 5, 5 * SIZE)
        more = (5 + 2 * 3, 11 * SIZE, 11, 11 * SIZE)
        wait_for(lambda: counted(asking) == {EAM: both, "": more}, "all to be counted")
    wait_for(lambda: process.summary()["counting"] is None, "counting to end")


def test_always_it_goes_on_over_a_killed_worker_and_a_reload(
    lab: Lab, process: TranslatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    def told() -> list[int]:
        with lab.translator.entered():
            assert main(["stats", "--mappings", "203.0.113.0/24", "--json"]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [line["packets_to"] for line in lines]

    assert process.configuration is not None
    text = process.configuration.read_text() + "count-mappings = true\n"
    process.configuration.write_text(text)
    os.kill(process.pid, signal.SIGHUP)
    process.told("reloaded in")
    exchanged(lab, 4)
    wait_for(lambda: told() == [4], "all to be counted")
    for pid in process.workers():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: process.summary()["workers_restarted"], "a worker to be started again")
    exchanged(lab, 2)
    process.configuration.write_text(text.replace("eam = [", 'eam = [["203.0.113.3", "2001:db8:2::3"], '))
    os.kill(process.pid, signal.SIGHUP)
    process.told("reloaded in", 2)
    exchanged(lab, 1)
    wait_for(lambda: told() == [7], "all to be counted")
    with lab.translator.entered():
        assert main(["stats", "--mappings"]) == 0
        assert f"7              700  {EAM} 2001:db8:2::2/128" in capsys.readouterr().out
        assert main(["stats", "--mappings", "nonsense"]) == 2
        assert main(["stats", "--seconds", "1"]) == 2
