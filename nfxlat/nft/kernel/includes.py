"""The files that an `include` of nft means.

nft looks for a name without a leading `/` or `./` in its include paths, wherever it is included: `load` adds the folder
of the file that it is given (nft(8), "INCLUDING FILES"). nft itself takes neither a BOM nor CRLF, and waits for a pipe:
what is no plain file is refused, and a file of another system's making is handed to nft as a copy in memory that it can
read.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from glob import glob
from pathlib import Path

from nfxlat import files
from nfxlat.errors import OperatorError
from nfxlat.nft.language.includes import DEPTH, included

MEMORY_FILE = "/proc/self/fd/"
_PLACES = ("/etc",)


def read(operand: str, name: str, top: str) -> Iterator[tuple[str, str]]:
    """Path and text of each file that `include "operand"` in the file `name` means, where nft is given the file `top`;
    nft judges what is no UTF-8.

    Raises OperatorError where one is no file, or too large.
    """
    for path in _files(operand, folder_of(top)):
        if octets := _octets(path, name):
            with contextlib.suppress(UnicodeDecodeError):
                yield path, _clean(octets).decode()


@contextlib.contextmanager
def staged(text: str, name: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """`text`, of the file `name`, with includes that nft can read; the paths in memory that these lead to, and what the
    operator calls them. Both hold within the body. Raises OperatorError."""
    with contextlib.ExitStack() as stack:
        names: dict[str, str] = {}
        yield _staged(text, name, folder_of(name), stack, names, DEPTH), names


def _staged(text: str, name: str, folder: Path, stack: contextlib.ExitStack, names: dict[str, str], depth: int) -> str:
    """Each include stays on its line."""
    parts, end = [], 0
    for _, at, operand in included(text) if depth else ():
        paths = _files(operand[1:-1], folder)
        readable = [_readable(path, name, folder, stack, names, depth - 1) for path in paths]
        if readable != paths:
            parts += [text[end:at], "; include ".join(f'"{path}"' for path in readable)]
            end = at + len(operand)
    return "".join((*parts, text[end:]))


def _readable(
    path: str, name: str, folder: Path, stack: contextlib.ExitStack, names: dict[str, str], depth: int
) -> str:
    """The path itself, or one in memory."""
    octets = _octets(path, name)
    try:
        clean = _staged(_clean(octets or b"").decode(), path, folder, stack, names, depth).encode()
    except UnicodeDecodeError:
        return path
    if octets is None or clean == octets:
        return path
    descriptor = os.memfd_create("nft", os.MFD_CLOEXEC)
    stack.callback(os.close, descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(clean)
    memory = f"{MEMORY_FILE}{descriptor}"
    names[memory] = path
    return memory


def _octets(path: str, name: str) -> bytes | None:
    """None where it cannot be opened: nft will say so."""
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise OperatorError(f"includes {path}, which is no file", where=name)
        with files.octets(path, files.LARGEST_TEXT) as file:
            return file.read()
    except OSError as error:
        if os.path.isfile(path) and os.access(path, os.R_OK):
            raise OperatorError(f"includes {path}, which cannot be read: {error.strerror}", where=name) from None
        return None


def _clean(octets: bytes) -> bytes:
    return octets.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")


def folder_of(top: str) -> Path:
    """Where nft seeks beside its own places."""
    return Path(top).resolve().parent


def _files(operand: str, folder: Path) -> list[str]:
    if os.path.isabs(operand):
        places = [""]
    elif operand.startswith("./"):
        places = ["."]
    else:
        places = [str(folder), *_PLACES]
    for place in places:
        if found := sorted(glob(os.path.join(place, operand))):
            return [str(Path(path)) for path in found]
    return []
