"""The files that an `include` of nft means.

nft looks for a name without a leading `/` or `./` in its include paths: `load` adds the including file's own folder
(nft(8), "INCLUDING FILES").
"""

import os
from collections.abc import Iterator
from glob import glob
from pathlib import Path

_PLACES = ("/etc",)


def read(operand: str, name: str) -> Iterator[tuple[str, str]]:
    """Path and text of each file that `include "operand"` in the file `name` means, as far as it can be read."""
    for path in _files(operand, os.path.dirname(name)):
        try:
            yield path, Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue  # nft will say so


def _files(operand: str, folder: str) -> list[str]:
    if os.path.isabs(operand):
        places = [""]
    elif operand.startswith("./"):
        places = ["."]
    else:
        places = [folder or ".", *_PLACES]
    for place in places:
        if found := sorted(glob(os.path.join(place, operand))):
            return [str(Path(path)) for path in found]
    return []
