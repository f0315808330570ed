"""What this kernel and host can do for nfxlat, and what to change: looks, tries in a namespace, changes nothing."""

import contextlib
import fcntl
import importlib.util
import os
import platform
import struct
from collections.abc import Collection, Iterator
from pathlib import Path

from pyroute2 import IPRoute

from nfxlat.errors import OperatorError
from nfxlat.host import (
    capabilities,
    device,
    input_checks,
    interfaces,
    managers,
    netns,
    offload,
    registry,
    run_folder,
    shared,
    state,
    sysctl,
    tun,
)
from nfxlat.host.found import look
from nfxlat.netlink.bound_queues import bound_queues
from nfxlat.nft.check.judgements.host import Host
from nfxlat.nft.check.judgements.surroundings import Others
from nfxlat.nft.kernel import load
from nfxlat.plan import sysctls
from nfxlat.plan.compare import Wanted, lacks, told
from nfxlat.plan.plan import Plan
from nfxlat.plan.record import Unreadable, decode
from nfxlat.service import probes
from nfxlat.service.confinement import confinement, forwarding_remedy
from nfxlat.service.diagnosis import Diagnosis, State
from nfxlat.service.fitness import fitness
from nfxlat.service.offload import passed_over
from nfxlat.wire.nfqueue import COPY_RANGE

_FLOCK = struct.Struct("@hhqqi")  # struct flock: type, whence, start, length, pid
GRO_LEGACY_MAX_SIZE = 65536  # linux/netdevice.h; what is above cannot be in an NFQUEUE message of 64 KB
OWN_CHAINS = "move what has to see them into a forward chain"
NAMES_SHOWN = 6  # of interfaces
BIG = f"what is longer than NFQUEUE hands over ({COPY_RANGE} octets) is cut into segments by the kernel first: slower"


def examine(chosen: Plan | None = None) -> list[Diagnosis]:
    """All findings, about this process, its kernel, and the calling thread's network namespace: for the domains there,
    and for `chosen`."""
    host = (*_forwarding(), *_interfaces(), *_neighbours(), *fitness(chosen), *_left_overs())
    return [*_process(), *_run_folder(), *_kernel(), *confinement(), *host]


def can_run(findings: list[Diagnosis]) -> bool:
    return not any(finding.state is State.FATAL for finding in findings)


def _process() -> Iterator[Diagnosis]:
    lacking = capabilities.missing("CAP_NET_ADMIN", "CAP_NET_RAW")
    found = f"lacks {', '.join(lacking)}" if lacking else "CAP_NET_ADMIN, CAP_NET_RAW"
    remedy = "run as root" if lacking else ""
    yield Diagnosis(
        "privileges", State.FATAL if lacking else State.OK, found, "needed to bind queues and inject packets", remedy
    )
    if importlib.util.find_spec("netfilterqueue") is None:
        meaning = "needed for --source netfilterqueue only"
        yield Diagnosis("NetfilterQueue", State.OK, "not installed", meaning)
    else:
        yield Diagnosis("NetfilterQueue", State.OK, "installed", "for --source netfilterqueue")


def _run_folder() -> Iterator[Diagnosis]:
    found, remedy = run_folder.lack()
    if found:
        meaning = "nfxlat cannot write down what it makes, so it makes nothing"
        yield Diagnosis("/run", State.MISSING, found, meaning, remedy)


