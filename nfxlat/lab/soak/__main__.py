"""`contrib/dev/soak [--minutes N]`: all scenes, and a table. Exit status 1 where one does not hold."""

import argparse
import sys
import time
from collections.abc import Callable

from nfxlat.lab.netns import signals_raise
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.soak import scenes
from nfxlat.lab.soak.accounts import Row
from nfxlat.lab.soak.facing import facing
from nfxlat.lab.soak.hostile import hostile
from nfxlat.lab.soak.watchers import Watchers
from nfxlat.lab.topology import Lab

WHOLE = 20.0  # minutes, in which hostile packets have two, and mixed load what the others leave


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="contrib/dev/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=WHOLE, metavar="N", help="how long (default: %(default)g)")
    minutes = parser.parse_args().minutes
    ends, part, rows = time.monotonic() + minutes * 60, min(1.0, minutes / WHOLE), list[Row]()

    def play(scene: Callable[[], Row]) -> None:
        row = scene()
        rows.append(row)
        print(f"{'ok    ' if row.ok else 'FAILED'}  {row.what}: {row.figures}", flush=True)

    with signals_raise():
        for inject in ("device", "ip"):
            play(lambda inject=inject: facing(inject=inject))  # type: ignore[misc]
        with Lab() as lab:
            scenes.configuration(lab.directory, 0)
            toml = str(lab.directory / "soak.toml")
            with (
                TranslatorProcess(lab.translator, lab.directory, "--config", toml, "--offload") as process,
                Watchers(lab.translator, lab.directory) as watchers,
            ):
                play(lambda: scenes.killed_workers(lab, process))
                play(lambda: scenes.reloads_with_kills(lab, process, lab.directory, max(3, round(30 * part))))
                play(lambda: scenes.overload(lab, process, max(3.0, 20 * part)))
                play(lambda: hostile(lab, process, max(5.0, 120 * part)))
                left = max(20.0, ends - time.monotonic())
                play(lambda: scenes.mixed(lab, process, lab.directory, left))
                play(watchers.row)
                alive = process.alive()
    print("all hold" if all(row.ok for row in rows) and alive else "NOT all hold")
    return 0 if all(row.ok for row in rows) and alive else 1


if __name__ == "__main__":
    sys.exit(main())
