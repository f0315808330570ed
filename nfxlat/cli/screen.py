"""What goes to a terminal: as wide as it is, moving only where it can, and nothing that was read controls it."""

import shutil
from typing import Any

from rich.console import Console, ConsoleDimensions
from rich.text import Text

from nfxlat.errors import printable

NARROW = 100  # columns: in less a table of many columns cannot be read


def console(**options: Any) -> Console:
    """A console as wide as its terminal, dumb ones too; a file gets 140 columns."""
    made = Console(highlight=False, **options)
    if not made.is_terminal:
        made.width = 140
    elif made.is_dumb_terminal:
        made.size = ConsoleDimensions(*shutil.get_terminal_size())  # Console takes it for 80 columns
    return made


def say(*lines: str) -> None:
    """Lines on stdout."""
    print("\n".join(map(printable, lines)))


def cell(text: str, style: str = "") -> Text:
    """Of a table: neither markup nor control characters."""
    return Text(printable(text), style)


def lively(console: Console) -> bool:
    """Whether it is a terminal that can write a line anew (TERM=dumb cannot)."""
    return console.is_terminal and not console.is_dumb_terminal


def is_narrow(console: Console) -> bool:
    """Whether rows are better written below each other."""
    return console.is_terminal and console.width < NARROW


def stack(console: Console, head: Text, *below: Text) -> None:
    """A row of what would be a table: its first line, and the others below it, all of them folded."""
    console.print(head, soft_wrap=False)
    for text in below:
        for line in text.wrap(console, max(20, console.width - 6)):
            console.print(Text("      ").append_text(line), soft_wrap=False)
