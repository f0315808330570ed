"""The rules of `--setup` in the kernel: loaded as a whole, changed by elements of sets, listed, removed."""

from collections import Counter
from itertools import pairwise
from typing import Literal

from nfxlat.nft.kernel import elements, listing, load, ruleset
from nfxlat.nft.language import builtin
from nfxlat.nft.language.compile import Compiled
from nfxlat.nft.language.scan import scan
from nfxlat.nft.language.sets import Contents
from nfxlat.plan.plan import Plan
from nfxlat.plan.record import Table
from nfxlat.terms import Report
from nfxlat.xlat import prefixes

RulePath = Literal["native", "compat"]


class OwnRules:
    """What is loaded of a plan's rules. `path` says how the queue rules were made: "native" (nft's `queue`), "compat"
    (xtables' NFQUEUE target), None where there are none. `meant` are the rules that are to be there."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.path: RulePath | None = None
        self.meant: listing.Identities = Counter()

    def load(self, plan: Plan) -> None:
        """All of them, in the place of what is there; what waits in queues is lost with that. Raises OperatorError."""
        for family, table in listing.dormant() & {*tables(plan)}:  # it sees no packet, and would sleep on
            load.unload(family, table)
        rules, native = plan.rules, ruleset.native()
        compiled = builtin.compile_builtin(rules.domain, rules.role, rules.model, rules.queues, native=native)
        ruleset.install(compiled, f"rules nfxlat_{plan.name}")
        self.path = None if not compiled.queue_chains else "native" if native else "compat"
        self.meant = _meant(compiled)
        how = "queue natively" if native else "queue by compat target"
        told = f"{how}, {rules.queues.first} to {rules.queues.last}" if self.path else "no queue"
        for family, table in tables(plan):
            self._report(f"rules {family} {table} loaded ({told})")

    def listed(self, plan: Plan) -> listing.Identities:
        """The rules that are in the plan's tables now, and see packets."""
        asleep = listing.dormant()
        awake = [table for table in tables(plan) if table not in asleep]
        return listing.identities(rule for family, table in awake for rule in listing.rules(family, table))

    def remove(self, stale: tuple[Table, ...]) -> None:
        """Remove these tables, where they are there."""
        for family, table in reversed(stale):
            if load.unload(family, table):
                self._report(f"rules {family} {table} removed")


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
