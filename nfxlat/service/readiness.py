"""That a translator is ready, for who reads its log, the service manager, and who waits at --ready-fd."""

import contextlib
import os

from nfxlat.service import inherited
from nfxlat.service.log import Log
from nfxlat.service.notify import notify
from nfxlat.service.options import Options
from nfxlat.terms import Report


def tell(options: Options, report: Report) -> None:
    """Once; what cannot be told is reported."""
    inject = "" if options.model == "device" else f", inject {options.inject}"
    report(f"ready: translating for {options.domain.name}, {options.model} model{inject}")
    if notify("READY=1") is False:
        report("the service manager cannot be told that it is ready (NOTIFY_SOCKET)")
    descriptor = options.ready_descriptor
    if descriptor is not None:
        with contextlib.closing(Log(descriptor)) as line:
            line("ready")
        if descriptor not in inherited.STANDARD:  # the log and the summary go on there
            os.close(descriptor)
        if line.lost:
            report(f"--ready-fd {descriptor}: nobody reads it")
