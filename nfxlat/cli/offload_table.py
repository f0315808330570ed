"""`nfxlat stats --offload`: the pairs and flows that are translated at ingress."""

import dataclasses
import json
from collections.abc import Sequence

from nfxlat.cli.screen import say
from nfxlat.service.known import known
from nfxlat.service.status import Running, ask


def show(translators: Sequence[Running], *, as_json: bool) -> int:
    """The list of each translator; with `as_json` an object a line. Raises OperatorError."""
    for one in translators:
        offload = ask(one).get("offload")
        if not as_json:
            say(f"{one.domain} (pid {one.pid}): {_head(offload)}")
        for each in known(one.domain, offload) if offload is not None else ():
            if as_json:
                print(json.dumps({"domain": one.domain, "pid": one.pid, **dataclasses.asdict(each)}))
            else:
                say(f"  {each.line()}")
    return 0


def _head(offload: dict[str, int] | None) -> str:
    if offload is None:
        return "no offload here; nfxlat run --offload begins it"
    return f"{offload['pairs']} pairs and {offload['flows']} flows known"
