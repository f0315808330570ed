"""The rules of `--setup` in the kernel: loaded as a whole, changed by elements of sets, listed, removed."""

import os
from collections import Counter
from itertools import pairwise
from typing import Literal

from nfxlat.errors import OperatorError
from nfxlat.host import input_checks
from nfxlat.nft.kernel import elements, listing, load, ruleset
from nfxlat.nft.language import builtin
from nfxlat.nft.language.compile import Compiled
from nfxlat.nft.language.inputs import NO_INPUTS, Inputs
from nfxlat.nft.language.scan import scan
from nfxlat.nft.language.sets import Contents
from nfxlat.plan.plan import Plan
from nfxlat.plan.record import Table
from nfxlat.terms import Report
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import ReversePath

CHECKS = {
    "reverse4": "rp_filter",
    "unlike4": "rp_filter of an interface",
    "closed4": "forwarding of an interface",
    "bridges": "bridges",
    "policies": "IPsec policies",
    "members": "interfaces of the VRF",
    "own": "addresses in the VRF",
}  # fields of Inputs, in the operator's words

RulePath = Literal["native", "compat"]


class OwnRules:
    """What is loaded of a plan's rules. `path` says how the queue rules were made: "native" (nft's `queue`), "compat"
    (xtables' NFQUEUE target), None where there are none. `meant` are the rules that are to be there; `inputs` what the
    host checked of packets from outside when they were made."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.path: RulePath | None = None
        self.meant: listing.Identities = Counter()
        self.inputs = NO_INPUTS
        self._reverse_path: ReversePath = "kernel"

    def load(self, plan: Plan) -> None:
        """All of them, in the place of what is there; what waits in queues is lost with that. Raises OperatorError."""
        for family, table in listing.dormant() & {*tables(plan)}:  # it sees no packet, and would sleep on
            load.unload(family, table)
        rules, native = plan.rules, ruleset.native()
        inputs = inputs_of(plan)
        compiled = builtin.compile_builtin(
            rules.domain, rules.role, rules.model, rules.queues, native=native, inputs=inputs
        )
        ruleset.install(compiled, f"rules nfxlat_{plan.name}")
        self.path = None if not compiled.queue_chains else "native" if native else "compat"
        self.meant = _meant(compiled)
        self.inputs, self._reverse_path = inputs, plan.domain.reverse_path
        how = "queue natively" if native else "queue by compat target"
        told = f"{how}, {rules.queues.first} to {rules.queues.last}" if self.path else "no queue"
        for family, table in tables(plan):
            self._report(f"rules {family} {table} loaded ({told})")

    def listed(self, plan: Plan) -> listing.Identities:
        """The rules that are in the plan's tables now, and see packets."""
        asleep = listing.dormant()
        awake = [table for table in tables(plan) if table not in asleep]
        return listing.identities(rule for family, table in awake for rule in listing.rules(family, table))

    def outdated(self, plan: Plan) -> str:
        """What has changed of which the loaded rules were made, other than what sets hold; "" where nothing has."""
        if plan.domain.reverse_path != self._reverse_path:
            return "reverse-path"
        now, then = inputs_of(plan), self.inputs
        return ", ".join(what for field, what in CHECKS.items() if getattr(now, field) != getattr(then, field))

    @property
    def chains(self) -> dict[str, dict[str, int]]:
        """How many rules each chain is to have, by "family table" and chain."""
        found: dict[str, Counter[str]] = {}
        for (family, table, chain, _), number in self.meant.items():
            found.setdefault(f"{family} {table}", Counter())[chain] += number
        return {table: dict(chains) for table, chains in found.items()}

    def remove(self, stale: tuple[Table, ...]) -> None:
        """Remove these tables, where they are there."""
        for family, table in reversed(stale):
            if load.unload(family, table):
                self._report(f"rules {family} {table} removed")


def inputs_of(plan: Plan) -> Inputs:
    """What the host checks now of packets from outside, for the rules of the plan."""
    rules = plan.rules
    if rules.model == "device":
        return NO_INPUTS
    try:
        return input_checks.found(rules.domain, rules.role)
    except OSError as error:
        raise OperatorError(f"cannot be listed: {os.strerror(error.errno or 0)}", where="interfaces") from None


def tables(plan: Plan) -> tuple[Table, ...]:
    """Where the rules of a plan are."""
    return builtin.tables(plan.name)


def contents(plan: Plan) -> Contents:
    """What the sets of a plan's rules hold; computed, since that of a large table is large."""
    rules = plan.rules
    return builtin.contents(rules.domain, rules.role, rules.model)


def change(former: Contents, wanted: Contents) -> None:
    """Elements alone. Raises OperatorError, and then nothing has changed."""
    elements.change(former, wanted)


def common(former: Contents, wanted: Contents) -> Contents:
    """What sets hold that select no more than both do: of what is let off, all that either lets off."""
    return {
        name: prefixes.merged([*former[name], *spans]) if name.lets_off else prefixes.common(former[name], spans)
        for name, spans in wanted.items()
    }


def _meant(compiled: Compiled) -> listing.Identities:
    """The rules of the compiled text by table, chain and comment, with those that open its queues."""
    found: listing.Identities = Counter()
    for rule in scan(compiled.structure, "rules").rules:
        comment = next((after.bare for word, after in pairwise(rule.tokens) if word.text == "comment"), "")
        table = rule.chain.table
        found[table.family, table.name, rule.chain.name, comment] += 1
    return found
