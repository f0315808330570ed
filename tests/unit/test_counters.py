"""Counters are shared by processes."""

import os

from nfxlat.datapath.counters import Counters, Direction, Total, summary
from nfxlat.outcome import Reason


def test_counters_of_a_forked_child_are_read_by_its_parent() -> None:
    counters = Counters()
    child = os.fork()
    if not child:
        counters.count(Reason.IGMP, Direction.V4TO6, 3)
        counters.totals[Total.PACKETS] = 5
        os._exit(0)
    os.waitpid(child, 0)
    result = summary([counters, counters])
    assert result["reasons"] == {"igmp": {"4to6": 6}}
    assert result["totals"]["packets"] == 10
