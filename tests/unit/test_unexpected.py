"""What ends in the domain device without a rule, from two counters that go on."""

from typing import Any

from nfxlat.datapath.counters import Counters, Total
from nfxlat.service.unexpected import Unexpected


class Device:
    """As many packets as a test says have ended in it."""

    def __init__(self) -> None:
        self.ended = 0

    def ended_packets(self) -> int:
        return self.ended


def test_originals_and_what_was_there_before_are_expected() -> None:
    device: Any = Device()
    counters = [Counters(), Counters()]
    device.ended, counters[0].totals[Total.ORIGINALS] = 7, 5
    counters[0].publish()
    unexpected = Unexpected(device, counters)
    assert unexpected.packets() == 0
    counters[1].totals[Total.ORIGINALS] = 3  # counted, and not there yet
    counters[1].show(Total.ORIGINALS)
    assert unexpected.packets() == 0
    device.ended = 11
    assert unexpected.packets() == 1
