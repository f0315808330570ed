"""What a large mapping table costs, against a small one: prints figures in JSON.

    python measure_tables.py LARGE SMALL    configurations with 1,000,000 and 10 entries

A process of its own, so that the peak of memory is the table's.
"""

import json
import random
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from nfxlat import config
from nfxlat.outcome import Action
from nfxlat.wire import ipv4
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.translator import Translator

LARGE, SMALL = 1_000_000, 10
SOURCES = range(0xC6120000, 0xC6140000)  # 198.18.0.0/15


def load(path: str, count: int) -> tuple[Domain, float]:
    """The domain, and the seconds that it took."""
    began = time.process_time()
    domain = config.load(Path(path)).domain()
    seconds = time.process_time() - began
    assert len(domain.eamt) == count
    return domain, seconds


def packet(addresses: bytes) -> bytes:
    """Not by scapy, which would count as the table's memory."""
    return ipv4.build(0, 28, 0, 0x4000, 64, 17, addresses) + bytes.fromhex("1388 1389 0008 1234")


def packets(domain: Domain) -> list[bytes]:
    """Between pairs of addresses that were never seen before, so that each asks the table."""
    targets = [network.network_address.packed for network in islice(domain.eamt.v4_networks(), 100_000)]
    sources = random.Random(1).sample(SOURCES, 10_000)
    chosen = random.Random(2).choices(targets, k=len(sources))
    return [packet(source.to_bytes(4, "big") + target) for source, target in zip(sources, chosen, strict=True)]


def cost(translator: Translator, some: Sequence[bytes]) -> float:
    """Microseconds a packet."""
    began = time.process_time()
    outcomes = [translator.translate(packet).action for packet in some]
    seconds = time.process_time() - began
    assert set(outcomes) == {Action.TRANSLATED}
    return seconds / len(some) * 1e6


def main(large_path: str, small_path: str) -> None:
    large, seconds = load(large_path, LARGE)
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    began = time.process_time()
    prefixes.translated4_spans(large)
    spanned = time.process_time() - began
    small, _ = load(small_path, SMALL)
    cases = {"large": (large, packets(large)), "small": (small, packets(small))}
    new: dict[str, list[float]] = {name: [] for name in cases}
    known: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(5):  # in turn, so that both meet the same machine
        for name, (domain, some) in cases.items():
            translator = Translator(domain)
            new[name].append(cost(translator, some))
            known[name] += [cost(translator, some[-500:]) for _ in range(10)]
    figures = {
        "seconds": seconds,
        "megabytes": peak,
        "span_seconds": spanned,
        "new_us": {name: min(found) for name, found in new.items()},
        "known_us": {name: min(found) for name, found in known.items()},
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
