"""`--setup` where another run was killed, or lives: what is taken over, and what is left alone."""

import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import setup_node
from setup_node import DOMAIN, OTHER, entered_node, made, snapshot

from nfxlat.errors import OperatorError
from nfxlat.lab.netns import Namespace
from nfxlat.terms import Role
from nfxlat.xlat.domain import Domain

pytestmark = pytest.mark.netns

SET_UP = """
import sys
sys.path.insert(0, {path!r})
from nfxlat.host import routes
from nfxlat.service import own_rules, setup as service
from setup_node import OTHER, made
def wait(*arguments, **options):
    print("up", flush=True)
    sys.stdin.read()
setup = made({role!r}, report=print)
setup.up()
{then}
wait()
"""


@pytest.fixture
def node() -> Iterator[Namespace]:
    with entered_node() as node:
        yield node


def living(node: Namespace, role: Role = "router", then: str = "") -> subprocess.Popen[str]:
    """A set-up in a process of its own, which is up and has done `then`."""
    script = SET_UP.format(path=str(Path(setup_node.__file__).parent), role=role, then=then)
    process = node.popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert "up\n" in iter(process.stdout.readline, "")
    return process


def killed(node: Namespace, role: Role = "router", then: str = "") -> None:
    """Such a process, killed with SIGKILL."""
    process = living(node, role, then)
    process.kill()
    process.wait()


@pytest.mark.parametrize("role", ["router", "host"])
def test_what_a_killed_run_leaves_is_taken_over_and_the_originals_come_back(node: Namespace, role: Role) -> None:
    before = snapshot()
    killed(node, role)
    left = snapshot()
    assert left["pinned"]
    assert left["rules"]
    lines: list[str] = []
    setup = made(role, report=lines.append)
    setup.up()
    up = snapshot()
    assert lines[0].startswith("taking over")
    assert any(line.startswith("device siit0 taken over") for line in lines)
    assert {key: up[key] for key in ("routes", "routes6", "rules", "links", "sysctls")} == {
        key: left[key] for key in ("routes", "routes6", "rules", "links", "sysctls")
    }
    setup.down()
    assert snapshot() == before


def test_take_over_with_another_configuration_removes_the_former_s_routes(node: Namespace) -> None:
    before = snapshot()
    killed(node)
    setup = made(domain=Domain(prefix6=DOMAIN.prefix6, pool4=(IPv4Network("192.0.2.0/24"),)))
    setup.up()
    assert node.ip("route show 198.51.100.0/24") == ""
    assert "dev siit0" in node.ip("route show 192.0.2.0/24")
    setup.down()
    assert snapshot() == before


RELOAD_STEPS = {  # where it is killed
    "before the first route": "routes.add = wait",
    "among the routes": "add = routes.add\nroutes.add = lambda some, *more: (add(some[:3], *more), wait())",
    "behind the routes": "own_rules.change = wait",
    "among the workers": "change = lambda: setup.apply(setup.planned(OTHER), wait)",
    "with the rules": "service.Setup._shrink = wait",
    "at the end": "",
}
RELOAD = "\nif 'change' not in dir(): change = lambda: setup.apply(setup.planned(OTHER))\nchange()"


@pytest.mark.parametrize("role", ["router", "host"])
@pytest.mark.parametrize("domain", [DOMAIN, OTHER], ids=["former", "new"])
@pytest.mark.parametrize("step", RELOAD_STEPS)
def test_run_that_is_killed_in_a_reload_is_taken_over_with_either_configuration(
    node: Namespace, step: str, domain: Domain, role: Role
) -> None:
    before = snapshot()
    undisturbed = made(role, domain)
    undisturbed.up()
    up = snapshot()
    undisturbed.down()
    killed(node, role, RELOAD_STEPS[step] + RELOAD)
    setup = made(role, domain)
    setup.up()
    assert snapshot() == up
    setup.down()
    assert snapshot() == before


def test_second_set_up_of_a_living_domain_is_refused_and_harms_nothing(node: Namespace) -> None:
    process = living(node)
    before = snapshot()
    with pytest.raises(OperatorError, match="another nfxlat"):
        made().up()
    assert snapshot() == before
    process.kill()
    process.wait()
    successor = made()
    successor.up()
    successor.down()
