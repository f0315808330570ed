"""How a command is told its domain: a file, or flags, or neither for the embedded default."""

import argparse
from pathlib import Path

from nfxlat import config
from nfxlat.errors import OperatorError
from nfxlat.service import domains
from nfxlat.xlat.domain import Domain


def add_domain_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --config, --domain, --prefix6, --eam and --pool4."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML configuration (default: embedded)")
    parser.add_argument(
        "--domain",
        metavar="NAME",
        help="the domain to take (without --config: one of nfxlat domain add), or to make from the flags below",
    )
    parser.add_argument("--prefix6", metavar="PREFIX", help="RFC 6052 translation prefix")
    parser.add_argument("--eam", action="append", default=[], metavar="V4=V6", help="explicit mapping (repeatable)")
    parser.add_argument("--pool4", action="append", default=[], metavar="PREFIX", help="IPv4 prefix of IPv6 hosts")


def chosen_domain(options: argparse.Namespace) -> Domain:
    """The domain that the arguments name. Raises OperatorError."""
    flags = options.prefix6 or options.eam or options.pool4
    if flags and options.config:
        raise OperatorError(
            "a file and --prefix6, --eam or --pool4 at once", where="--config", hint="give the one or the others"
        )
    if flags:
        found = config.from_flags(
            domain=options.domain or "siit0", prefix6=options.prefix6, eam=options.eam, pool4=options.pool4
        )
    elif options.config:
        found = config.load(options.config)
    else:
        added = domains.configuration(options.domain) if options.domain else None
        found = added or config.default()
    if options.domain:
        for domain in found.domains:
            if domain.name == options.domain:
                return domain
        names = ", ".join(domain.name for domain in found.domains)
        raise OperatorError(f"no domain {options.domain!r}", where="--domain", hint=f"there is {names}")
    if len(found.domains) != 1:
        names = ", ".join(domain.name for domain in found.domains)
        raise OperatorError("the file has several domains", where="--config", hint=f"choose with --domain: {names}")
    return found.domains[0]
