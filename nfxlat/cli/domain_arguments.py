"""How a command is told its domain: a file, the name of one that was added, or flags."""

import argparse
from pathlib import Path

from nfxlat import config, files
from nfxlat.config.keys import FLAGS, KEYS
from nfxlat.errors import OperatorError
from nfxlat.files import Opener
from nfxlat.service import domains
from nfxlat.xlat.domain import Domain

METAVARS = {"eam": "V4=V6", "vrf": "VRF"}
THREE_WAYS = (
    "use --config FILE, or --domain NAME for one added by nfxlat domain add, or --prefix6 PREFIX (and --eam, --pool4)"
)


def add_domain_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --config, --domain, --prefix6, --eam and --pool4."""
    group = parser.add_argument_group("domain", "Which domain: one of a file, one that was added, or one of flags.")
    group.add_argument("--config", type=Path, metavar="FILE", help="TOML configuration, see nfxlat.toml(5)")
    group.add_argument(
        "--domain",
        metavar="NAME",
        help="with --config: a domain of the file; with flags: the name of the new domain (default: siit0); "
        "alone: a domain added by nfxlat domain add",
    )
    for key in map(KEYS.__getitem__, FLAGS):
        metavar, text = METAVARS.get(key.name, "PREFIX"), key.summary
        if key.many:
            text += " (may be repeated)"
            group.add_argument(f"--{key.name}", action="append", default=[], metavar=metavar, help=text)
        else:
            group.add_argument(f"--{key.name}", metavar=metavar, help=text)


def chosen_domain(options: argparse.Namespace, opener: Opener = files.opened) -> Domain:
    """The domain that the arguments name. Raises OperatorError."""
    flags = {name: getattr(options, name) for name in FLAGS}
    for name, value in {"domain": options.domain, **flags}.items():
        if value == "" or (isinstance(value, list) and "" in value):
            raise OperatorError("empty value", where=f"--{name}", hint="give a value, or leave the option out")
    given = [f"--{name}" for name, value in flags.items() if value]
    if given and options.config:
        raise OperatorError(f"cannot be used with {given[0]}", where="--config", hint="give a file or flags, not both")
    if given:
        return config.from_flags(options.domain or "siit0", **flags).domain()
    if options.config:
        return config.load(options.config, opener).domain(options.domain)
    if options.domain:
        return domains.added(options.domain)
    raise OperatorError("no domain given", hint=THREE_WAYS)
