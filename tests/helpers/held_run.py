"""A test that builds a lab and then takes for ever, for `test_run_ended`: pytest is given this file by its path."""

import os
import signal
from pathlib import Path

from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import Lab


def test_that_takes_for_ever() -> None:
    with Lab() as lab, TranslatorProcess(lab.translator, lab.directory):
        Path(os.environ["NFXLAT_HELD"]).write_text("ready")
        signal.pause()
