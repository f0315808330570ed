"""The fuzzer's entry: `python fuzz.py TARGET [libFuzzer arguments and corpus folders]`.

`all` takes the target from the first octet of the input, for short runs over everything in one process.
"""

import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["nfxlat"]):
    import fuzz_targets


def _all(data: bytes) -> None:
    if data:
        names = list(fuzz_targets.TARGETS)
        fuzz_targets.TARGETS[names[data[0] % len(names)]](data[1:])


def main(arguments: list[str]) -> None:
    targets: dict[str, Callable[[bytes], None]] = {**fuzz_targets.TARGETS, "all": _all}
    name = arguments[1] if len(arguments) > 1 else ""
    if name not in targets:
        sys.exit(f"usage: fuzz.py TARGET [libFuzzer arguments]; targets: {', '.join(targets)}")
    atheris.Setup([arguments[0], *arguments[2:]], targets[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
