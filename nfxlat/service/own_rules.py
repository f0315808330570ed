"""The rules of `--setup` in the kernel: loaded as a whole, changed by elements of sets, listed, removed."""

from collections import Counter
from typing import Literal

from nfxlat.nft.kernel import compat, elements, listing, load
from nfxlat.nft.language import templates
from nfxlat.nft.language.sets import Contents
from nfxlat.nft.language.spread import chain_of
from nfxlat.plan.plan import Plan
from nfxlat.plan.record import Table
from nfxlat.terms import FAMILIES, Report

__all__ = ["Contents", "OwnRules", "RulePath", "change", "contents", "tables"]

RulePath = Literal["native", "compat"]


class OwnRules:
    """What is loaded of a plan's rules. `path` says how the queue rules were made: "native" (nft's `queue`), "compat"
    (xtables' NFQUEUE target), None where there are none. `identities` are those that were loaded."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.path: RulePath | None = None
        self.identities: listing.Identities = Counter()

    def load(self, plan: Plan) -> None:
        """All of them, in the place of what is there; what waits in queues is lost with that. Raises OperatorError."""
        table, rules = templates.table(plan.domain), plan.rules
        load.run(templates.rules(plan.domain, _template(plan), rules.queues.workers), what=f"rules {table}")
        if rules.model == "device":
            self._report(f"rules ip and ip6 {table} loaded (no queue)")
        else:
            self._open_queues(table, plan)
        self.identities = self.listed(plan)

    def _open_queues(self, table: str, plan: Plan) -> None:
        queues, native = plan.rules.queues, load.queue_expression_available()
        for family in FAMILIES:
            for worker, kind, number in queues.each():
                chain = chain_of(f"queue_{kind}", worker)
                comment = f"{_template(plan)}{'6' if family == 'ip6' else '4'}-{chain.replace('_', '-')}"
                if native:
                    rule = f'insert rule {family} {table} {chain} queue num {number} comment "{comment}"'
                    load.run(rule, what=f"rules {family} {table} {chain}")
                else:
                    compat.insert_queue_rule(family, table, chain, number, comment)
            how = "queue natively" if native else "queue by compat target"
            self._report(f"rules {family} {table} loaded ({how}, {queues.first} to {queues.last})")
        self.path = "native" if native else "compat"

    def listed(self, plan: Plan) -> listing.Identities:
        """The rules that are in the plan's tables now."""
        return listing.identities(rule for family, table in tables(plan) for rule in listing.rules(family, table))

    def remove(self, stale: tuple[Table, ...]) -> None:
        """Remove these tables, where they are there."""
        for family, table in reversed(stale):
            if load.unload(family, table):
                self._report(f"rules {family} {table} removed")


def tables(plan: Plan) -> tuple[Table, ...]:
    """Where the rules of a plan are."""
    return tuple((family, templates.table(plan.domain)) for family in FAMILIES)


def contents(plan: Plan) -> Contents:
    """What the sets of a plan's rules hold; computed, since that of a large table is large."""
    return templates.sets(plan.domain, _template(plan))


def change(former: Contents, wanted: Contents) -> None:
    """Elements alone. Raises OperatorError, and then nothing has changed."""
    elements.change(former, wanted)


def _template(plan: Plan) -> str:
    return plan.rules.role if plan.rules.model == "hook" else plan.rules.model
