"""The command line: one module a command, one line an error."""

import argparse
import sys
from collections.abc import Sequence

from nfxlat import __version__
from nfxlat.errors import OperatorError

_COMMANDS = ("bench", "demo", "doctor", "domain", "explain", "rules", "run", "stats", "translate")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from importlib import import_module

    top = argparse.ArgumentParser(
        prog="nfxlat",
        description="Stateless IPv4/IPv6 translation (SIIT, RFC 7915), selected by nftables rules.",
    )
    top.add_argument("--version", action="version", version=f"nfxlat {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in _COMMANDS:
        import_module(f"nfxlat.cli.{name}").add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status. 2: usage and configuration."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except OperatorError as error:
        print(f"nfxlat: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 141
    except KeyboardInterrupt:
        return 130
    return status