def _kernel() -> Iterator[Diagnosis]:
    try:
        kernel = probes.kernel()
    except OperatorError as error:
        meaning = "the kernel is tested in a temporary namespace; --setup needs one too"
        yield Diagnosis("kernel", State.UNKNOWN, error.what, meaning, error.hint)
        return
    release = platform.release()
    if kernel.queue:
        remedy = "modprobe nfnetlink_queue, or a kernel with CONFIG_NETFILTER_NETLINK_QUEUE"
        yield Diagnosis("NFQUEUE", State.FATAL, kernel.queue, f"kernel {release} cannot pass packets to nfxlat", remedy)
    else:
        yield Diagnosis("NFQUEUE", State.OK, "works, with superframes", f"kernel {release} can pass packets to nfxlat")
    yield from _rules(kernel)
    if kernel.veth:
        remedy = "a kernel with CONFIG_VETH, or --inject ip"
        yield Diagnosis("veth", State.MISSING, kernel.veth, "no domain device, so no --inject device", remedy)
    else:
        yield Diagnosis("veth", State.OK, "works", "the domain device can be created")
    if kernel.stamp is None:
        meaning = "superframes are cut into segments of 1280 octets, and UDP moves one datagram at a time: slower"
        remedy = "CAP_BPF, no lockdown, a kernel with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF"
        yield Diagnosis("stamp of gso_size", State.NOTE, "refused", meaning, remedy)
    else:
        yield Diagnosis(
            "stamp of gso_size", State.OK, f"by {kernel.stamp}", "superframes keep their sender's segment size"
        )
    if kernel.udp_l4 and kernel.stamp_udp:
        yield Diagnosis("UDP superframes", State.OK, "UDP_L4 and BTF available", "UDP moves many datagrams at a time")
    else:
        found = "UDP cannot be stamped" if kernel.udp_l4 else "the vnet header lacks UDP_L4"
        remedy = "CAP_PERFMON, CONFIG_DEBUG_INFO_BTF" if kernel.udp_l4 else "Linux 6.2 or later"
        yield Diagnosis("UDP superframes", State.NOTE, found, "UDP moves one datagram at a time: slower", remedy)
    yield _offload(kernel)


def _offload(kernel: probes.Kernel) -> Diagnosis:
    if not kernel.offload:
        remedy = "CAP_BPF, no lockdown, a kernel with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF"
        meaning = "--offload translates nothing in the kernel, and all goes through the queue: slower"
        return Diagnosis("offload", State.NOTE, kernel.offload_lack, meaning, remedy)
    if kernel.offload == "TCP":
        remedy = "CAP_PERFMON, CONFIG_DEBUG_INFO_BTF"
        return Diagnosis("offload", State.NOTE, "works for TCP", "UDP goes through the queue: slower", remedy)
    meaning = "a router can translate known pairs in the kernel: nfxlat run --offload, or offload = true of a domain"
    return Diagnosis("offload", State.OK, f"works for {kernel.offload}", meaning)


def _rules(kernel: probes.Kernel) -> Iterator[Diagnosis]:
    if kernel.tables:
        remedy = "install python3-nftables; a kernel with CONFIG_NF_TABLES and both families"
        yield Diagnosis("nftables", State.FATAL, kernel.tables, "no rule can be loaded", remedy)
        return
    lacking = {name: why for name, why in kernel.expressions.items() if why}
    found = ", ".join(name for name in kernel.expressions if name not in lacking)
    yield Diagnosis("nftables", State.OK, found, "nfxlat's rules can be loaded")
    for name, why in lacking.items():
        state = State.NOTE if name in ("nat", "jhash") else State.MISSING
        meaning = {"nat": "no masquerading on this host", "jhash": "only one worker"}.get(
            name, "nfxlat's rules cannot be loaded"
        )
        yield Diagnosis(f"nft {name}", state, why, meaning, f"modprobe nft_{name}, or build it in")
    match kernel.rule_path:
        case "native":
            yield Diagnosis("queue rule", State.OK, "native (nft_queue)", "nft can load and list it")
        case "compat":
            meaning = "works as well, but nft cannot load what it lists"
            yield Diagnosis("queue rule", State.OK, "compat target NFQUEUE", meaning)
        case None:
            meaning = "no rule can send packets to nfxlat"
            remedy = "modprobe nft_queue (CONFIG_NFT_QUEUE), or nft_compat and xt_NFQUEUE"
            yield Diagnosis("queue rule", State.FATAL, "neither nft_queue nor xt_NFQUEUE", meaning, remedy)


def _forwarding() -> Iterator[Diagnosis]:
    for family, key in (("IPv4", sysctls.FORWARD4), ("IPv6", sysctls.FORWARD6)):
        value = sysctl.read(key)
        what = f"{family} forwarding"
        if value is None:
            yield Diagnosis(
                what, State.FATAL, f"no {family}", "nothing to translate to or from", f"boot with {family} enabled"
            )
        elif value == "0":
            state, remedy = forwarding_remedy(key)
            yield Diagnosis(what, state, f"{sysctls.dotted(key)}=0", "a router needs it", remedy)
        else:
            yield Diagnosis(what, State.OK, "on", "translated packets can be forwarded")
    yield from _ipv6()
    strict = [name for name in _names() if max(_rp_filter("all"), _rp_filter(name)) == 1]
    found = f"strict on {', '.join(strict)}" if strict else "off or loose"
    meaning = "--setup adds the routes it needs; without --setup, route translated prefixes into the domain device"
    yield Diagnosis("rp_filter", State.OK, found, meaning if strict else "asymmetric routes are no problem")


