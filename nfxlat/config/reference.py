"""The manual page and the commented example of the configuration, from the table of keys.

python -m nfxlat.config.reference contrib      writes contrib/man/nfxlat.toml.5 and contrib/nfxlat.toml
"""

import argparse
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nfxlat.config.keys import KEYS, Key, toml

WIDTH: Final = 100
_INTRODUCTION: Final = (
    "The configuration of nfxlat(8) is TOML. Each table [domain.NAME] is one translation domain. NAME also names its "
    "network device: 1 to 15 letters, digits, - and _. A domain needs prefix6 or a mapping, from eam or eam-file; "
    "every other key is optional. An unknown key is an error. The file may begin with version = 1, the version of this "
    "format. An nfxlat that expects another format then refuses the whole file."
)
_USE: Final = (
    ("nfxlat run --config FILE [--domain NAME]", "translates for a domain of the file; SIGHUP reads the file again"),
    ("nfxlat domain add NAME KEY VALUE ...", "takes the same keys as words; a list is several values"),
    ("nfxlat explain, nfxlat translate", "take --config FILE and show offline what a domain does"),
    ("nfxlat rules", "takes --config FILE for the domains that xlat statements name"),
)
_EXAMPLE: Final = """\
[domain.siit0]
prefix6 = "2001:db8:64::/96"
eam = [
  ["198.51.100.10", "2001:db8:a::10"],
  ["198.51.100.32/28", "2001:db8:b::20/124"],
]
rfc6791-v4 = ["198.51.100.1/32"]
"""


def default_text(key: Key) -> str:
    """The default as the configuration would have it, "none" where there is none."""
    if key.by_default:
        return key.by_default
    empty = key.default is None or (not isinstance(key.default, (int, str)) and not len(key.default))
    return "none" if empty else toml(key.default)


def _facts(key: Key) -> list[str]:
    """What is in short to be said of a key, a sentence each, its type first."""
    unit = [f"Unit: {key.unit}."] if key.unit else []
    return [f"Type: {key.type}.", *unit, f"Default: {default_text(key)}.", f"Source: {key.source}."]


def sample() -> str:
    """A configuration with every key as a comment: its default, or an example where it has none. One domain works."""
    lines = _comment(_INTRODUCTION)
    lines += ["#", *_comment("Lines that are commented out show the default, or an example where there is none.")]
    lines += ["", "# version = 1", "", "[domain.siit0]"]
    for key in KEYS.values():
        lines += ["", *_comment(key.meaning), *_choices(key)]
        lines += _comment(" ".join(_facts(key)))
        shown = key.line() if key.by_default or default_text(key) == "none" else f"{key.name} = {toml(key.default)}"
        lines.append(shown if key.name == "prefix6" else f"# {shown}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _choices(key: Key) -> Iterator[str]:
    for word, meaning in key.choices:
        yield from textwrap.wrap(
            f"{word}: {meaning}", WIDTH, initial_indent="#   ", subsequent_indent="#     ", break_on_hyphens=False
        )


def manual() -> str:
    """The manual page nfxlat.toml(5), in the man macros."""
    lines = [
        '.\\" Made by python -m nfxlat.config.reference. Do not edit.',
        '.TH NFXLAT.TOML 5 "" nfxlat "File Formats"',
        ".SH NAME",
        "nfxlat.toml \\- configuration of the stateless IPv4/IPv6 translator nfxlat",
        ".SH DESCRIPTION",
        *_text(_INTRODUCTION),
    ]
    for command, use in _USE:
        lines += [".TP", f".B {_escaped(command)}", *_text(use + ".")]
    lines += [".SH KEYS"]
    for key in KEYS.values():
        lines += _entry(key)
    lines += [".SH EXAMPLES", *_text("A router for IPv6-only servers:"), ".PP", ".RS 4", ".EX"]
    lines += map(_escaped, _EXAMPLE.splitlines())
    lines += [".EE", ".RE"]
    lines += [".PP", *_text("A value of each key:"), ".PP", ".RS 4", ".EX"]
    lines += (_escaped(key.line()) for key in KEYS.values())
    lines += [".EE", ".RE", ".SH SEE ALSO"]
    lines += [f".BR {page} (8)," for page in ("nfxlat", "nfxlat\\-run", "nfxlat\\-rules", "nft")]
    lines += [".BR ip\\-route (8)", ".PP"]
    lines += _text("RFC 6052, RFC 6791, RFC 7757, RFC 7915")
    return "\n".join(lines) + "\n"


def _entry(key: Key) -> Iterator[str]:
    yield from (".TP", f'.BR {_escaped(key.name)} " = {_escaped(key.type).replace(" ", chr(92) + " ")}"')
    yield from _text(key.meaning)
    for word, meaning in key.choices:
        yield from (".RS", ".TP", f".B {_escaped(word)}", *_text(meaning), ".RE")
    yield from (".IP", *map(_escaped, _facts(key)[1:]))


def _text(text: str) -> list[str]:
    """Running text, a sentence to a line, as man pages are written."""
    return [_escaped(line) for line in text.replace(". ", ".\n").split("\n")]


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def write(folder: Path) -> list[Path]:
    """Both into `folder`; their names."""
    texts = {folder / "man" / "nfxlat.toml.5": manual(), folder / "nfxlat.toml": sample()}
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m nfxlat.config.reference", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="contrib, in a checkout")
    for path in write(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()
