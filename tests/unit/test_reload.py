"""A reload that fails is refused, told and counted each time, whatever it has met, and nothing has changed."""

import os
from ipaddress import IPv6Network

import pytest

from nfxlat.errors import OperatorError
from nfxlat.service.options import Options
from nfxlat.service.translation import Service
from nfxlat.xlat.domain import Domain

FORMER, NEW = (Domain(prefix6=IPv6Network(prefix)) for prefix in ("2001:db8:64::/96", "2001:db8:65::/96"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OperatorError("the new worker did not become ready", where="worker 0"), "worker 0: the new worker did not"),
        (OSError(12, os.strerror(12)), "a reload failed: OSError: [Errno 12] Cannot allocate memory at "),
        (ZeroDivisionError("a bug"), "a reload failed: ZeroDivisionError: a bug at "),
    ],
    ids=["worker", "lack", "bug"],
)
def test_what_fails_is_refused_each_time_and_offload_goes_on(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    told: list[str] = []
    service = Service(Options(FORMER), told.append)
    steps: list[str] = []
    monkeypatch.setattr(service._offloading, "suspend", steps.append)
    monkeypatch.setattr(service._offloading, "resume", lambda domain, device: steps.append(str(domain.prefix6)))

    def prepare() -> None:
        raise error

    monkeypatch.setattr(service._supervisor, "prepare", prepare)
    for times in (1, 2):
        refused = service._have_read(lambda: NEW)
        assert words in str(refused)
        assert len(told) == times
        assert told[-1].startswith(f"reload refused, nothing has changed: {words}")
        assert service._reload.counts == {"done": 0, "refused": times, "longest_ms": 0.0}
        assert service._options.domain is FORMER
        assert steps[-1] == str(FORMER.prefix6)  # resumed, for what it had


def test_what_fails_while_it_is_told_of_the_new_one_leaves_the_former(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    service = Service(Options(FORMER), told.append)

    def renew() -> None:
        raise OSError(105, os.strerror(105))

    monkeypatch.setattr(service._watches, "renew", renew)
    assert "No buffer space" in str(service._have_read(lambda: NEW))
    assert service._options.domain is FORMER  # which a worker that dies now has again
    assert len(told) == 1
