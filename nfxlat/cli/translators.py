"""Which of the running translators a command is about."""

from nfxlat.errors import OperatorError
from nfxlat.host import state
from nfxlat.service.requests import Line, lines
from nfxlat.service.status import Running, running


def chosen(domain: str | None) -> list[Running]:
    """Translators of this namespace, or of one domain. Raises OperatorError where there is none."""
    found = [one for one in running() if domain in (None, one.domain)]
    if not found:
        raise _none_runs(domain)
    return found


def only_line(domain: str | None) -> Line:
    """To the translator of a domain, or to the only one there is. Raises OperatorError."""
    found = lines(domain)
    if len(found) == 1:
        return found[0]
    for line in found:
        line.close()
    if not found:
        raise _none_runs(domain)
    names = list(dict.fromkeys(line.one.domain for line in found))
    if len(names) == 1:  # nothing else lets two of one domain stand
        raise OperatorError("a successor is taking over", where=f"domain {names[0]}", hint="try again")
    raise OperatorError(f"several translators run: {', '.join(names)}", where="--domain", hint="choose one")


def _none_runs(domain: str | None) -> OperatorError:
    what = f"no translator is running for {domain}" if domain else "no translator is running"
    others = ", ".join(dict.fromkeys(one.domain for one in running()))
    if others:
        return OperatorError(what, where="this network namespace", hint=f"what runs is {others}")
    hint = "start one with nfxlat run; if one runs, ask as root, in its namespace (ip netns exec)"
    if left := [name for name in state.others() if domain in (None, name)]:
        what, hint = f"{what}, and packets for {', '.join(left)} are dropped", "start it again: what it set up stands"
    return OperatorError(what, where="this network namespace", hint=hint)
