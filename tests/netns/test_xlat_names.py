"""rules/xlat/names.nft: dnsmasq puts the addresses of names into a set, and they go by another NAT64.

host4 --- router4 (the names' own server) --- translator (dnsmasq) --- router6 --- host6
"""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from scapy.layers.dns import DNS, DNSQR

from nfxlat.lab import plats
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.plats import PLATS
from nfxlat.lab.topology import HOST4, HOST6_4, ROUTER4, TRANSLATOR, Lab
from nfxlat.nft.shipped import RULES

NAME, PLAIN = "www.example.com", "www.example.org"
OTHER = "198.51.101.2"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with plats.running("names", [OTHER]) as (found, _):
        directory = tmp_path_factory.mktemp("dnsmasq")
        answers = [f"address=/{NAME}/{HOST6_4}", f"address=/{PLAIN}/{OTHER}"]
        start(found.router4, directory / "upstream.conf", ROUTER4[1], answers)
        asked = [*advised(), f"server={ROUTER4[1]}"]
        dnsmasq = start(found.translator, directory / "dnsmasq.conf", TRANSLATOR[0], asked)
        wait_for(lambda: dnsmasq.poll() is not None or ask(found, PLAIN, 1.0) == [OTHER], "dnsmasq", 30)
        yield found


def advised() -> list[str]:
    """The lines for dnsmasq.conf that the file of rules has."""
    lines = re.findall(r"^#     (nftset=\S+|max-ttl=\S+)", (RULES / "xlat/names.nft").read_text(), re.MULTILINE)
    assert len(lines) == 2
    return lines


def start(namespace: Namespace, file: Path, address: str, lines: Sequence[str]) -> subprocess.Popen[str]:
    assert shutil.which("dnsmasq")
    always = ["no-resolv", "no-hosts", "bind-interfaces", f"listen-address={address}", "user=root", "pid-file="]
    file.write_text("\n".join([*always, *lines, ""]))
    return namespace.popen(["dnsmasq", "--keep-in-foreground", f"--conf-file={file}"], stderr=subprocess.DEVNULL)


def ask(lab: Lab, name: str, timeout: float = 5.0) -> list[str]:
    """What a client is told of a name; nothing if it is not told in time."""
    with lab.host4.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(timeout)
        udp.connect((TRANSLATOR[0], 53))
        try:
            udp.send(bytes(DNS(rd=1, qd=DNSQR(qname=name))))
            answer = DNS(udp.recv(1500))
        except OSError:
            return []
    return [answer.an[n].rdata for n in range(answer.ancount)]


def chosen(lab: Lab) -> dict[str, float]:
    """The elements of the set, and the seconds that each has left."""
    listed = json.loads(lab.translator.run(["nft", "-j", "list set ip names chosen"]).stdout)["nftables"]
    elements = next(item["set"] for item in listed if "set" in item).get("elem", [])
    return {element["elem"]["val"]: element["elem"]["expires"] for element in elements}


def test_an_address_goes_by_the_other_plat_once_its_name_has_been_asked_for(lab: Lab) -> None:
    assert chosen(lab) == {}
    assert plats.ways(lab, [HOST4]) == {HOST4: "plat1"}
    assert ask(lab, NAME) == [HOST6_4]
    assert ask(lab, PLAIN) == [OTHER]
    assert set(chosen(lab)) == {HOST6_4}
    assert plats.ways(lab, [HOST4]) == {HOST4: "plat2"}
    assert plats.ways(lab, [HOST4], OTHER) == {HOST4: "plat1"}


def test_all_kinds_of_traffic_cross_by_either(lab: Lab) -> None:
    ask(lab, NAME)
    plats.crosses(lab, PLATS[1])
    plats.crosses(lab, PLATS[0], OTHER)
    lab.translator.run(["nft", "add element ip names chosen { 198.51.100.34 }"])
    plats.narrows(lab, PLATS[1])


def test_use_keeps_an_address_in_the_set_and_disuse_takes_it_out(lab: Lab) -> None:
    nft = ["nft", f"flush set ip names chosen; add element ip names chosen {{ {HOST6_4} timeout 100s expires 50s }}"]
    lab.translator.run(nft)
    assert chosen(lab)[HOST6_4] <= 50
    assert plats.ways(lab, [HOST4]) == {HOST4: "plat2"}
    assert chosen(lab)[HOST6_4] > 60
    lab.translator.run(["nft", "flush set ip names chosen"])
    lab.translator.run(["nft", f"add element ip names chosen {{ {HOST6_4} timeout 1s }}"])
    wait_for(lambda: HOST6_4 not in chosen(lab), "the end of its time")
    assert plats.ways(lab, [HOST4]) == {HOST4: "plat1"}
