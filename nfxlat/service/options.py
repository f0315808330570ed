"""What `nfxlat run` is asked to do, as one value."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nfxlat.files import Opener
from nfxlat.offload.table import ENTRIES
from nfxlat.queues import Queues
from nfxlat.terms import Model, Role
from nfxlat.xlat.domain import Domain


@dataclass(frozen=True, slots=True)
class Options:
    """What to run. Rates are ICMP errors a second. `role` is the hook model's; the device model's source is its TUN."""

    domain: Domain
    queues: Queues = field(default_factory=Queues)
    source: Literal["netlink", "netfilterqueue", "tun"] = "netlink"
    inject: Literal["device", "ip"] = "device"
    setup: bool = False
    keep_sysctls: bool = False  # at the end of --setup
    model: Model = "hook"
    role: Role = "router"
    fast_path: bool = True
    offload_entries: int = ENTRIES  # pairs and flows that the kernel knows at most, where the domain has offload
    icmp_rate: float = 1000.0
    icmp_burst: int = 50
    busy_poll: int = 100  # microseconds that a worker looks again before it sleeps
    summary_file: Path | None = None
    ready_descriptor: int | None = None
    configuration: Path | None = None  # the file that `read_again`, at SIGHUP, reads; raises OperatorError
    read_again: Callable[[Opener], Domain] | None = None
