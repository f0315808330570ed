"""The rules of `nfxlat run --setup` for the lab's domain, as files to read and to copy.

python -m nfxlat.lab.example_rules rules      writes rules/router.nft, host.nft, route.nft and device.nft
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent, indent
from typing import Final

from nfxlat import config
from nfxlat.lab import topology
from nfxlat.nft.language import builtin
from nfxlat.queues import Queues
from nfxlat.terms import Model, Role

FILES: Final[Mapping[str, tuple[Role, Model]]] = {
    "router": ("router", "hook"),
    "host": ("host", "hook"),
    "route": ("router", "route"),
    "device": ("router", "device"),
}
_WHAT: Final = {
    "router": """\
        SIIT router. IPv4 packets to pool4 and to the IPv4 side of the EAMs go to nfxlat, and so do IPv6 packets to
        prefix6, except to pool4 inside it: those are IPv6 hosts. This covers forwarded packets, this node's own, and
        the ICMP errors of its kernel.

        Priority -450 is before defragmentation (-400) and connection tracking (-200): nfxlat sees packets as they are
        on the wire.
        """,
    "host": """\
        Host (CLAT, RFC 6877). This host's own IPv4, and that of hosts behind it, leaves as IPv6.

        IPv4 takes a default route into the domain device, behind source NAT: nfxlat accepts the original, which dies
        in the device, and sends the translation. So connection tracking and NAT stay whole.
        """,
    "route": """\
        The route model. Packets whose route ends in the domain device go to nfxlat: one more route into it, such as
        `ip route add 203.0.113.0/24 dev siit0`, is enough to translate one more prefix.

        Policy rules (ip-rule(8)) that match the input interface or the mark of a packet do not count.
        """,
    "device": """\
        The device model. The device translates what is routed into it, so nothing is queued. These are two guards:
        against results that are routed back into the device, which would loop until their TTL runs out, and against
        packets from outside with an address of this node as source.
        """,
}
_QUEUES: Final = """\
    They load as they are (nft -f), and replace what is there. What they select is then dropped, until a queue rule
    stands before the drop. Never add `bypass`: it would let packets through untranslated.
    """


def example(name: str) -> str:
    """The text of rules/`name`.nft."""
    domain = config.parse(topology.DOMAIN, "lab").domain()
    role, model = FILES[name]
    compiled = builtin.compile_builtin(domain, role, model, Queues(), native=False, explain=True)
    lines = dedent(_WHAT[name]).splitlines()
    if compiled.queue_chains:
        program = builtin.text(domain.name, role, model).expandtabs(4)
        lines += ["", f"nfxlat run --setup makes these rules for a domain {domain.name}, from this program:", ""]
        lines += indent(program, "    ").splitlines()
        lines += ["", *dedent(_QUEUES).splitlines(), ""]
        lines += [
            f"    nft insert rule {chain.family} {chain.table} {chain.chain} queue num {chain.queue}"
            for chain in compiled.queue_chains
        ]
    lines += ["", "Made by `python -m nfxlat.lab.example_rules rules`; do not edit."]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines) + "\n" + compiled.text


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description="Write the example rules.")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    for name in FILES:
        (folder / f"{name}.nft").write_text(example(name), encoding="utf-8")


if __name__ == "__main__":
    main()
