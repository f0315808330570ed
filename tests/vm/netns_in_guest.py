"""tests/netns and tests/matrix on a stock Debian kernel: `contrib/test --vm`. Collected there only: it takes hours.

The environment variable NFXLAT_VM_TESTS may hold other arguments for the guest's pytest, in shell syntax.
"""

import os
import shlex
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from virtual_machine import Boot

SECONDS = 4 * 3600


@pytest.mark.timeout(SECONDS + 60)
def test_netns_tests_pass_on_the_stock_kernel(booted: Boot) -> None:
    chosen = shlex.split(os.environ.get("NFXLAT_VM_TESTS", "")) or ["tests/netns", "tests/matrix"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--timeout=600", *chosen]
    command += ["--junitxml=/run/results/tests.xml"]
    guest = booted({"tests": (command, SECONDS - 120)}, SECONDS).guest()
    print(guest.output("tests"))
    assert guest.results["steps"]["tests"]["status"] == 0, guest.tail("tests")
    suites = ElementTree.parse(guest.folder / "tests.xml").getroot()
    assert sum(int(suite.get("tests", 0)) for suite in suites) > 0