def _ipv6() -> Iterator[Diagnosis]:
    """Where IPv6 is switched off: it has no addresses and no routes there, and nobody else tells."""
    domains = {"lo", *state.domains(), *registry.names()}
    names = [name for name in _names() if name not in domains]
    off = [name for name in names if sysctl.read(f"net/ipv6/conf/{name}/disable_ipv6") == "1"]
    if not off:
        return
    everywhere = len(off) == len(names)
    shown = ", ".join(off[:NAMES_SHOWN]) + (f" and {len(off) - NAMES_SHOWN} more" if len(off) > NAMES_SHOWN else "")
    found = f"switched off on {'all interfaces: ' if everywhere else ''}{shown}"
    remedy = f"sysctl -w net.ipv6.conf.{off[0]}.disable_ipv6=0, and give its addresses again"
    meaning = "no IPv6 packet comes in or leaves there"
    yield Diagnosis("IPv6", State.MISSING if everywhere else State.NOTE, found, meaning, remedy)


def _rp_filter(name: str) -> int:
    return int(sysctl.read(f"net/ipv4/conf/{name}/rp_filter") or 0)


def _names() -> list[str]:
    with IPRoute() as ipr:
        return [str(link.get_attr("IFLA_IFNAME")) for link in ipr.get_links()]


def _interfaces() -> Iterator[Diagnosis]:
    for interface in offload.interfaces():
        what = f"GRO of {interface.name}"
        if interface.changes:
            changes = ", ".join(f"{key} is {interface.settings[key]}" for key in interface.changes)
            remedy = f"nfxlat doctor --tune {interface.name} --apply"
            what_comes = "no packets are" if "rx-gro" in interface.changes else "UDP is not"
            meaning = (
                f"{what_comes} joined to superframes here; what containers and guests send as such arrives as it is"
            )
            yield Diagnosis(what, State.NOTE, changes, meaning, remedy)
        else:
            yield Diagnosis(what, State.OK, "on, for UDP too", "packets arrive as superframes")
        if interface.gro_max_size > GRO_LEGACY_MAX_SIZE:
            remedy = f"ip link set dev {interface.name} gro_max_size {GRO_LEGACY_MAX_SIZE}"
            found = f"up to {interface.gro_max_size} octets"
            yield Diagnosis(f"BIG TCP on {interface.name}", State.NOTE, found, BIG, f"{remedy} (for IPv4 too)")
    remedy = f"where a neighbour sends them: ip link set dev ITS-DEVICE gso_max_size {GRO_LEGACY_MAX_SIZE} there"
    yield Diagnosis("BIG TCP", State.OK, "taken in segments", BIG, remedy)
    if offload.is_tuned():
        meaning = "the previous settings are in /run/nfxlat"
        yield Diagnosis("tuning", State.NOTE, "applied by nfxlat", meaning, "nfxlat doctor --tune --undo restores them")


def _neighbours() -> Iterator[Diagnosis]:
    """Who else is at work in this namespace."""
    if bridges := input_checks.shown_by_bridges():
        found = f"shows rules what {', '.join(bridges)} passes on"
        yield Diagnosis("br_netfilter", State.NOTE, found, input_checks.BRIDGED, input_checks.LEAVE_BRIDGED)
    yield from _vrfs(_vrfs_of_domains())
    if ahead := passed_over():
        meaning = "they see no packets of pairs that are known, where a domain has offload"
        yield Diagnosis("chains ahead of offload", State.NOTE, ", ".join(map(str, ahead)), meaning, OWN_CHAINS)
    if flowtables := _flowtables():
        judged = Others.FLOWTABLE.at("ruleset")
        found = f"flowtable {', '.join(flowtables)}"
        yield Diagnosis(judged.what, State.NOTE, found, judged.effect, judged.instead)
    held = sorted(netns.RUN.glob(f"{device.PREFIX}*-{netns.own_inode()}"))
    for name in [path.name.removeprefix(device.PREFIX).rpartition("-")[0] for path in held] or ["siit0"]:
        for manager, remedy in managers.unguarded(name):
            judged = Host.MANAGER.at(f"device {name}", manager=manager, domain=name, remedy=remedy)
            yield Diagnosis(manager, State.NOTE, "running, and not told to ignore it", judged.effect, judged.instead)
    if bound := bound_queues():
        found = ", ".join(f"{one.number} by {one.holder}" for one in bound)
        yield Diagnosis("queues in use", State.OK, found, "choose others with nfxlat run --queue")


