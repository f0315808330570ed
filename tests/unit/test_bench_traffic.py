"""The bench's traffic, as far as it needs no network."""

import os

from nfxlat.bench import traffic


def test_who_counts_takes_the_processor_from_nobody_while_it_counts() -> None:
    before = os.sched_getscheduler(0)
    with traffic._unobtrusive():
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == before
