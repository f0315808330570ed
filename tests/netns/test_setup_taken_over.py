"""`--setup` where another run was killed, or lives: what is taken over, and what is left alone."""

from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest
from set_up import STEPS, start, start_and_kill
from setup_node import DOMAIN, OTHER, entered_node, made, snapshot

from nfxlat.errors import OperatorError
from nfxlat.host import routes
from nfxlat.lab.netns import Namespace
from nfxlat.service.setup import Setup
from nfxlat.terms import Role
from nfxlat.xlat.domain import Domain

pytestmark = pytest.mark.netns


@pytest.fixture
def node() -> Iterator[Namespace]:
    with entered_node() as node:
        yield node


@pytest.mark.parametrize("role", ["router", "host"])
def test_what_a_killed_run_leaves_is_taken_over_and_the_originals_come_back(node: Namespace, role: Role) -> None:
    before = snapshot()
    start_and_kill(node, role)
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
    start_and_kill(node, "router")
    setup = made(domain=Domain(prefix6=DOMAIN.prefix6, pool4=(IPv4Network("192.0.2.0/24"),)))
    setup.up()
    assert node.ip("route show 198.51.100.0/24") == ""
    assert "dev siit0" in node.ip("route show 192.0.2.0/24")
    setup.down()
    assert snapshot() == before


@pytest.mark.parametrize("role", ["router", "host"])
@pytest.mark.parametrize("domain", [DOMAIN, OTHER], ids=["former", "new"])
@pytest.mark.parametrize("step", STEPS)
def test_run_that_is_killed_in_a_reload_is_taken_over_with_either_configuration(
    node: Namespace, step: str, domain: Domain, role: Role
) -> None:
    before = snapshot()
    undisturbed = made(role, domain)
    undisturbed.up()
    up = snapshot()
    undisturbed.down()
    start_and_kill(node, role, "--reload", step)
    setup = made(role, domain)
    setup.up()
    assert snapshot() == up
    setup.down()
    assert snapshot() == before


def test_second_set_up_of_a_living_domain_is_refused_and_harms_nothing(node: Namespace) -> None:
    process = start(node, "router")
    before = snapshot()
    with pytest.raises(OperatorError, match="another nfxlat"):
        made().up()
    assert snapshot() == before
    process.kill()
    process.wait()
    successor = made()
    successor.up()
    successor.down()


def test_what_cannot_be_removed_of_a_killed_run_does_not_hinder_the_new_one(
    node: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot()
    start_and_kill(node, "router")
    lines: list[str] = []
    setup = made(domain=OTHER, report=lines.append)

    def fail(*_: object) -> None:
        raise OperatorError("no")

    with monkeypatch.context() as patch:
        patch.setattr(routes, "delete", fail)
        setup.up()
    assert lines[-1] == "not all of a former run could be removed: no"
    assert setup.stamp is not None
    setup.down()
    assert snapshot() == before


def test_what_cannot_be_planned_leaves_nothing(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot()

    def fail(*_: object) -> None:
        raise OperatorError("no")

    monkeypatch.setattr(Setup, "planned", fail)
    with pytest.raises(OperatorError, match="no"):
        made().up()
    assert snapshot() == before
