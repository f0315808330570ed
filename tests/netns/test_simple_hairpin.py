"""Simple hairpinning (RFC 7757 4.2.1) takes two hops, whoever sends the result."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import DOMAIN, HOST6_EAM4, HOST6_PREFIX, Lab, in_prefix6

PAYLOAD = b"there and back again"


@pytest.fixture(scope="module")
def shared_process(shared_bare_lab: Lab, run_arguments: tuple[str, ...]) -> Iterator[TranslatorProcess]:
    lab, file = shared_bare_lab, shared_bare_lab.directory / "simple.toml"
    file.write_text(DOMAIN + 'hairpin = "simple"\n')
    with TranslatorProcess(lab.translator, lab.directory, "--config", str(file), *run_arguments) as process:
        yield process


@pytest.mark.parametrize("run_arguments", [(), ("--inject", "ip"), ("--model", "route")], ids=" ".join, scope="module")
def test_a_hairpin_takes_two_hops_with_every_injector(shared_lab: Lab, shared_process: TranslatorProcess) -> None:
    lab = shared_lab
    destination = in_prefix6(HOST6_EAM4)
    packet = IPv6(src=HOST6_PREFIX, dst=destination, hlim=64) / UDP(sport=4000, dport=5000) / Raw(PAYLOAD)
    with Capture(lab.router6, "to-x") as capture:
        lab.host6.call(send_packet, bytes(packet), destination)
        there = IPv6(capture.wait(lambda seen: PAYLOAD in seen and IPv6(seen).dst == destination))
        back = IPv6(capture.wait(lambda seen: PAYLOAD in seen and seen[6] == 17 and IPv6(seen).dst != destination))
    assert there.hlim - back.hlim == 2
    assert shared_process.summary()["reasons"]["hairpinned"] == {"6to4": 1}
