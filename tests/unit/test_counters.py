"""Counters are shared by processes."""

import os

from nfxlat.datapath.counters import ERROR, PART, Counters, Direction, Total, cell, summary
from nfxlat.outcome import Reason


def test_counters_of_a_forked_child_are_read_by_its_parent() -> None:
    counters = Counters()
    child = os.fork()
    if not child:
        counters.count(Reason.IGMP, Direction.V4TO6, 3)
        counters.totals[Total.PACKETS] = 5
        counters.publish()
        os._exit(0)
    os.waitpid(child, 0)
    result = summary([counters.snapshot(), counters.snapshot()])
    assert result["reasons"] == {"igmp": {"4to6": 6}}
    assert result["totals"]["packets"] == 10


def test_what_was_refused_is_taken_back_at_the_end_of_the_batch() -> None:
    counters = Counters()
    translated = cell(Reason.TRANSLATED, Direction.V4TO6)
    counters.refused(Reason.INJECT_FAILED, translated)  # told before it is counted
    counters.refused(Reason.INJECT_TOO_BIG, PART)
    counters.refused(Reason.INJECT_NO_BUFFER, ERROR)
    counters.count(Reason.TRANSLATED, Direction.V4TO6, 3)
    counters.totals[Total.INJECTED] += 4
    counters.totals[Total.PARTS] += 1
    counters.totals[Total.ERRORS_SENT] += 2
    for _ in range(2):
        counters.settle()
        result = summary([counters])
        assert (result["totals"]["parts"], result["totals"]["errors_refused"]) == (0, 1)
        assert result["reasons"] == {
            "translated": {"4to6": 2},
            "inject_failed": {"4to6": 1},
            "inject_too_big": {"none": 1},
            "inject_no_buffer": {"none": 1},
        }
        assert (result["totals"]["injected"], result["totals"]["errors_sent"]) == (2, 1)
