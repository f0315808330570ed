"""A set-up in a process of its own, which waits to be killed: `start` starts it, in a namespace.

python set_up.py ROLE [--stamp HOW] [--reload STEP]    STEP: where in a reload it stops, see STEPS
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from subprocess import PIPE, Popen
from typing import NoReturn
from unittest.mock import patch

from setup_node import OTHER, made

from nfxlat.host import routes, stamp
from nfxlat.lab.netns import Namespace
from nfxlat.plan.routes import Route
from nfxlat.service import own_rules
from nfxlat.service.setup import Setup
from nfxlat.service.standing import Standing

UP = "up\n"


def start(node: Namespace, *words: str) -> Popen[str]:
    """The process, set up on the node and waiting."""
    process = node.popen([sys.executable, __file__, *words], stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None
    assert UP in iter(process.stdout.readline, "")
    return process


def start_and_kill(node: Namespace, *words: str) -> None:
    """Such a process, killed with SIGKILL."""
    process = start(node, *words)
    process.kill()
    process.wait()


def wait(*_: object) -> NoReturn:
    """Until the end."""
    print(UP, end="", flush=True)
    sys.stdin.read()
    sys.exit()


def change(setup: Setup, between: Callable[[], None] = lambda: None) -> None:
    setup.apply(setup.planned(OTHER), between)


def before_the_first_route(setup: Setup) -> None:
    with patch.object(routes, "add", wait):
        change(setup)


def among_the_routes(setup: Setup) -> None:
    add = routes.add

    def some(wanted: Sequence[Route], *more: object) -> None:
        add(wanted[:3], *more)  # type: ignore[arg-type]
        wait()

    with patch.object(routes, "add", some):
        change(setup)


def behind_the_routes(setup: Setup) -> None:
    with patch.object(own_rules, "change", wait):
        change(setup)


def among_the_workers(setup: Setup) -> None:
    change(setup, wait)


def with_the_rules(setup: Setup) -> None:
    with patch.object(Standing, "shrink", wait):
        change(setup)


STEPS: dict[str, Callable[[Setup], None]] = {
    "before the first route": before_the_first_route,
    "among the routes": among_the_routes,
    "behind the routes": behind_the_routes,
    "among the workers": among_the_workers,
    "with the rules": with_the_rules,
    "at the end": change,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("router", "host"))
    parser.add_argument("--stamp", choices=stamp.HOW)
    parser.add_argument("--reload", choices=STEPS, metavar="STEP")
    options = parser.parse_args()
    with ExitStack() as stack:
        if options.stamp:
            stack.enter_context(patch.object(stamp, "HOW", (options.stamp,)))
        setup = made(options.role, report=print)
        setup.up()
        if options.reload:
            STEPS[options.reload](setup)
            assert options.reload == "at the end", f"it did not stop {options.reload}"
        wait()


if __name__ == "__main__":
    main()
