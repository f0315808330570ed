"""The targets by name. A target takes any octets and raises where something does not hold that should."""

from collections.abc import Callable
from typing import Final

import fuzz_core
import fuzz_datapath
import fuzz_parsers

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "core": fuzz_core.core,
    "fast-path": fuzz_datapath.fast_path,
    "superframe": fuzz_datapath.superframe,
    "worker": fuzz_datapath.worker,
    "wire": fuzz_parsers.wire,
    "explain": fuzz_parsers.explain,
    "capture": fuzz_parsers.capture,
    "configuration": fuzz_parsers.configuration,
}
