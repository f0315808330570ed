"""IPv6 hosts inside a prefix6, against the checker's advice.

host4 --- router4 --- translator, with the domains `ping` and `pong` --- router6 --- host6
"""

from contextlib import ExitStack
from pathlib import Path

import pytest

from nfxlat import config
from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.rules import loaded, prepare
from nfxlat.lab.topology import HOST4, HOST6, HOST6_EAM4, Lab
from nfxlat.nft.check.judge import check
from nfxlat.nft.language.program import program

# host6 is 203.0.113.2 to IPv4, by `ping`; %s is the address that the EAM gives it
TOML = """
[domain.ping]
prefix6 = "2001:db8:64::/96"
eam = [["203.0.113.2", "%s"]]
[domain.pong]
prefix6 = "2001:db8:65::/96"
pool4 = ["198.18.7.0/24"]
"""
RULES = """
table inet t {
	chain pre {
		type filter hook prerouting priority -450; policy accept;
		ip daddr 203.0.113.2 xlat to ping
		ip daddr 198.18.7.0/24 xlat to pong
		ip6 daddr 2001:db8:64::/96 xlat from ping
		ip6 daddr 2001:db8:65::/96 xlat from pong
	}
}
"""
WAIT = {True: 5.0, False: 1.0}  # seconds


@pytest.mark.advice("loop")
@pytest.mark.parametrize(
    ("address", "loop", "refusal"),
    [(HOST6, False, ""), ("2001:db8:65::cb00:7102", True, "no_mapping_source"), ("2001:db8:64::1", True, "")],
    ids=["outside", "in another's", "in its own"],
)
def test_a_host_inside_a_prefix6_is_reached_by_nobody(
    bare_lab: Lab, tmp_path: Path, address: str, loop: bool, refusal: str
) -> None:
    lab, toml = bare_lab, tmp_path / "domains.toml"
    toml.write_text(TOML % address)
    found = program(RULES, str(tmp_path / "loops.nft"), config.load(toml).domains)
    assert ("loop" in {finding.code for finding in check(found)}) == loop
    with ExitStack() as stack:
        stack.enter_context(loaded(lab.translator, found))
        processes = []
        for name, queue in (("ping", 7), ("pong", 9)):
            (tmp_path / name).mkdir()
            arguments = ("--config", str(toml), "--domain", name)
            process = TranslatorProcess(lab.translator, tmp_path / name, *arguments, queue=queue, setup=False)
            processes.append(stack.enter_context(process))
        prepare(lab.translator, found)
        assert lab.host4.call(ping, HOST6_EAM4, HOST4, count=1, timeout=WAIT[not loop]).ok != loop
        wanted = [refusal] if refusal else []
        wait_for(lambda: list(processes[1].summary()["reasons"]) == wanted, f"{wanted}")
