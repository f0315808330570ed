"""Words that all layers share, each defined here and nowhere else."""

from collections.abc import Callable
from typing import Literal

Family = Literal["ip", "ip6"]  # as nft and ip(8) name them
FAMILIES: tuple[Family, ...] = ("ip", "ip6")

Direction = Literal["4to6", "6to4"]
DIRECTIONS: tuple[Direction, ...] = ("4to6", "6to4")

# What selects packets: nft rules, routes into the domain device, rules that take what is routed into it.
Model = Literal["hook", "device", "route"]
MODELS: tuple[Model, ...] = ("hook", "device", "route")

# What the node is to the packets; masquerade is a router behind its own IPv4 NAT
# (contrib/doc/explanation/translation-points.md).
Role = Literal["router", "host", "masquerade"]

Report = Callable[[str], None]  # takes one line for the operator
