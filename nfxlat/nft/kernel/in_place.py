"""Rules put over a former load of the same file, so that no base chain goes.

Removing one unregisters its hook, and that empties every queue of the namespace (nfnetlink_queue.c, nfqnl_nf_hook_drop)
of packets of any rule. So chains are flushed and filled again in one transaction, which takes effect as a whole. Base
chains that the file no longer has stay, and are empty, until `unload` or a whole load. Queue chains that queue to the
same number are left alone: where nft has no `queue`, they cannot be filled in the same transaction.

Tables whose sets or other objects are declared in another way are not changed but replaced: each table holds a chain
whose name stands for what it declares, since older kernels take a set for the same whatever its type is.
"""

import dataclasses
import re
import zlib
from collections.abc import Collection, Iterator, Sequence

from nfxlat.errors import OperatorError
from nfxlat.nft.kernel import compat, elements, includes, listing, load
from nfxlat.nft.language.chains import QueueChain
from nfxlat.nft.language.compile import Compiled
from nfxlat.nft.language.scan import scan
from nfxlat.nft.language.source import Chain, ChainKey, Source, TableKey

DECLARED = "nfxlat_declared_"


def marks(compiled: Compiled) -> list[str]:
    """The commands that have each table remember what it declares; none where loads cannot be compared."""
    if not _comparable(compiled):
        return []
    source = scan(compiled.structure, "")
    return [
        f"add chain {family} {name} {_declared(compiled, source, (family, name))}" for family, name in source.tables
    ]


def _comparable(compiled: Compiled) -> bool:
    """Whether it says all that there is to be, and leaves the removing to us."""
    return bool(compiled.structure) and not compiled.clears


def change(compiled: Compiled, former: Sequence[TableKey], file: str) -> bool:
    """Put it over what was loaded into the tables `former`; False where that cannot be: a whole load says why."""
    if not former or not _comparable(compiled):
        return False
    wanted, found = scan(compiled.structure, ""), _found(former)
    if not _alike(compiled, wanted, found):
        return False
    new = _lacking(compiled.queue_chains)
    left = {_key(chain) for chain in compiled.queue_chains if compiled.closed or chain not in new}
    filled = () if compiled.closed else (line for chain in new for line in _filled(chain))
    over = compiled.over()
    listed = wanted.listed.union(name[:3] for name in compiled.sets if elements.exists(name))
    emptied = (*_emptied(wanted, found, left, compiled.owner), *_sets_emptied(wanted, found, listed))
    text, include = "".join((*emptied, over, *filled)), includes.folder_of(file)
    try:
        load.run(text, what=file, include=include, check=True)
        if compiled.closed:
            load.run("".join(_closed(new, _owner(compiled.owner, over))), what=file)
            for chain in new:
                compat.insert_queue_rule(chain.family, chain.table, chain.chain, chain.queue, chain.comment)
        load.run(text, what=file, include=include)
    except OperatorError:
        return False
    return True


def _found(tables: Sequence[TableKey]) -> Source:
    """The chains of these tables, as the kernel has them."""
    chains = scan(load.run("list chains"), "chains")
    kept = {key: chain for key, chain in chains.chains.items() if key[:2] in tables}
    return dataclasses.replace(chains, chains=kept, tables={key: chains.tables[key] for key in tables})


def _alike(compiled: Compiled, wanted: Source, found: Source) -> bool:
    """Whether base chains and declarations stay as they are, where both have them."""
    for key, chain in found.chains.items():
        other = wanted.chains.get(key)
        if other is not None and _hook(chain) != _hook(other):
            return False
    for table in {key[:2] for key in found.chains} & set(wanted.tables):
        if (*table, _declared(compiled, wanted, table)) not in found.chains:
            return False
    return not any(chain.base and chain.base.hook in ("ingress", "egress") for chain in wanted.chains.values())


