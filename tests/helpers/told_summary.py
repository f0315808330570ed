"""What a translator says of itself in whose life everything has happened."""

from typing import Any

from nfxlat.offload import table
from nfxlat.service.answer import OFFLOAD


def summary(domain: str = "siit0", **changes: Any) -> dict[str, Any]:
    """Of a translator in whose life everything has happened once, and all adds up."""
    offload = {outcome: index for index, outcome in enumerate(table.OUTCOMES, 1)}
    totals = {"packets": 21, "injected": 14, "superframes": 1, "segments": 9, "fast": 8, "errors_sent": 2}
    totals |= {
        "parts": 2,
        "in_hands": 0,
        "in_killed_hands": 5,
        "cut": 3,
        "errors_refused": 1,
        "requeued": 2,
        "asked": 1,
    }
    return {
        "domain": domain,
        "model": "hook",
        "seconds": 100.5,
        "workers": 2,
        "workers_restarted": 1,
        "worker_cpu_seconds": [1.5, 0.25],
        "supervisor_cpu_seconds": 0.5,
        "configuration": {"digest": "0123456789abcdef", "loaded": 1.5e9, "eams": 3},
        "reloads": {"done": 2, "refused": 1, "longest_ms": 3.5},
        "totals": totals | {"asked": 1, "octets4": 1000, "octets6": 2000, "taught": 4},
        "reasons": {
            "translated": {"4to6": 8, "6to4": 4},
            "not_ours": {"4to6": 2},
            "packet_too_big": {"4to6": 4},
            "igmp": {"4to6": 5},
            "inject_failed": {"6to4": 1, "none": 2},
        },
        "rejected": {"packet_too_big": {"4to6": 3}},
        "queues": {"7": {"waiting": 1, "full": 2, "socket": 3, "judged": 28}},
        "taken_before": 24,
        "offload": dict.fromkeys(OFFLOAD, 3) | {"forgotten": {"rules": 2}, "4to6": offload, "6to4": offload},
        "unexpected": 7,
        "failures": 1,
        "lost_lines": 0,
        **changes,
    }
