"""Which of the running translators a command is about."""

import socket
from collections.abc import Iterable

from nfxlat.errors import OperatorError
from nfxlat.service.status import Running, running


def chosen(domain: str | None, kind: int = socket.SOCK_STREAM) -> list[Running]:
    """Translators of this namespace, or of one domain, that listen on sockets of `kind`. Raises OperatorError where
    there is none."""
    found = [one for one in running(kind) if domain in (None, one.domain)]
    if not found:
        raise none_runs(domain, "start one with nfxlat run, or use ip netns exec")
    return found


def none_runs(domain: str | None, hint: str) -> OperatorError:
    """There is none to ask."""
    what = f"no translator is running for {domain}" if domain else "no translator is running"
    return OperatorError(what, where="this network namespace", hint=hint)


def several_run(found: Iterable[Running]) -> OperatorError:
    """One has to be chosen."""
    names = ", ".join(dict.fromkeys(one.domain for one in found))
    return OperatorError(f"several translators run: {names}", where="--domain", hint="choose one")
