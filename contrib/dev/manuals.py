#!/usr/bin/env python3
"""Make the manual pages, the shells' completion and the commented configuration, all from what nfxlat itself declares.

.venv/bin/python contrib/dev/manuals.py      writes contrib/man, contrib/completion and contrib/nfxlat.toml

A page nfxlat-COMMAND(8) is made from the command's argument parser by argparse-manpage, with what is written by hand in
contrib/man/sections/COMMAND.man; nfxlat-rules(8) is written by hand. Completion is by shtab.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

CONTRIB: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(CONTRIB.parent)]

import shtab  # noqa: E402
from argparse_manpage.manpage import Manpage  # noqa: E402

from nfxlat import cli  # noqa: E402
from nfxlat.config import reference  # noqa: E402

BY_HAND: Final = ("rules",)
COMPLETIONS: Final = {"bash": "nfxlat", "zsh": "_nfxlat", "fish": "nfxlat.fish"}  # as the shells look for them
SECTIONS: Final = CONTRIB / "man/sections"
COMMENT: Final = '.\\" Made by contrib/dev/manuals.py. Do not edit.\n'
_ONE_LINE: Final = 1 << 20  # columns: nothing is wrapped
_FILES: Final = ("FILE", "IN.pcap", "OUT.pcap", "ADDRESS|HEX|IN.pcap")  # metavars of arguments that are file names


def _subparsers(parser: argparse.ArgumentParser) -> "argparse._SubParsersAction[argparse.ArgumentParser] | None":
    return next((each for each in parser._actions if isinstance(each, argparse._SubParsersAction)), None)


def _all_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    if found := _subparsers(parser):
        for each in found.choices.values():
            yield from _all_parsers(each)


def _commands(top: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Name, one line of help, and parser of each command."""
    found = _subparsers(top)
    assert found is not None
    for choice in found._choices_actions:
        yield choice.dest, choice.help or "", found.choices[choice.dest]


class _Unwrapped(argparse.HelpFormatter):
    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, **settings | {"width": _ONE_LINE})


def _bold(name: str) -> str:
    """`nfxlat-run(8)` in the macros of man."""
    page, _, section = name.partition("(")
    return ".BR " + page.replace("-", "\\-") + " (" + section


def _page(parser: argparse.ArgumentParser, name: str, short: str, see: list[str], commands: str = "") -> str:
    """The page of one command, with what is written by hand for it, and what to see also."""
    for each in _all_parsers(parser):
        each.formatter_class = _Unwrapped
    page = Manpage(parser, _data={"description": short}, format="single-commands-section")
    page.prog = name
    page.synopsis = [parser.prog, *(word.replace("-", "\\-") for word in page.synopsis[len(parser.prog.split()) :])]
    page.section, page.date, page.source, page.manual = "8", "", "nfxlat", "System Administration"
    if parser.epilog:
        page.add_section("output", "=", parser.epilog.replace("-", "\\-"))
        parser.epilog = None
    if commands:
        page.add_section("commands", "=", commands)
    by_hand = SECTIONS / f"{name.removeprefix('nfxlat-')}.man"
    if by_hand.exists():
        page.parse_include(by_hand)
    page.add_section("see also", "=", ",\n".join(map(_bold, see)))
    return COMMENT + str(page)


def manuals() -> dict[str, str]:
    """Name of each page made from an argument parser, and its text."""
    top = cli.parser()
    commands = list(_commands(top))
    front = argparse.ArgumentParser(prog="nfxlat")
    for action in top._actions:
        if "--version" in action.option_strings:
            front._add_action(action)
    front.usage = top.format_usage().removeprefix("usage: ").replace("[-h] ", "")
    named = [f"nfxlat-{name}(8)" for name, _, _ in commands]
    listed = [f".TP\n{_bold(page)}\n{short}" for page, (_, short, _) in zip(named, commands, strict=True)]
    short = "stateless translation between IPv4 and IPv6"
    pages = {"nfxlat.8": _page(front, "nfxlat", short, _see("nfxlat", named), "\n".join(listed))}
    for name, short, parser in commands:
        if name not in BY_HAND:
            see = _see(f"nfxlat-{name}", ["nfxlat(8)", *named])
            pages[f"nfxlat-{name}.8"] = _page(parser, f"nfxlat-{name}", short, see)
    return pages


def _see(page: str, pages: list[str]) -> list[str]:
    return [each for each in pages if not each.startswith(f"{page}(")] + ["nfxlat.toml(5)", "nft(8)"]


def completions() -> dict[str, str]:
    """Name of the file for each shell, and its text."""
    top = cli.parser()
    for parser in _all_parsers(top):
        for action in parser._actions:
            if action.metavar in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return {name: shtab.complete(top, shell=shell) for shell, name in COMPLETIONS.items()}


def texts() -> dict[Path, str]:
    """All that is made: path below contrib, and text."""
    made = {Path("man") / name: text for name, text in manuals().items()}
    made |= {Path("completion") / name: text for name, text in completions().items()}
    return made | {Path("man/nfxlat.toml.5"): reference.manual(), Path("nfxlat.toml"): reference.sample()}


def main() -> None:
    """Write all of it."""
    for path, text in texts().items():
        (CONTRIB / path).parent.mkdir(exist_ok=True)
        (CONTRIB / path).write_text(text, encoding="utf-8")
        print(CONTRIB / path)


if __name__ == "__main__":
    main()
