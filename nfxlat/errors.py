"""The one error class for mistakes of the operator. Packets never raise; anything else that is raised is a bug."""


class OperatorError(Exception):
    """A mistake that the operator can mend, shown by the command line as one line: where, what, what to do.

    `where` names the place (a file, a dotted configuration key, a device), `what` the fault, `hint` the remedy.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(what)

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        line = f"{line}; {self.hint}" if self.hint else line
        return printable(" ".join(line.split()))


def printable(text: str) -> str:
    """`text` without what would control a terminal: such characters (C0, C1, DEL, directions of text, line ends) are
    written as escapes. It may come from a file, a key, a comment, another process."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
