"""The one error class for mistakes of the operator. Packets never raise; anything else that is raised is a bug."""

LONGEST = 1000  # characters of a place, a fault or a remedy in a line


class OperatorError(Exception):
    """A mistake that the operator can mend, shown by the command line as one line: where, what, what to do.

    `where` names the place (a file, a dotted configuration key, a device), `what` the fault, `hint` the remedy. What is
    longer than a person reads, such as a key or a value without an end, is shown by its beginning.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(what)

    def __str__(self) -> str:
        where, what, hint = map(_shown, (self.where, self.what, self.hint))
        line = f"{where}: {what}" if where else what
        line = f"{line}; {hint}" if hint else line
        return printable(" ".join(line.split()))


def _shown(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 4]}... ({len(text)} characters)"


def printable(text: str) -> str:
    """`text` without what would control a terminal: such characters (C0, C1, DEL, directions of text, line ends) are
    written as escapes. It may come from a file, a key, a comment, another process."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
