"""`nfxlat run --setup`: device, routes, sysctls, rules and stamp of one domain, and back to exactly what was there
before.

The order fails closed: the routes end before anything is forwarded, and the rules drop before they queue. What is about
to be changed goes into the state file first, so whatever was done when the process was killed, the next `up` takes it
over and its `down` restores the original.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from pyroute2 import IPRoute

from nfxlat.errors import OperatorError
from nfxlat.host import addresses, capabilities, device, registry, routes, stamp, sysctl, tun
from nfxlat.host.routes import Route
from nfxlat.host.state import State
from nfxlat.nft.kernel import compat, listing, load
from nfxlat.nft.language import templates
from nfxlat.nft.language.spread import chain_of
from nfxlat.queues import Queues
from nfxlat.service import status
from nfxlat.terms import FAMILIES, Report
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

ROUTES_SHOWN = 16  # more than this are reported as a number

RulePath = Literal["native", "compat"]
Stand = tuple[Domain, list[Route]]  # a domain, and the routes that were made for it


class Setup:
    """One domain's set-up in the calling thread's network namespace; `report` gets one line for each step.

    `rule_path` says, once up, how the queue rules were made: "native" (nft's `queue`) or "compat" (xtables' NFQUEUE
    target).

    `role` is one of `templates.ROLES`: router and host are the hook model's, and there are those of the route model and
    of the device model, whose device is a TUN (`device` stays None) and whose rules have no queues.

    With `superframes`, ingress stamps the gso_size of TCP superframes; with `udp_superframes` that of UDP ones too, and
    the TCP queue gets them, and single UDP datagrams from outside. `stamp` is readable (poll it) when an interface came
    or went; then its `refresh` is due.
    """

    def __init__(
        self,
        domain: Domain,
        *,
        queues: Queues,
        role: str,
        report: Report,
        superframes: bool = True,
        udp_superframes: bool = False,
    ) -> None:
        if role not in templates.ROLES:
            raise OperatorError(f"unknown role {role!r}", where="--role", hint=f"one of {', '.join(templates.ROLES)}")
        self.check(domain, role)
        self.domain, self.queues, self.role, self.report = domain, queues, role, report
        self.rule_path: RulePath | None = None
        self.device: device.DomainDevice | None = None
        self.stamp: stamp.Stamp | None = None
        self._superframes, self._udp_superframes = superframes, udp_superframes
        self._state: State | None = None
        self._made: list[Route] = []
        self.loaded: listing.Identities = Counter()  # the rules as they were loaded

    @staticmethod
    def check(domain: Domain, role: str) -> None:
        """Raises OperatorError where the role cannot be set up for the domain."""
        if role == "host" and not len(domain.eamt):
            raise OperatorError(
                "the host role needs this host's own addresses",
                where=f"domain.{domain.name}.eam",
                hint='for example eam = [["192.0.0.1", "2001:db8:2::2"]]',
            )

    def up(self) -> None:
        """Do it all, or nothing: a step that fails undoes the earlier ones. Raises OperatorError."""
        capabilities.require("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN", what="--setup")
        state = State(self.domain.name)
        if (other := status.other(self.domain.name)) is not None:
            state.close(remove=not state.left_over)
            raise OperatorError(
                f"another nfxlat translates for this domain, without --setup (pid {other.pid})",
                where=f"domain.{self.domain.name}",
                hint="stop that one, or run this one without --setup too",
            )
        self._state = state
        try:
            if self._state.left_over:
                self.report(f"taking over what a run that was killed left ({self._state.path})")
            self._device()
            self._routes()
            self._sysctls()
            self.load_rules()
            self._stamp()
        except BaseException:
            with contextlib.suppress(OperatorError):  # the first failure is the one to tell
                self.down()
            raise

    def down(self) -> None:
        """Take down what stands, in reverse; safe after a partial `up` and twice. Raises its first failure last."""
        if self._state is None:
            return
        failures: list[OperatorError] = []
        for step in (
            self._drop_stamp,
            self._drop_rules,
            self._restore_sysctls,
            self._drop_routes,
            self._drop_addresses,
            self._drop_device,
        ):
            try:
                step(self._state)
            except OperatorError as error:
                failures.append(error)
        self._state.close(remove=not failures)
        self._state = self.rule_path = self.device = self.stamp = None
        if failures:
            raise failures[0]

    def _note(self, **changes: object) -> None:
        assert self._state is not None
        self._state.data |= changes
        self._state.save()

    def _device(self) -> None:
        assert self._state is not None
        name = self.domain.name
        own = name if registry.text(name) is None else None  # what `nfxlat domain add` made stays
        if self.role == "device":
            self._drop_veth(self._state)  # of another model, whose run was killed
            self._note(tun=own, device=None)
            tun.create_or_adopt(name, report=self.report)
            return
        self._drop_tun(self._state)
        self._note(device=own, tun=None)
        self.device, _ = device.create_or_adopt(name, report=self.report)
        wanted = self._wanted_addresses()
        self._add_addresses(wanted)
        self._cut_addresses(wanted)  # those of a former configuration, whose run was killed

    def _add_addresses(self, wanted: list[str]) -> None:
        """Give the device what it lacks of them, beside what it has of ours."""
        self._note_addresses([*dict.fromkeys((*self._noted_addresses(), *wanted))])
        with IPRoute() as ipr:
            for address in wanted:
                made = addresses.add_address(ipr, self.domain.name, address)
                self.report(f"address {address}/32 dev {self.domain.name}{'' if made else ' taken over'}")

    def _wanted_addresses(self) -> list[str]:
        """This host's, as a CLAT: IPv4 addresses of their own, not of networks behind it."""
        networks = prefixes.clat4(self.domain) if self.role == "host" else ()
        return [str(one.network_address) for one in networks if one.prefixlen == one.max_prefixlen]

    def _cut_addresses(self, wanted: list[str]) -> None:
        """Take those of ours that are not `wanted` off the device."""
        for address in self._noted_addresses():
            if address not in wanted and addresses.remove_address(self.domain.name, address):
                self.report(f"address {address}/32 dev {self.domain.name} removed")
        self._note_addresses(wanted)

    def _noted_addresses(self) -> list[str]:
        assert self._state is not None
        return list(self._state.data.get("addresses", []))

    def _note_addresses(self, present: list[str]) -> None:
        if present != self._noted_addresses():  # the file holds all routes, too: not written for nothing
            self._note(addresses=present)

    def extend(self, domain: Domain) -> Stand:
        """Routes and addresses of `domain` beside those that stand, for `cut` to take away: it returns these.

        Raises OperatorError, and nothing is changed then.
        """
        former = self.domain, self._made
        wanted = routes.wanted(domain, self.role)
        self._note(routes=list(dict.fromkeys((*former[1], *wanted))))
        self.domain, self._made = domain, wanted
        try:
            self._add_addresses(self._wanted_addresses())  # sources of routes
            new = self._add_routes(former[1])
        except OperatorError:
            self.back(former)
            raise
        self._tell("", new)
        return former

    def back(self, former: Stand) -> None:
        """Undo `extend`, which returned `former`."""
        failed = self.domain, self._made
        self.domain, self._made = former
        self._add_routes(failed[1], self._made)
        self._cut(failed)

    def cut(self, former: Stand) -> None:
        """Take away the routes and addresses of `former` that the present domain does not need."""
        self._tell("removed", self._cut(former))

    def _cut(self, former: Stand) -> list[Route]:
        places = {(route.network, route.metric) for route in self._made}
        stale = [route for route in former[1] if (route.network, route.metric) not in places]
        gone = routes.delete(stale)
        self._cut_addresses(self._wanted_addresses())
        self._note(routes=self._made)
        return gone

    def _add_routes(self, standing: list[Route], more: Sequence[Route] = ()) -> list[Route]:
        """Make what is not `standing`, in the place of what is ours there; `more` may stand too."""
        known = set(standing)
        new = [route for route in self._made if route not in known]
        routes.add(new, {(route.network, route.metric) for route in (*standing, *more)})
        return new

    def _routes(self) -> None:
        assert self._state is not None
        self._made = wanted = routes.wanted(self.domain, self.role)
        former = [Route(*fields) for fields in self._state.data.get("routes", [])]
        self._note(routes=list(dict.fromkeys((*former, *wanted))))
        places = {(route.network, route.metric) for route in wanted}
        stale = [route for route in former if (route.network, route.metric) not in places]
        self._tell("removed: of a former configuration", routes.delete(stale))
        routes.add(wanted, routes.ours())
        self._note(routes=wanted)
        self._tell("", wanted)

    def _tell(self, suffix: str, concerned: list[Route]) -> None:
        for route in concerned[:ROUTES_SHOWN]:
            self.report(f"route {route} {suffix}".rstrip())
        if len(concerned) > ROUTES_SHOWN:
            self.report(f"route and {len(concerned) - ROUTES_SHOWN} more {suffix}".rstrip())

    def _sysctls(self) -> None:
        assert self._state is not None
        originals: dict[str, str] = self._state.data.get("sysctls", {})
        for key, value in sysctl.needed(self.role, self.domain.name).items():
            now = sysctl.read(key)
            if now is None or now == value:
                continue
            if f"/{self.domain.name}/" not in key:  # the device's own go with it
                for other, original in (sysctl.side_effects(key) | {key: now}).items():
                    if f"/{self.domain.name}/" not in other:
                        originals.setdefault(other, original)
                self._note(sysctls=originals)
            sysctl.write(key, value)
            self.report(f"sysctl {sysctl.dotted(key)} {now} -> {value}")

    def load_rules(self) -> None:
        """All of the rules, in the place of what is there of them; what waits in queues is lost with that."""
        table = templates.table(self.domain)
        self._note(table=table)
        load.run(templates.rules(self.domain, self.role, self.queues.workers), what=f"rules {table}")
        if self.role == "device":
            self.report(f"rules ip and ip6 {table} loaded (no queue)")
        else:
            self._queue_rules(table)
        self.loaded = self.list_rules()

    def _queue_rules(self, table: str) -> None:
        native = load.queue_expression_available()
        for family in FAMILIES:
            for chain, number in self._queue_chains():
                comment = f"{self.role}{'6' if family == 'ip6' else '4'}-{chain.replace('_', '-')}"
                if native:
                    rule = f'insert rule {family} {table} {chain} queue num {number} comment "{comment}"'
                    load.run(rule, what=f"rules {family} {table} {chain}")
                else:
                    compat.insert_queue_rule(family, table, chain, number, comment)
            how = "queue natively" if native else "queue by compat target"
            self.report(f"rules {family} {table} loaded ({how}, {self.queues.first} to {self.queues.last})")
        self.rule_path = "native" if native else "compat"

    def list_rules(self) -> listing.Identities:
        """The rules that are in our tables now."""
        table = templates.table(self.domain)
        return listing.identities(rule for family in FAMILIES for rule in listing.rules(family, table))

    def _queue_chains(self) -> Iterator[tuple[str, int]]:
        """(chain, its queue)."""
        for worker, kind, number in self.queues.each():
            yield chain_of(f"queue_{kind}", worker), number

    def _stamp(self) -> None:
        """Behind the rules, which put back what it writes."""
        assert self._state is not None
        left_over: list[int] = self._state.data.get("clsact", [])
        if not self._superframes:
            stamp.sweep(self.domain.name, self.report, left_over)
            return
        self.stamp = stamp.Stamp(
            self.domain.name,
            self.report,
            udp=self._udp_superframes,
            left_over=left_over,
            note=lambda indexes: self._note(clsact=indexes),
        )

    def _drop_stamp(self, state: State) -> None:
        if self.stamp is not None:
            self.stamp.close()

    def _drop_rules(self, state: State) -> None:
        if (table := state.data.get("table")) is None:
            return
        for family in reversed(FAMILIES):
            if load.unload(family, table):
                self.report(f"rules {family} {table} removed")

    def _restore_sysctls(self, state: State) -> None:
        sysctl.restore(state.data.get("sysctls", {}), self.report)

    def _drop_routes(self, state: State) -> None:
        gone = routes.delete([Route(*fields) for fields in state.data.get("routes", [])])
        self._tell("removed", gone)

    def _drop_addresses(self, state: State) -> None:
        self._cut_addresses([])  # the device may have been there before

    def _drop_device(self, state: State) -> None:
        self._drop_veth(state)
        self._drop_tun(state)

    def _drop_veth(self, state: State) -> None:
        if (name := state.data.get("device")) is not None and device.remove_named(name):
            self.report(f"device {name} removed")

    def _drop_tun(self, state: State) -> None:
        if (name := state.data.get("tun")) is not None and tun.remove_named(name):
            self.report(f"device {name} removed")
