"""The command line: one module a command, one line an error."""

import argparse
import contextlib
import errno
import os
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

from nfxlat import __version__
from nfxlat.cli import exit_status
from nfxlat.errors import OperatorError, printable

_COMMANDS = (  # a module each
    "bench",
    "conformance",
    "demo",
    "doctor",
    "domain",
    "eam",
    "explain",
    "rules",
    "run",
    "stats",
    "top",
    "trace",
    "translate",
)

_CANNOT_BE_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


class _Formatter(argparse.HelpFormatter):
    """Help with one column for all: up to Python 3.12, the widest command's text would stand below it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = max(map(len, _COMMANDS)) + 4  # 4: the indent of a command


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as OperatorError does, in the same words under every version of Python."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{"formatter_class": _Formatter} | settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What is left over behind a command is refused by it, not by `nfxlat`, whose help says less."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown and " " in self.prog:
            near = [close for word in unknown for close in self._near(word)]
            hint = f", did you mean {near[0]}?" if near else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found, unknown

    def _near(self, word: str) -> list[str]:
        """The option that was meant, perhaps."""
        name = word.partition("=")[0]
        return get_close_matches(name, self._option_string_actions, 1, 0.6) if name.startswith("--") else []

    def error(self, message: str) -> NoReturn:
        choices = re.search(r"(?<=\(choose from ).*(?=\)$)", message)
        if choices:  # quoted up to Python 3.11
            message = message[: choices.start()] + choices[0].replace("'", "") + ")"
        self.exit(2, printable(f"{self.prog}: {message}; see {self.prog} --help") + "\n")


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """The command line. Of a known `command` alone, its module and no other is loaded; else whole."""
    top = _Parser(
        prog="nfxlat",
        description="Stateless IPv4/IPv6 translation (SIIT, RFC 7915), selected by nftables rules.",
    )
    top.add_argument("--version", action="version", version=f"nfxlat {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in (command,) if command in _COMMANDS else _COMMANDS:
        import_module(f"nfxlat.cli.{name}").add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status. 2: usage and configuration; 75: the host
    lacks something now (memory, descriptors); 141: who read its output has gone; 74: its output
    cannot be written."""
    try:
        try:
            return _run(sys.argv[1:] if arguments is None else arguments)
        finally:  # argparse has its own way to end
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        _write_no_more()
        return 141
    except OSError as error:
        if error.errno not in _CANNOT_BE_WRITTEN:
            if exit_status.of(error) != exit_status.LACKING:
                raise
            print(f"nfxlat: {exit_status.lack(error)}", file=sys.stderr)
            return exit_status.LACKING
        _write_no_more()
        print(f"nfxlat: output cannot be written: {error.strerror}", file=sys.stderr)
        return 74  # EX_IOERR
    except KeyboardInterrupt:
        return 130


def _run(words: Sequence[str]) -> int:
    try:
        options = parser(words[0] if words else None).parse_args(words)
    except SystemExit as end:
        if end.code != exit_status.MISTAKE or words[:1] != ["run"]:
            raise
        raise SystemExit(import_module("nfxlat.cli.run").mistaken(words)) from None
    try:
        status: int = options.run(options)
    except OperatorError as error:
        print(f"nfxlat: {error}", file=sys.stderr)
        return exit_status.of(error)
    return status


def _write_no_more() -> None:
    """The interpreter flushes stdout once more in the end, and would complain again."""
    with contextlib.suppress(OSError, ValueError):  # a test's stdout has no descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
