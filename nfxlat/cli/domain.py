"""`nfxlat domain`: domains by name, as `ip xlat add` would make them."""

import argparse
import json
import sys
from typing import Any

from nfxlat import config
from nfxlat.cli.screen import say
from nfxlat.config.keys import KEYS
from nfxlat.host import capabilities, registry
from nfxlat.service import domains
from nfxlat.terms import MODELS, Model

WORDS_SHOWN = 12


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "domain",
        help="add, show and delete domains by name",
        description="Translation domains of this network namespace. They last until the machine is rebooted. "
        "`nfxlat run --domain NAME` translates for one.",
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    add = verbs.add_parser(
        "add",
        help="check a domain, store it and create its device",
        description="nfxlat domain add siit0 prefix6 64:ff9b::/96 eam 192.0.2.1=2001:db8::1 mtu4 1400. The keys are "
        "those of the configuration file, see nfxlat.toml(5); for a list, give several values, or repeat the key. The "
        "device exists at once, so routes can point to it. Packets routed into it are dropped until "
        "`nfxlat run` translates.",
    )
    add.add_argument(
        "--model",
        choices=MODELS,
        default="hook",
        help="the model it will run in (default: hook)",
    )
    add.add_argument("name", metavar="NAME", help="name of the domain and of its device")
    add.add_argument("words", nargs=argparse.REMAINDER, metavar="KEY VALUE", help=f"the keys are {', '.join(KEYS)}")
    add.set_defaults(run=_add)
    show = verbs.add_parser("show", help="show domains", description="Show domains, their devices and translators.")
    show.add_argument("name", nargs="?", metavar="NAME", help="only this one")
    show.add_argument("--json", action="store_true", help="one JSON array on stdout")
    show.set_defaults(run=_show)
    delete = verbs.add_parser("del", help="delete a domain", description="Delete a domain and its device.")
    delete.add_argument("name", metavar="NAME", help="name of the domain")
    delete.set_defaults(run=_delete)
    for word, function, text in (
        ("pin", _pin, "make the namespace of its device's far end, for a service that may not mount (systemd)"),
        ("unpin", _unpin, "remove that namespace, unless the domain is set up or may be taken over"),
    ):
        verb = verbs.add_parser(word, help=text, description=text[0].upper() + text[1:] + ".")
        verb.add_argument("name", metavar="NAME", help="name of the domain")
        verb.set_defaults(run=function)


def _pin(arguments: argparse.Namespace) -> int:
    capabilities.require("CAP_SYS_ADMIN", what="nfxlat domain pin")
    domains.pin(config.from_words(arguments.name, ["prefix6", "64:ff9b::/96"]).name)
    return 0


def _unpin(arguments: argparse.Namespace) -> int:
    capabilities.require("CAP_SYS_ADMIN", what="nfxlat domain unpin")
    if not domains.unpin(config.from_words(arguments.name, ["prefix6", "64:ff9b::/96"]).name):
        say(f"domain {arguments.name} is set up, and keeps its namespace")
    return 0


def _add(arguments: argparse.Namespace) -> int:
    model, words = _apart(arguments.model, arguments.words)
    domain = config.from_words(arguments.name, words)
    capabilities.require("CAP_NET_ADMIN", "CAP_SYS_ADMIN", what="nfxlat domain add")
    domains.add(domain, model, say)
    say(f"domain {domain.name} added; start its translator with nfxlat run --domain {domain.name}")
    return 0


def _apart(model: Model, words: list[str]) -> tuple[Model, list[str]]:
    """The model, where it is said behind the name, and the other words. argparse would take no key behind it."""
    behind = argparse.ArgumentParser(prog="nfxlat domain add NAME", add_help=False, allow_abbrev=False)
    behind.add_argument("--model", choices=MODELS, default=model)
    found, rest = behind.parse_known_args(words)
    return found.model, rest


def _delete(arguments: argparse.Namespace) -> int:
    capabilities.require("CAP_NET_ADMIN", "CAP_SYS_ADMIN", what="nfxlat domain del")
    domains.delete(arguments.name, say)
    say(f"domain {arguments.name} deleted")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    found = [domains.describe(name) for name in ([arguments.name] if arguments.name else registry.names())]
    if arguments.json:
        print(json.dumps(found))
    else:
        for one in found:
            say(*_lines(one))
        if not found:
            print("no domains were added here; add one with nfxlat domain add NAME prefix6 PREFIX", file=sys.stderr)
    return 0


def _lines(one: dict[str, Any]) -> list[str]:
    words, device = one["words"], one["device"]
    more = [f"... and {len(words) - WORDS_SHOWN} more words"] if len(words) > WORDS_SHOWN else []
    pids = ", ".join(map(str, one["translators"]))
    return [
        " ".join([one["name"], *words[:WORDS_SHOWN], *more]),
        f"    device {one['name']}: {device['state']}{' (' + device['kind'] + ')' if device['kind'] else ''}",
        f"    translator: pid {pids}" if pids else "    translator: none; packets routed into the device are dropped",
    ]
