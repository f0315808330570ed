"""`nfxlat` with a bug in its supervisor: SIGWINCH ends its loop by an exception that no fence catches.

python3 run_with_bug.py run ...
"""

import signal
import sys
from unittest.mock import patch

from nfxlat.cli import main
from nfxlat.service import translation
from nfxlat.service.loop import Failed, Loop


def raise_a_bug() -> None:
    raise ZeroDivisionError("a bug of the supervisor")


def loop_with_bug(_: Failed) -> Loop:
    loop = Loop()
    loop.on_signal(signal.SIGWINCH, raise_a_bug)
    return loop


if __name__ == "__main__":
    with patch.object(translation, "Loop", loop_with_bug):
        sys.exit(main(sys.argv[1:]))
