"""The file of `--summary`: never half written, and never written through a link that somebody has put there."""

import contextlib
import os
import secrets
from pathlib import Path

from nfxlat.errors import OperatorError


def write(path: Path, text: str) -> None:
    """Put a new file with `text` in the place of `path`. Raises OperatorError where that cannot be; then nothing is
    left beside it."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            partial.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
    except OSError as error:
        raise OperatorError(f"cannot be written: {error.strerror}", where=f"--summary {path}") from None


def refuse(path: Path) -> None:
    """Raises OperatorError where no file can be made there."""
    if not path.parent.is_dir():
        raise OperatorError("no such directory", where=f"--summary {path}", hint="create it, or name another file")
