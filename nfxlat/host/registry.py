"""Domains that have been added to this network namespace: TOML that outlives whoever stored it, but not the machine.

/run/nfxlat/<domain>-<inode of the network namespace>.toml; its first line names the namespace by its cookie, since
inodes are used again. What is found under another cookie is of a namespace that is gone, and counts as not there.
"""

import contextlib
import os
from pathlib import Path

from nfxlat import files
from nfxlat.errors import OperatorError
from nfxlat.host import netns, run_folder, state


def path(name: str) -> Path:
    """Where the domain `name` of the calling thread's namespace is stored."""
    return state.RUN / f"{name}-{netns.own_inode()}.toml"


def text(name: str) -> str | None:
    """The TOML of the domain `name`; None where it has not been added. Raises OperatorError where it cannot be read."""
    try:
        found = files.text(path(name))
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:  # nobody here has written that
        return None
    except OSError as error:
        raise OperatorError(error.strerror or "", where=str(path(name)), hint="run as root") from None
    return found if found.startswith(_head()) else None


def store(name: str, toml: str) -> None:
    """Add the domain `name`. Raises OperatorError where there is one of that name, or /run is not writable."""
    where = path(name)
    if text(name) is not None:
        raise OperatorError(
            "the domain already exists", where=f"domain {name}", hint=f"remove it with nfxlat domain del {name}"
        )
    try:
        partial = where.with_name(f".{where.name}.{os.getpid()}")
        try:
            _write(partial, _head() + toml)
            where.unlink(missing_ok=True)  # of a namespace that is gone
            os.link(partial, where)  # fails where somebody was faster
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        hint = run_folder.remedy(error, "run as root")
        raise OperatorError(os.strerror(error.errno or 0), where=str(where), hint=hint) from None


def remove(name: str) -> None:
    """Take the domain away; nothing happens where there is none."""
    path(name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        state.RUN.rmdir()


def names() -> list[str]:
    """The domains of the calling thread's namespace, in order."""
    suffix = path("").name
    found = (file.name.removesuffix(suffix) for file in state.RUN.glob(f"*{suffix}"))
    return sorted(name for name in found if text(name) is not None)


def _write(file: Path, text: str) -> None:
    """Raises OSError."""
    while True:
        state.RUN.mkdir(mode=0o755, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # the folder went with another's last record
            file.write_text(text, encoding="utf-8")
            return


def _head() -> str:
    return f"# network namespace {state.netns_cookie()}\n"
