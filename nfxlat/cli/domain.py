"""`nfxlat domain`: domains by name, as `ip xlat add` would make them."""

import argparse
import json
from typing import Any

from nfxlat.host import capabilities, registry
from nfxlat.service import domains

WORDS_SHOWN = 12


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "domain",
        help="domains by name, which routes can lead into",
        description="Translation domains of this network namespace, until the machine goes down. "
        "`nfxlat run --domain NAME` translates.",
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    add = verbs.add_parser(
        "add",
        help="check it, keep it, and make its device",
        description="nfxlat domain add siit0 prefix6 64:ff9b::/96 eam 192.0.2.1=2001:db8::1 mtu4 1400. The keys are "
        "those of the configuration file; a list is several values, or the key again. The device is there at once, so "
        "that routes can lead into it; until `nfxlat run` translates, what they lead there is dropped.",
    )
    add.add_argument(
        "--model", choices=("hook", "device", "route"), default="hook", help="that it will run in: device has its own"
    )
    add.add_argument("name", metavar="NAME", help="of the domain and of its device")
    add.add_argument("words", nargs="*", metavar="KEY VALUE", help="prefix6 PREFIX, eam V4=V6 ..., pool4 PREFIX ...")
    add.set_defaults(run=_add)
    show = verbs.add_parser("show", help="list them", description="What has been added, and how it stands with it.")
    show.add_argument("name", nargs="?", metavar="NAME", help="this one only")
    show.add_argument("--json", action="store_true", help="one JSON array on stdout")
    show.set_defaults(run=_show)
    delete = verbs.add_parser("del", help="take it away", description="Take the domain and its device away.")
    delete.add_argument("name", metavar="NAME", help="of the domain")
    delete.set_defaults(run=_delete)


def _add(arguments: argparse.Namespace) -> int:
    domain = domains.from_words(arguments.name, arguments.words)
    capabilities.require("CAP_NET_ADMIN", "CAP_SYS_ADMIN", what="nfxlat domain add")
    domains.add(domain, arguments.model, print)
    print(f"domain {domain.name} added; nfxlat run --domain {domain.name} translates what is routed into it")
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    capabilities.require("CAP_NET_ADMIN", "CAP_SYS_ADMIN", what="nfxlat domain del")
    domains.delete(arguments.name, print)
    print(f"domain {arguments.name} deleted")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    found = [domains.describe(name) for name in ([arguments.name] if arguments.name else registry.names())]
    if arguments.json:
        print(json.dumps(found))
    else:
        for one in found:
            print("\n".join(_lines(one)))
    return 0


def _lines(one: dict[str, Any]) -> list[str]:
    words, device = one["words"], one["device"]
    more = [f"... and {len(words) - WORDS_SHOWN} words more"] if len(words) > WORDS_SHOWN else []
    pids = ", ".join(map(str, one["translators"]))
    return [
        " ".join([one["name"], *words[:WORDS_SHOWN], *more]),
        f"    device {one['name']}: {device['state']}{' (' + device['kind'] + ')' if device['kind'] else ''}",
        f"    translator: pid {pids}" if pids else "    translator: none, what is routed into the device is dropped",
    ]
