"""A file of rules for the lab's domain."""

from pathlib import Path

ROUTER = """\
define pool = { 198.51.100.0/24, 203.0.113.2 }

table ip mine {
	chain prerouting {
		type filter hook prerouting priority -450; policy accept;
		ip daddr $pool xlat to siit0
	}
}

table ip6 mine {
	chain prerouting {
		type filter hook prerouting priority -450; policy accept;
		ip6 daddr 2001:db8:64::/96 xlat from siit0
	}
}
"""


def write(directory: Path, text: str, name: str = "mine.nft") -> str:
    """Write such a file; its path."""
    file = directory / name
    file.write_text(text)
    return str(file)
