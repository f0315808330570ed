"""Whether translators of this namespace are well: what they need is there, and where packets went adds up to zero."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nfxlat.errors import OperatorError
from nfxlat.host import state
from nfxlat.service import owned
from nfxlat.service.accounts import Account, account
from nfxlat.service.owned import Thing
from nfxlat.service.status import Running, ask, running

LOOKS, BETWEEN = 3, 0.3  # a sum that is off is taken again, so many seconds later: packets move meanwhile


@dataclass(frozen=True, slots=True)
class Health:
    """Of one domain. `one`: its translator, and `summary` what that says; None where nobody runs, or it is silent.

    `trouble`: why the rest is not known. `set_up`: whether `--setup` has made what it needs; else
    that is the operator's, and only what of it has gone is known.
    """

    domain: str
    one: Running | None = None
    summary: dict[str, Any] | None = None
    things: list[Thing] = field(default_factory=list)
    account: Account | None = None
    trouble: tuple[str, ...] = ()
    set_up: bool = True

    @property
    def missing(self) -> list[str]:
        return [str(thing) for thing in self.things if not thing.there]

    @property
    def off(self) -> list[str]:
        """All that is not well; nothing of what is missing."""
        return [*self.trouble, *(self.account.off if self.account is not None else ())]

    @property
    def well(self) -> bool:
        return not self.missing and not self.off


def look(domain: str | None = None) -> Iterator[Health]:
    """Each translator of this namespace, or those of `domain`, and what stands here of one that does not run."""
    found = [one for one in running() if domain in (None, one.domain)]
    yield from map(_look, found)
    names = {one.domain for one in found}
    for name in state.others():
        if domain in (None, name) and name not in names:
            yield Health(name, trouble=("it does not run, and what it has set up drops its packets: start it again",))


def _look(one: Running) -> Health:
    try:
        for left in reversed(range(LOOKS)):
            summary = ask(one)
            found = account(summary)
            if not found.off or not left:
                break
            time.sleep(BETWEEN)
    except OperatorError as error:
        return Health(one.domain, one, trouble=(str(error),))
    try:
        things, set_up = owned.things(one.domain, summary), owned.is_set_up(one.domain)
    except OperatorError as error:
        return Health(one.domain, one, summary, account=found, trouble=(str(error),))
    return Health(one.domain, one, summary, things, found, set_up=set_up)
