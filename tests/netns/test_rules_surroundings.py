"""What stands around a set-up: forward chains, policy routing, routes. Told by `--setup`, shown by packets, mended."""

from ipaddress import IPv4Network, IPv6Network

import pytest

from nfxlat.errors import OperatorError
from nfxlat.judgement import Finding
from nfxlat.lab.netns import Namespace
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST6_EAM4, PREFIX6, Lab
from nfxlat.nft.language.program import program
from nfxlat.service.live_check import check_live
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

pytestmark = pytest.mark.netns

EAM = (HOST6_EAM4, "2001:db8:2::2")
DOMAIN = ("--prefix6", str(PREFIX6), "--eam", "=".join(EAM))
RULES = "table inet t { chain c { type filter hook prerouting priority -450; ip daddr @siit0_to xlat to siit0; }; }"
FORWARD = "table inet fw { chain forward { type filter hook forward priority filter; policy drop; }; }"
ROUTER4 = "192.0.2.17"


def told(process: TranslatorProcess, code: str) -> str:
    """The line of that code that it has printed; its remedy."""
    (line,) = [line for line in process.output() if f"[{code}]" in line]
    assert line.startswith("warning: ")
    return line.partition("; ")[2]


def judged(lab: Lab, code: str) -> list[Finding]:
    """What `rules check --live` says of the same."""
    domain = Domain(prefix6=PREFIX6, eamt=Eamt([(IPv4Network(EAM[0]), IPv6Network(EAM[1]))]))
    found = lab.translator.call(check_live, program(RULES, "x.nft", [domain]))
    return [finding for finding in found if finding.code == code]


def crosses(lab: Lab, expected: bool = True) -> bool:
    return lab.host4.call(ping, HOST6_EAM4, count=1, timeout=5.0 if expected else 0.5).ok


@pytest.mark.advice("forward-drop")
def test_a_forward_chain_that_drops_drops_what_is_translated(bare_lab: Lab) -> None:
    bare_lab.translator.run(["nft", FORWARD])
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, *DOMAIN) as process:
        remedy = told(process, "forward-drop")
        (finding,) = judged(bare_lab, "forward-drop")
        assert finding.instead == remedy
        assert not crosses(bare_lab, expected=False)
        bare_lab.translator.run(remedy.split())
        assert crosses(bare_lab)
        assert judged(bare_lab, "forward-drop") == []


def divert(translator: Namespace) -> None:
    translator.ip(f"route add default via {ROUTER4} table 100")
    translator.ip("rule add pref 100 lookup 100")


@pytest.mark.advice("policy-rule")
def test_a_policy_rule_ahead_of_main_routes_around_the_domain(bare_lab: Lab) -> None:
    translator = bare_lab.translator
    divert(translator)
    with TranslatorProcess(translator, bare_lab.directory, *DOMAIN) as process:
        remedy = told(process, "policy-rule")
        (finding,) = judged(bare_lab, "policy-rule")
        assert finding.instead == remedy
        translator.sysctl("net.ipv4.conf.siit0.rp_filter", 1)
        assert not crosses(bare_lab, expected=False)
        for command in remedy.split("; "):
            translator.run(command.split())
        assert crosses(bare_lab)
        assert judged(bare_lab, "policy-rule") == []


def test_where_routes_select_a_policy_rule_ahead_of_main_is_refused(bare_lab: Lab) -> None:
    divert(bare_lab.translator)
    for model in ("device", "route"):
        with (
            pytest.raises(OperatorError, match="never reach siit0, and are not translated"),
            TranslatorProcess(bare_lab.translator, bare_lab.directory, *DOMAIN, "--model", model),
        ):
            pass
    bare_lab.translator.ip("rule add pref 50 to 203.0.113.0/24 lookup main")
    bare_lab.translator.ip("rule add pref 51 to 192.0.0.8 lookup main")
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, *DOMAIN, "--model", "route"):
        assert crosses(bare_lab)


@pytest.mark.advice("taken-route")
def test_a_route_to_a_translated_prefix_is_taken_over_while_it_lasts(bare_lab: Lab) -> None:
    bare_lab.translator.ip(f"route add {HOST6_EAM4} via {ROUTER4} metric 50")
    assert not crosses(bare_lab, expected=False)
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, *DOMAIN) as process:
        told(process, "taken-route")
        assert crosses(bare_lab)
    assert bare_lab.translator.ip(f"route show {HOST6_EAM4}").split()[:3] == [HOST6_EAM4, "via", ROUTER4]
