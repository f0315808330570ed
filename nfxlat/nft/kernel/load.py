"""Load, list and remove nft tables through the distribution's nftables bindings (libnftables), one transaction a call.

The bindings act in the network namespace of the calling thread.
"""

import os
import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nfxlat.errors import OperatorError
from nfxlat.nft.kernel import includes
from nfxlat.nft.kernel.includes import MEMORY_FILE
from nfxlat.wire.netlink import NETLINK_NETFILTER

TOO_LONG = "Message too long"  # EMSGSIZE, as libnftables tells it
TOO_LARGE = "in a user namespace a transaction fits into net.core.wmem_default: raise that and wmem_max on the host"
NO_TPROXY = "this kernel has no nft_tproxy (CONFIG_NFT_TPROXY), which `xlat ... reassembled` needs for defragmentation"
HINTS = {TOO_LONG: TOO_LARGE, "tproxy to :9": NO_TPROXY}  # by what is in a complaint; it shows the rule it is about
_INCLUDED_FROM = re.compile(r"^(In file included|\s+) from .*\n", re.MULTILINE)  # the included file itself comes next


def _bindings() -> Any:
    try:
        import nftables
    except ImportError:
        raise OperatorError(
            "the Python bindings of nftables are not installed",
            where="nft",
            hint="install python3-nftables, and create the virtual environment with --system-site-packages",
        ) from None
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER).close()
    except OSError as error:  # libnftables would end the process (mnl.c, nft_mnl_socket_open)
        raise OperatorError(os.strerror(error.errno or 0), where="nft") from None
    return nftables.Nftables()


def run(
    commands: str,
    *,
    check: bool = False,
    what: str = "",
    place: Callable[[int], str] | None = None,
    include: Path | None = None,
) -> str:
    """Run nft `commands` as one transaction and return the output; with `check` the kernel judges, and changes nothing.

    Raises OperatorError with the first line of libnftables' complaint, `where` being `what` ("rules siit0"), or what
    `place` makes of the line of `commands` that is complained of. `include` is where included files are sought too.
    """
    nft = _bindings()
    nft.set_dry_run(check)
    if include is not None:
        nft.add_include_path(str(include))
    code, output, error = nft.cmd(commands) if place is None else _from_file(nft, commands, what)
    if code != 0:
        error = re.sub(_INCLUDED_FROM, "", error)
        where = what or "nft"
        if place is not None and (found := re.match(rf"{MEMORY_FILE}\d+:(\d+):", error)):
            where = place(int(found[1]))
        elif place is not None and (found := re.match(r"(\S+:\d+:\d+)-\d+: ", error)):
            where = found[1]  # an included file
        hint = next((hint for words, hint in HINTS.items() if words in error), "")
        raise OperatorError(complaint(error), where=where, hint=hint)
    return str(output)


def _from_file(nft: Any, commands: str, name: str) -> tuple[int, str, str]:
    """Run them, those of the file `name`, from a file in memory: of a buffer libnftables does not tell the line that it
    complains of."""
    with (
        includes.staged(commands, name) as (text, names),
        open(os.memfd_create("nft", os.MFD_CLOEXEC), "w", encoding="utf-8") as file,
    ):
        file.write(text)
        file.flush()
        code, output, error = nft.cmd_from_file(f"{MEMORY_FILE}{file.fileno()}")
        for memory, path in names.items():
            error = error.replace(f"{memory}:", f"{path}:")
        return int(code), str(output), str(error)


def complaint(error: str) -> str:
    """libnftables' first line, without the position in a text that the operator has not written."""
    first = next((line for line in error.splitlines() if line.strip()), "refused, no reason given")
    return re.sub(r"^\S*?:\d+:\d+-\d+: ", "", first).removeprefix("netlink: ").removeprefix("Error: ")


def ruleset(tables: Sequence[tuple[str, str]] | None = None) -> str:
    """All that is loaded, or these tables (family, name) of it, as `nft list ruleset` prints it.

    A compat rule whose target's extension is not installed is listed with an empty text; what libxtables writes about
    it to standard error says nothing to the operator, and is kept off it.
    """
    stderr = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        if tables is None:
            return run("list ruleset")
        return "".join(run(f"list table {family} {name}") for family, name in tables)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def loaded(family: str, table: str) -> bool:
    """Whether the table exists."""
    tables = run(f"list tables {family}")
    return f"table {family} {table}" in tables.splitlines()


def unload(family: str, table: str) -> bool:
    """Delete the table; False where there is none. What waits in any queue of this namespace is lost with it."""
    if not loaded(family, table):
        return False
    run(f"delete table {family} {table}", what=f"rules {family} {table}")
    return True


def queue_expression_available() -> bool:
    """Whether the kernel takes nft's own `queue` (CONFIG_NFT_QUEUE), asked by a transaction that it only checks."""
    probe = "add table ip nfxlat_probe; add chain ip nfxlat_probe c; add rule ip nfxlat_probe c queue num 0"
    try:
        run(probe, check=True)
    except OperatorError:
        return False
    return True
