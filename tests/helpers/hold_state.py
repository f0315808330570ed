"""Hold a state file in a process of its own, until the end of its input.

python hold_state.py FOLDER [--die]    FOLDER: in place of /run/nfxlat; --die: killed while it writes another state
"""

import os
import signal
import sys
from pathlib import Path
from unittest.mock import patch

from nfxlat.host import state


def main(folder: str, *more: str) -> None:
    with patch.object(state, "RUN", Path(folder)):
        held = state.State("siit0")
    held.save({"routes": ["former"]})
    held.save({"routes": ["former"]})  # each time a file of its own
    print("held", flush=True)
    if more == ("--die",):
        with patch.object(Path, "rename", lambda *names: os.kill(os.getpid(), signal.SIGKILL)):
            held.save({"routes": []})
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
