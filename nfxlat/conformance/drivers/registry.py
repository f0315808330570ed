"""The drivers by name, in the order in which they are shown."""

from __future__ import annotations

from typing import Final

from nfxlat.conformance.drivers import Driver
from nfxlat.conformance.drivers.own import DRIVERS as OWN
from nfxlat.conformance.drivers.tayga import Tayga

ALL: Final[dict[str, Driver]] = {driver.name: driver for driver in (*OWN, Tayga())}
