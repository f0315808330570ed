"""Which of the running translators a command is about."""

from nfxlat.errors import OperatorError
from nfxlat.service.requests import Line, lines
from nfxlat.service.status import Running, running


def chosen(domain: str | None) -> list[Running]:
    """Translators of this namespace, or of one domain. Raises OperatorError where there is none."""
    found = [one for one in running() if domain in (None, one.domain)]
    if not found:
        raise _none_runs(domain, "start one with nfxlat run, or use ip netns exec")
    return found


def only_line(domain: str | None) -> Line:
    """To the translator of a domain, or to the only one there is. Raises OperatorError."""
    found = lines(domain)
    if len(found) == 1:
        return found[0]
    for line in found:
        line.close()
    if not found:
        raise _none_runs(domain, "run as root, in the translator's namespace")
    names = ", ".join(dict.fromkeys(line.one.domain for line in found))
    raise OperatorError(f"several translators run: {names}", where="--domain", hint="choose one")


def _none_runs(domain: str | None, hint: str) -> OperatorError:
    what = f"no translator is running for {domain}" if domain else "no translator is running"
    return OperatorError(what, where="this network namespace", hint=hint)
