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
        return " ".join(line.split())
