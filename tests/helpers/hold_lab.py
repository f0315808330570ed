"""Hold a lab, with a process inside, until a signal: prints that process's pid."""

import signal

from nfxlat.lab.netns import signals_raise
from nfxlat.lab.topology import Lab


def main() -> None:
    with signals_raise(), Lab() as lab:
        print(lab.host4.popen(["sleep", "60"]).pid, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
