"""Links of 9000 octets carry packets of 9000 octets, in every model.

host4 --- router4 --- translator --- router6 --- host6, each link 9000
"""

import pytest

from nfxlat.lab.datagram import path_mtu
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4, HOST4_6, HOST6, HOST6_EAM4, Lab

JUMBO = 9000


@pytest.mark.parametrize(
    "run_arguments", [(), ("--inject", "ip"), ("--model", "device"), ("--model", "route")], ids=" ".join
)
def test_the_path_mtu_is_that_of_the_links(bare_lab: Lab, run_arguments: tuple[str, ...]) -> None:
    lab = bare_lab
    for namespace, interfaces in (
        (lab.host4, ("to-r4",)),
        (lab.router4, ("to-h4", "to-x")),
        (lab.translator, ("to-r4", "to-r6")),
        (lab.router6, ("to-x", "to-h6")),
        (lab.host6, ("to-r6",)),
    ):
        for interface in interfaces:
            namespace.ip(f"link set {interface} mtu {JUMBO}")
    with TranslatorProcess(lab.translator, lab.directory, *run_arguments):
        assert lab.host6.call(path_mtu, HOST4_6, 9, HOST6).mtu == JUMBO
        assert lab.host4.call(path_mtu, HOST6_EAM4, 9, HOST4).mtu == JUMBO - 20