def _vrfs(wanted: Collection[str]) -> Iterator[Diagnosis]:
    """VRFs, and whether a domain is in them; `wanted`: those that domains name."""
    links = interfaces.listed()
    for vrf in links.values():
        if vrf.kind == "vrf" and (members := [link.name for link in links.values() if link.master == vrf.index]):
            what, found = f"VRF {vrf.name}", f"with {', '.join(members)}"
            if vrf.name in wanted:
                yield Diagnosis(what, State.OK, found, "a domain translates there")
                continue
            meaning = "domains that name no VRF route and send by the main table: traffic of these interfaces is lost"
            remedy = f'vrf = "{vrf.name}" in the configuration of a domain translates there'
            yield Diagnosis(what, State.NOTE, found, meaning, remedy)


def _vrfs_of_domains() -> set[str]:
    """Those that records of set-ups name."""
    found = set()
    for name in state.domains():
        with contextlib.suppress(OSError, ValueError, Unreadable):
            found.add(decode(state.read(name) or {}).vrf)
    return found


def _flowtables() -> list[str]:
    if capabilities.missing("CAP_NET_ADMIN"):  # libnftables would complain on stderr
        return []
    try:
        return [line.split()[1] for line in load.run("list flowtables").splitlines() if "flowtable " in line]
    except OperatorError:  # of the bindings, or nftables, the lack of which is told elsewhere
        return []


def _left_overs() -> Iterator[Diagnosis]:
    inode, held = netns.own_inode(), state.domains()
    for name in held:
        try:
            running = _is_locked(state.path_of(name))
        except OSError:
            yield Diagnosis(
                f"domain {name}", State.UNKNOWN, "set up", "only root can see whether it is running", "run as root"
            )
            continue
        if running:
            yield _running(name)
        else:
            meaning = "it fails closed: packets to translated prefixes are dropped until nfxlat runs again"
            remedy = "nfxlat run --setup takes it over, and removes it at the end"
            yield Diagnosis(f"domain {name}", State.WARNING, "left by a run that was killed", meaning, remedy)
    for what, domains in shared.users().items():
        if len(domains) > 1:
            meaning = "the last of these domains to stop puts it back"
            yield Diagnosis(what, State.OK, f"shared by {', '.join(domains)}", meaning)
    for name in registry.names():
        remedy = f"nfxlat domain del {name} removes it"
        yield Diagnosis(f"domain {name}", State.OK, "added", f"nfxlat run --domain {name} translates for it", remedy)
    for name in tun.ours():
        if name not in held and registry.text(name) is None:
            meaning = "of a run without --setup, which may have ended"
            yield Diagnosis(f"device {name}", State.NOTE, "a TUN", meaning, f"if none is running: ip link del {name}")
    for pinned in sorted(netns.RUN.glob(f"{device.PREFIX}*-{inode}")):
        name = pinned.name.removeprefix(device.PREFIX).removesuffix(f"-{inode}")
        if name not in held and registry.text(name) is None:
            meaning = "of a run without --setup, which may have ended"
            remedy = f"if none is running: ip link del {name}; ip netns del {pinned.name}"
            yield Diagnosis(f"device {name}", State.NOTE, f"far end in {pinned.name}", meaning, remedy)


def _running(name: str) -> Diagnosis:
    """Whether what a living set-up has written down is there."""
    what = f"domain {name}"
    try:
        record = decode(state.read(name) or {})
    except (OSError, ValueError, Unreadable):
        return Diagnosis(what, State.UNKNOWN, "set up and running", "its record cannot be read")
    wanted = Wanted.of_record(name, record)
    missing = lacks(wanted, look(wanted))
    if not missing:
        return Diagnosis(what, State.OK, "set up and running", "by nfxlat run --setup")
    remedy = "nfxlat run restores it within a second; if not, its output says why"
    return Diagnosis(what, State.MISSING, f"running, but missing: {told(missing)}", "traffic may be lost", remedy)


def _is_locked(path: Path) -> bool:
    """Whether a living process holds the state file (fcntl(2), F_GETLK: asking takes nothing away from anybody)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
    finally:
        os.close(descriptor)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