def _hook(chain: Chain) -> tuple[str, str, int | None] | None:
    return (chain.base.type, chain.base.hook, chain.base.priority) if chain.base else None


def _declared(compiled: Compiled, source: Source, table: TableKey) -> str:
    """The chain that stands for what the file itself declares in a table; generated sets are always alike."""
    generated = tuple(f"set {name.name} " for name in compiled.sets if (name.family, name.table) == table)
    own = [one for one in source.declared[table] if not one.startswith(generated)]
    return f"{DECLARED}{zlib.crc32(repr(own).encode()):08x}"


def _key(chain: QueueChain) -> ChainKey:
    return chain.family, chain.table, chain.chain


def _lacking(chains: Sequence[QueueChain]) -> list[QueueChain]:
    """Those that are not there, or do not queue as they should."""
    loaded: dict[ChainKey, list[listing.LoadedRule]] = {}
    for table in {(chain.family, chain.table) for chain in chains}:
        for rule in listing.rules(*table):
            loaded.setdefault((rule.family, rule.table, rule.chain), []).append(rule)
    return [chain for chain in chains if not _queues(chain, loaded.get(_key(chain), []))]


def _queues(chain: QueueChain, rules: Sequence[listing.LoadedRule]) -> bool:
    return [rule.queues for rule in rules] == [(chain.queue,), ()] and rules[0].comment == chain.comment


def _owner(name: str, text: str) -> str:
    """The chain that marks each table, with what it says of itself."""
    found = re.search(rf'chain {name} (\{{\s*comment "[^"]*"\s*\}})', text)
    return f"{name} {found[1] if found else ''}"


def _closed(chains: Sequence[QueueChain], owner: str) -> Iterator[str]:
    """New queue chains that only drop, in tables that bear the owner's mark."""
    for chain in chains:
        table = f"{chain.family} {chain.table}"
        yield f"add table {table}\nadd chain {table} {owner}\nadd chain {table} {chain.chain}\n"
        yield f"flush chain {table} {chain.chain}\n"
        yield f'add rule {table} {chain.chain} drop comment "{chain.guard}-closed-{chain.label}"\n'


def _filled(chain: QueueChain) -> Iterator[str]:
    table = f"{chain.family} {chain.table} {chain.chain}"
    yield f'add rule {table} queue num {chain.queue} comment "{chain.comment}"\n'
    yield f'add rule {table} drop comment "{chain.guard}-closed-{chain.label}"\n'


def _emptied(wanted: Source, found: Source, left: Collection[ChainKey], owner: str) -> Iterator[str]:
    """The commands that empty all chains but those `left`, and remove those that are no longer wanted."""
    hooked = {key[:2] for key, chain in found.chains.items() if chain.base}
    useless = [table for table in found.tables if table not in hooked and table not in wanted.tables]
    gone = [f"delete table {family} {name}\n" for family, name in useless]
    for key, chain in found.chains.items():
        name = " ".join(key)
        if key[:2] in useless:
            continue
        other = wanted.chains.get(key)
        if key not in left:
            yield f"flush chain {name}\n"
        stays = chain.name == owner or (chain.name.startswith(DECLARED) and chain.table.key not in wanted.tables)
        if other is None and chain.base is None and not stays:
            gone.append(f"delete chain {name}\n")
        elif chain.base is not None and chain.policy != (policy := other.policy if other else "accept"):
            yield f"add chain {name} {{ policy {policy}; }}\n"
    yield from gone


def _sets_emptied(wanted: Source, found: Source, listed: Collection[ChainKey]) -> Iterator[str]:
    """The commands that empty those of the sets and maps `listed` that are there."""
    for family, table, name in sorted(listed):
        if (family, table) in found.tables and (family, table) in wanted.tables:
            kind = "map" if any(one.startswith(f"map {name} ") for one in wanted.declared[family, table]) else "set"
            yield f"flush {kind} {family} {table} {name}\n"
