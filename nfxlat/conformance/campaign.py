"""The whole suite, or part of it, for one translator: domain by domain, two at a time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from nfxlat.conformance.drivers import Driver
from nfxlat.conformance.run import Link, Run
from nfxlat.conformance.stand import stand
from nfxlat.conformance.suite import Case, Domain, Suite
from nfxlat.errors import OperatorError

AT_ONCE: Final = 2  # domains; most of a domain's time goes into starting its translator

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one case with one translator. `lines`: what is wrong, or why it was skipped."""

    case: Case
    result: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All outcomes of one translator. `hops`: what it takes off, IPv4 to IPv6 and back, by domain base or the first."""

    name: str
    title: str
    version: str
    outcomes: tuple[Outcome, ...]
    hops: tuple[int, int]
    seconds: float

    def count(self, result: str, section: str | None = None) -> int:
        """Outcomes of this result, of one section or of all."""
        return sum(one.result == result for one in self.outcomes if section is None or one.case.section == section)


def chosen(
    suite: Suite, sections: Sequence[str] = (), words: Sequence[str] = (), domains: Iterable[str] = ()
) -> list[Case]:
    """Cases whose section begins with one of `sections`, that bear one of `words` in their name or are of that number,
    and are of one of `domains`; of all where none is given. Raises OperatorError where none is left."""
    names = set(domains)
    found = [
        case
        for case in suite.cases
        if (not sections or any(case.section.startswith(one) for one in sections))
        and (not words or any(_is(case, word) for word in words))
        and (not names or case.domain in names)
    ]
    if not found:
        raise OperatorError("no case is like that", hint="nfxlat conformance --list")
    return found


def _is(case: Case, word: str) -> bool:
    return str(case.number) == word if word.isdigit() else word.lower() in case.id.lower()


def through(suite: Suite, cases: Sequence[Case], driver: Driver) -> Report:
    """Each case through the driver's translator, in namespaces."""
    began = time.monotonic()
    outcomes: dict[int, Outcome] = {}
    hops: dict[str, tuple[int, int]] = {}

    def one(domain: Domain, own: list[Case]) -> None:
        why = driver.refuses(domain)
        if why:
            outcomes.update({case.number: Outcome(case, SKIPPED, (why,)) for case in own})
        else:
            _hold(domain, stand(driver, domain), own, outcomes, hops, learns=driver.learns)

    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for job in [pool.submit(one, suite.domains[name], own) for name, own in _by_domain(cases).items()]:
            job.result()
    finally:
        pool.shutdown(cancel_futures=True)
    return _report(driver.name, driver.title, driver.version(), cases, outcomes, hops, began)


def through_link(suite: Suite, cases: Sequence[Case], link: Link, name: str, title: str) -> Report:
    """Each case through something that is set up already, with the one domain of the cases."""
    began = time.monotonic()
    outcomes: dict[int, Outcome] = {}
    hops: dict[str, tuple[int, int]] = {}
    for domain, own in _by_domain(cases).items():
        _hold(suite.domains[domain], contextlib.nullcontext(link), own, outcomes, hops)
    return _report(name, title, "", cases, outcomes, hops, began)


def _by_domain(cases: Sequence[Case]) -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.domain, []).append(case)
    return found


def _hold(
    domain: Domain,
    stood: contextlib.AbstractContextManager[Link],
    cases: list[Case],
    outcomes: dict[int, Outcome],
    hops: dict[str, tuple[int, int]],
    *,
    learns: bool = False,
) -> None:
    """Where the translator does not start, or nothing crosses it, each case has failed."""
    try:
        with stood as link:
            run = Run(domain, link, learns=learns)
            for result in run.cases(cases):
                state = PASSED if result.verdict.ok else FAILED
                outcomes[result.case.number] = Outcome(result.case, state, result.verdict.lines)
            hops[domain.name] = run.hops[4, 6], run.hops[6, 4]
    except OperatorError as error:
        lines = (f"domain {domain.name}: {error}",)
        outcomes.update({case.number: Outcome(case, FAILED, lines) for case in cases})


def _report(
    name: str,
    title: str,
    version: str,
    cases: Sequence[Case],
    outcomes: dict[int, Outcome],
    hops: dict[str, tuple[int, int]],
    began: float,
) -> Report:
    taken = hops.get("base") or next(iter(hops.values()), (1, 1))
    ordered = tuple(outcomes[case.number] for case in cases if case.number in outcomes)
    return Report(name, title, version, ordered, taken, time.monotonic() - began)
