"""A million EAM entries: time, memory, cost per packet. The bounds are those of a slow, busy machine; -s shows figures.

The tables are measured in a process of their own, so that the peak of memory is theirs.
"""

import json
import random
import subprocess
import sys
from pathlib import Path
from socket import AF_INET, inet_ntop

import measure_tables


def table(directory: Path, count: int) -> str:
    """A configuration with so many scattered hosts."""
    addresses = random.Random(0).sample(range(0x0B000000, 0x7F000000), count)
    lines = [
        f"{inet_ntop(AF_INET, address.to_bytes(4, 'big'))} 2001:db8:1:{n >> 16:x}::{n & 65535:x}\n"
        for n, address in enumerate(addresses)
    ]
    (directory / f"{count}.eam").write_text("".join(lines))
    file = directory / f"{count}.toml"
    file.write_text(f'[domain.siit0]\nprefix6 = "2001:db8:64::/96"\neam-file = "{count}.eam"\n')
    return str(file)


def test_a_million_entries_load_in_seconds_and_cost_a_packet_no_more_than_ten(tmp_path: Path) -> None:
    command = [sys.executable, measure_tables.__file__, table(tmp_path, 1_000_000), table(tmp_path, 10)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(found)
    assert found["seconds"] < 10
    assert found["megabytes"] < 400
    assert found["span_seconds"] < 10
    # between known addresses no table is asked; between new ones it costs two cache misses
    assert found["known_us"]["large"] < 1.5 * found["known_us"]["small"]
    assert found["new_us"]["large"] < 2 * found["new_us"]["small"]
