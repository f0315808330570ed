"""The eam-file of a running translator's configuration, changed together with its mappings: checked whole, written
beside it, and put in its place when the translator has the change.

Comments and the order of lines stay. Two that change it at once wait for each other (flock(2)).
"""

import contextlib
import fcntl
import io
import os
import secrets
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TextIO

from nfxlat import config, files
from nfxlat.errors import OperatorError
from nfxlat.service.eam_changes import entries
from nfxlat.xlat.eamt import Entry, text_of


def of(configuration: Path, domain: str) -> Path:
    """The eam-file of a domain. Raises OperatorError where it has none."""
    try:
        table = tomllib.loads(files.text(configuration)).get("domain", {}).get(domain, {})
    except (OSError, ValueError, AttributeError) as error:
        raise OperatorError(f"cannot be read: {error}", where=str(configuration)) from None
    name = table.get("eam-file") if isinstance(table, dict) else None
    if not isinstance(name, str):
        hint = 'add eam-file = "FILE" to it, or change mappings without --save'
        raise OperatorError("this domain has no eam-file", where=f"{configuration}: domain.{domain}", hint=hint)
    path = (configuration.parent / name).resolve()
    if path.exists() and not path.is_file():  # /dev/null is read as an empty file, and would be replaced
        hint = "--save puts a new file in its place: name a file, or change mappings without --save"
        raise OperatorError("not a regular file", where=f"{configuration}: domain.{domain}.eam-file", hint=hint)
    return path


def changed(former: str, do: str, text: str, source: str) -> str:
    """The text of the file with the mappings of `text` added, or without them ("del"). Raises OperatorError."""
    if do == "add":
        between = "" if not former or former.endswith("\n") else "\n"
        return former + between + "".join(f"{text_of(*entry)}\n" for entry in entries(text, source))
    gone = dict.fromkeys(entries(text, source))
    kept = []
    for line in former.splitlines(keepends=True):
        found = _entry(line)
        if found is not None and found in gone:
            gone[found] = True
        else:
            kept.append(line)
    for entry, seen in gone.items():
        if not seen:
            hint = "it may be in the configuration itself, or was added without --save"
            raise OperatorError(f"there is no line {text_of(*entry)}", where=source, hint=hint)
    return "".join(kept)


@contextlib.contextmanager
def changing(configuration: Path, domain: str, do: str, text: str, source: str) -> Iterator[Path]:
    """The file as it will be, checked with all of the configuration, is written when this is entered; it is the file
    when this is left, unless by an exception. Raises OperatorError."""
    path = of(configuration, domain)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with _locked(path) as file:
        wanted = changed(files.text(path), do, text, source)

        def opened(one: files.Path) -> TextIO:
            return io.StringIO(wanted) if Path(one).resolve() == path else files.opened(one)

        config.load(configuration, opened)
        try:
            with open(partial, "x", encoding="utf-8") as new:
                stat = os.fstat(file.fileno())
                os.fchmod(new.fileno(), stat.st_mode & 0o7777)
                os.fchown(new.fileno(), stat.st_uid, stat.st_gid)
                new.write(wanted)
                new.flush()
                os.fsync(new.fileno())
            yield path
            partial.rename(path)
        except OSError as error:
            raise OperatorError(f"cannot be written: {error.strerror}", where=str(path)) from None
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """The file, which nobody else changes in this way meanwhile."""
    while True:
        try:
            file = open(path, "rb")  # noqa: SIM115
        except OSError as error:
            raise OperatorError(f"cannot be read: {error.strerror}", where=str(path)) from None
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                    yield file
                    return


def _entry(line: str) -> Entry | None:
    """The mapping of a line; None of one that has none, or is wrong: that is not ours to say."""
    with contextlib.suppress(OperatorError):
        for entry in entries(line, ""):
            return entry
    return None
