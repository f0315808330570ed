"""What a record tells of its purpose: enough to judge the host as `--setup` has done, or nothing."""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

import pytest

from nfxlat.plan.facts import NOTHING_KNOWN, Facts
from nfxlat.plan.plan import plan
from nfxlat.plan.record import Record
from nfxlat.plan.routes import Ends
from nfxlat.queues import Queues
from nfxlat.service import fitness, purpose
from nfxlat.service.diagnosis import State
from nfxlat.terms import Role
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

PREFIX6 = IPv6Network("2001:db8:64::/96")
HOST = plan(
    Domain("clat0", PREFIX6, Eamt([(IPv4Network("192.0.0.1"), IPv6Network("2001:db8:2::2"))])), "host", "hook", Queues()
)


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def facts(domain: Domain, role: Role, ends: Ends) -> Facts:
        return NOTHING_KNOWN

    monkeypatch.setattr(purpose, "facts", facts)


@pytest.mark.parametrize("meant", [HOST, plan(Domain(prefix6=PREFIX6), "router", "device", Queues())])
def test_a_record_tells_the_plan_that_it_is_for(meant: object) -> None:
    assert isinstance(meant, type(HOST))
    assert purpose.meant_by(purpose.covering(Record(), meant)) == meant


def test_a_large_table_is_not_written_down_twice() -> None:
    table = Eamt((IPv4Network((n, 32)), IPv6Network((n, 128))) for n in range(1 << 28, (1 << 28) + purpose.EAMS + 1))
    large = plan(Domain(prefix6=PREFIX6, eamt=table), "router", "hook", Queues())
    found = purpose.covering(Record(), large)
    assert found.purpose == ()
    assert purpose.meant_by(found) is None


@pytest.mark.parametrize(
    "told", [("host",), ("host", "hook", "[domain"), ("host", "hook", ""), ("host", "device", HOST.name), ("", "", "")]
)
def test_what_cannot_be_read_tells_nothing(told: tuple[str, ...]) -> None:
    assert purpose.meant_by(Record(purpose=told)) is None


def test_a_model_of_another_version_tells_nothing() -> None:
    written = purpose.covering(Record(), HOST).purpose
    assert purpose.meant_by(replace(Record(), purpose=("router", "new", written[2]))) is None


def test_a_host_that_cannot_be_judged_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(fitness, "judged", fail)
    (found,) = fitness.fitness(HOST)
    assert (found.state, found.found) == (State.UNKNOWN, "no")
