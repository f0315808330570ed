"""Where the rules that nfxlat ships are: in a checkout the rules/ at its top, to which a link leads."""

from pathlib import Path

RULES = Path(__file__).resolve().parents[1] / "rules"
