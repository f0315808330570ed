"""Without --setup, with the operator's own single rule a family that sends everything to queue 7: correct, only slower.

The rules have no guard against what comes back from the domain device: that is the data path's own.
"""

from collections.abc import Iterator

import pytest

from nfxlat.lab.datagram import UdpEcho, exchange
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4_6, HOST6, HOST6_4, HOST6_EAM4, HOST6_PREFIX, Lab
from nfxlat.lab.transfer import download, serving
from nfxlat.nft.kernel import compat, load

RULES = """
table ip own {
    chain prerouting { type filter hook prerouting priority -450; ip daddr { 198.51.100.0/24, 203.0.113.2 } goto q; }
    chain q { drop; }
}
table ip6 own {
    chain prerouting { type filter hook prerouting priority -450; ip6 daddr 2001:db8:64::/96 goto q; }
    chain q { drop; }
}
"""


@pytest.fixture
def own_rules(bare_lab: Lab) -> Iterator[TranslatorProcess]:
    bare_lab.translator.sysctl("net.ipv4.ip_forward", 1)
    bare_lab.translator.sysctl("net.ipv6.conf.all.forwarding", 1)
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, setup=False) as process:
        with bare_lab.translator.entered():
            load.run(RULES.replace("; }", "\n}").replace("{ type", "{\ntype").replace("{ drop", "{\ndrop"))
            for family in ("ip", "ip6"):
                if load.queue_expression_available():
                    load.run(f"insert rule {family} own q queue num 7")
                else:
                    compat.insert_queue_rule(family, "own", "q", 7, "own")
        yield process


def test_one_rule_a_family_is_enough(bare_lab: Lab, own_rules: TranslatorProcess) -> None:
    lab = bare_lab
    for target in (HOST6_4, HOST6_EAM4):
        assert lab.host4.call(ping, target).ok
    for source in (HOST6, HOST6_PREFIX):
        assert lab.host6.call(ping, HOST4_6, source).ok
    with UdpEcho(lab.host6, "::") as echo:
        assert lab.host4.call(exchange, HOST6_4, echo.port, 3000).ok
    with serving(lab.host6, 4 << 20) as server:
        assert lab.host4.call(download, HOST6_4, server).intact
    summary = own_rules.summary()
    assert summary["totals"]["superframes"] == 0
    assert summary["reasons"]["from_domain_device"]["6to4"] > 0  # to the IPv6 host inside prefix6: passed on
    assert set(summary["reasons"]) <= {"translated", "fragmented", "from_domain_device", "packet_too_big"}
