"""`nfxlat run --setup`: what the host has becomes what a plan says, by one operation, and in the end nothing again.

    up, take-over   nothing stands, or what a killed run left   -> plan
    reload          plan                                        -> plan, with the change of workers in between
    repair          plan, of which something has gone           -> the same plan
    down            plan                                        -> nothing

    record -> device, addresses, routes, forwarding come -> rules select what both plans translate -> the change between
    -> rules select what the new plan translates -> what it does not need goes

The order fails closed: a prefix has its routes, the unreachable one first, before a rule selects it and for as long as
one does; rules drop until a worker listens. The record is on disk before each change, so whatever was done when the
process was killed, the next `up` takes it over. A step that fails leads back to where it began.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from nfxlat.errors import OperatorError
from nfxlat.host import addresses, capabilities, device, routes, shared, stamp, state, sysctl, tun
from nfxlat.host.facts import facts
from nfxlat.host.state import unreadable
from nfxlat.nft.language.sets import Contents
from nfxlat.plan import record as records
from nfxlat.plan.plan import Plan, check, plan
from nfxlat.plan.record import Record, Unreadable
from nfxlat.plan.routes import Place, Route
from nfxlat.queues import Queues
from nfxlat.service import own_rules, status
from nfxlat.service.fence import described
from nfxlat.service.own_rules import OwnRules
from nfxlat.terms import Model, Report, Role
from nfxlat.xlat.domain import Domain

ROUTES_SHOWN = 16  # more than this are reported as a number

SetChange = tuple[Contents, Contents] | None  # what the sets of the rules hold and shall hold; None: not known


class Setup:
    """One domain's set-up in the calling thread's network namespace; `report` gets one line for each step.

    `stands`: the plan that the host is as, None before `up` and after `down`. In the device model `device` stays None.
    With `superframes`, ingress stamps the gso_size of TCP superframes; with `udp_superframes` that of UDP ones too, and
    the TCP queue gets them, and single UDP datagrams from outside. `stamp` is readable (poll it) when an interface came
    or went; then its `refresh` is due.
    """

    def __init__(
        self,
        domain: Domain,
        *,
        queues: Queues,
        role: Role = "router",
        model: Model = "hook",
        report: Report,
        superframes: bool = True,
        udp_superframes: bool = False,
    ) -> None:
        check(domain, role, model)
        self._domain, self._role, self._model, self._queues, self._report = domain, role, model, queues, report
        self.stands: Plan | None = None
        self.rules = OwnRules(report)
        self.device: device.DomainDevice | None = None
        self.stamp: stamp.Stamp | None = None
        self._superframes, self._udp_superframes = superframes, udp_superframes
        self._state: state.State | None = None
        self._record = Record()

    def planned(self, domain: Domain) -> Plan:
        """The plan of `domain` on this host as it is now. Raises OperatorError."""
        role = self._role
        check(domain, role, self._model)
        return plan(domain, role, self._model, self._queues, lambda ends: facts(domain, role, ends))

    def up(self) -> None:
        """Do it all, or nothing, but for what a killed run has left. Raises OperatorError."""
        capabilities.require("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN", what="--setup")
        name = self._domain.name
        self._state = state.State(name)
        try:
            self._refuse_another(name)
            self._record = self._left_over(self._state)
            wanted = self.planned(self._domain)
        except BaseException:
            self._state.close(remove=self._state.found is None)
            self._state = None
            raise
        try:
            self.apply(wanted)
        except OperatorError as error:
            if self.stands is None:
                raise
            self._report(f"not all of a former run could be removed: {error}")

    def down(self) -> None:
        """Take down what stands; safe after a partial `up` and twice. Raises its first failure last."""
        if self._state is not None:
            self.apply(None)

    def apply(self, new: Plan | None, between: Callable[[], None] = lambda: None) -> None:
        """Have the host be as `new`, and nothing of ours when None. `between` is called when what both plans translate
        is selected, and all that the new one needs stands.

        Raises OperatorError: before `between`, and then all is as it was; or behind it, and then something that is not
        needed any more has stayed.
        """
        old = self.stands
        if new is None:
            self._end()
            return
        try:
            former = self._record
            with shared.alone():  # two that begin at once see each other
                self._refuse_overlap(new)
                self._clear_other_kind(new)
                self._note(former.covering(new, own_rules.tables(new)))
            self._grow(old, new, former)
            change = self._narrow(old, new)
        except BaseException:
            self._lead_back(old, new)
            raise
        between()
        self.stands, self._domain = new, new.domain  # the former one may be large
        if old is not None:
            self._widen(new, change)
        else:
            self._start_stamp()
        self._shrink(new)

    def repair(self) -> None:
        """Make again what stood and is gone, rules aside. Raises OperatorError where that cannot be."""
        plan = self.stands
        assert plan is not None
        try:
            with self._quiet():
                if plan.device.kind == "tun" and plan.device.name in tun.ours():  # it is in use: by us
                    tun.bring_up(plan.device.name)
                else:
                    self._make_device(plan)
                self._grow(plan, plan, self._record, whole=True)
        except (OSError, NetlinkError) as error:  # gone again meanwhile
            raise OperatorError(str(error), where=f"device {plan.device.name}") from None

    @property
    def index(self) -> int:
        """Of the domain device; 0 where it is gone."""
        return next((index for index, name in socket.if_nameindex() if name == self._domain.name), 0)

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        """One line tells of it all."""
        report, self._report = self._report, lambda line: None
        try:
            yield
        finally:
            self._report = report

    def _lead_back(self, old: Plan | None, failed: Plan) -> None:
        """Have all be as `old` again, whatever has been done of `failed`. The first failure is the one to raise."""
        try:
            if old is None:
                self._end()
                return
            with self._quiet():
                self._renew_routes(old, failed)
                self._shrink(old)
        except Exception as error:
            self._report(described("not all of it could be undone", error))

    def _renew_routes(self, old: Plan, failed: Plan) -> None:
        """Those of `old` that `failed` has others in the place of; what is not ours there has not been touched."""
        others = {route.place: route for route in failed.routes}
        replaced = [route for route in old.routes if others.get(route.place, route) != route]
        stood = routes.ours(replaced)
        self._add_routes(old, [route for route in replaced if route.place in stood], stood)

    def _refuse_another(self, name: str) -> None:
        if (other := status.other(name)) is not None:
            raise OperatorError(
                f"another nfxlat translates for this domain without --setup (pid {other.pid})",
                where=f"domain.{name}",
                hint="stop it, or leave out --setup here too",
            )

    def _refuse_overlap(self, new: Plan) -> None:
        """A route that another domain has is its own, unless both share it: both would translate the same addresses."""
        places = {route.place: route for route in new.routes}
        for name, data in state.others(new.name).items():
            with contextlib.suppress(Unreadable):
                other = records.decode(data)
                common = new.shared.intersection(other.shared)
                for route in other.routes:
                    if route.place in places and route.network not in common:
                        raise OperatorError(
                            f"domain {name} has this route already",
                            where=f"domain.{new.name}: route {places[route.place]}",
                            hint="two domains cannot translate the same addresses: remove them from one",
                        )

    def _left_over(self, state: state.State) -> Record:
        """What a killed run may have left."""
        if state.found is None:
            return Record()
        try:
            found = records.decode(state.found)
        except Unreadable as error:
            raise unreadable(state.path, str(error)) from None
        self._report(f"taking over from a killed run ({state.path})")
        return found

    def _note(self, record: Record) -> None:
        """Write down what may stand from now on, where it is not written there already: it holds all routes."""
        assert self._state is not None
        if record != self._record:
            self._state.save(record.encode())
            self._record = record

    # --- what comes ---

    def _grow(self, old: Plan | None, new: Plan, former: Record, *, whole: bool = False) -> None:
        """Make what `new` needs beside `old`; without an old one, or `whole`, all of it, in the place of what `former`
        tells of."""
        if old is None or old.device != new.device:
            self._make_device(new)
        # Ahead of the routes: none can be made into a device whose IPv6 is off.
        sysctl.set_all([one for one in new.sysctls if not one.group], self._report)
        self._add_addresses(new)
        standing, noted = set(), former.routes
        if old is not None and not whole:  # what is shared from now on has this domain as a user
            standing = {route for route in old.routes if route.network not in new.shared - old.shared}
            noted = old.routes
        wanted = [route for route in new.routes if route not in standing]
        places = {route.place for route in wanted}
        stood = routes.ours(route for route in noted if route.place in places)
        self._add_routes(new, wanted, stood)
        for group in records.groups(new):
            shared.set_sysctls(new.name, group, [one for one in new.sysctls if one.group == group], self._report)

    def _make_device(self, new: Plan) -> None:
        if new.device.kind == "tun":
            tun.create_or_adopt(new.device.name, report=self._report)
        else:
            self.device, _ = device.create_or_adopt(new.device.name, report=self._report)

    def _add_addresses(self, new: Plan) -> None:
        if not new.addresses:
            return
        with IPRoute() as ipr:
            for address in new.addresses:
                made = addresses.add_address(ipr, new.device.name, address)
                self._report(f"address {address}/32 dev {new.device.name}{'' if made else ' taken over'}")

    def _add_routes(self, new: Plan, wanted: list[Route], stood: set[Place]) -> None:
        common = [route for route in wanted if route.network in new.shared]
        others = shared.join_routes(new.name, common) if common else set()
        routes.add(wanted, stood, others)
        self._tell("", wanted)

    # --- rules ---

    def _narrow(self, old: Plan | None, new: Plan) -> SetChange:
        """Have the rules select what both plans translate; what is left to do for the new one."""
        if old is None:
            self.rules.load(new)
            return None
        former, wanted = own_rules.contents(old), own_rules.contents(new)
        kept = own_rules.common(former, wanted)
        return (kept, wanted) if self._change_elements(former, kept) else None

    def _widen(self, new: Plan, change: SetChange) -> None:
        """Have the rules select what `new` translates. From here on there is no way back: where the sets are not what
        we left, the rules are loaded as a whole."""
        if change is not None and self._change_elements(*change):
            return
        try:
            self.rules.load(new)
        except OperatorError as error:
            self._report(f"the rules cannot be loaded, and what they selected is refused: {error}")

    def _change_elements(self, former: Contents, wanted: Contents) -> bool:
        try:
            own_rules.change(former, wanted)
        except OperatorError as error:
            self._report(f"{error}; reloading all rules")
            return False
        return True

    def _start_stamp(self) -> None:
        """Behind the rules, which put back what it writes."""
        assert self.stands is not None
        name, left_over = self.stands.name, self._record.clsact
        if not self._superframes:
            stamp.sweep(name, self._report, left_over)
            return
        self.stamp = stamp.Stamp(
            name, self._report, udp=self._udp_superframes, left_over=left_over, note=self._note_clsact
        )

    def _note_clsact(self, indexes: list[int]) -> None:
        self._note(replace(self._record, clsact=tuple(indexes)))

    # --- what goes ---

    def _shrink(self, to: Plan | None) -> None:
        """Take away what the record has and `to` does not need, as far as it goes. Raises its first failure last."""
        needed = Record(clsact=self._record.clsact)
        if to is not None:
            needed = needed.covering(to, own_rules.tables(to))
        failures: list[Exception] = []
        for step in (self._drop_rules, self._leave_sysctls, self._drop_routes, self._drop_addresses, self._drop_device):
            try:
                step(needed)
            except Exception as error:
                failures.append(error)
        for failure in failures[1:]:  # the first is raised
            self._report(described(f"{self._domain.name} cannot be taken down whole", failure))
        if failures:
            raise failures[0]
        if to is not None:  # else it goes
            self._note(needed)

    def _drop_rules(self, needed: Record) -> None:
        self.rules.remove(tuple(table for table in self._record.tables if table not in needed.tables))

    def _leave_sysctls(self, needed: Record) -> None:
        for group in reversed(self._record.groups):
            if group not in needed.groups:
                shared.leave_sysctls(self._domain.name, group, self._report)

    def _drop_routes(self, needed: Record) -> None:
        """All at places that are not needed: what stands at another place has been replaced."""
        places = {route.place for route in needed.routes}
        stale = [route for route in self._record.routes if route.place not in places]
        free = shared.leave_routes(self._domain.name, stale) if stale else []
        self._tell("removed", routes.delete(free))

    def _drop_addresses(self, needed: Record) -> None:
        """The device may have been there before."""
        for address in self._record.addresses:
            if address not in needed.addresses and addresses.remove_address(self._domain.name, address):
                self._report(f"address {address}/32 dev {self._domain.name} removed")

    def _drop_device(self, needed: Record) -> None:
        if self._record.device and (self._record.device, self._record.kind) != (needed.device, needed.kind):
            self._remove_device()

    def _clear_other_kind(self, new: Plan) -> None:
        """A device of another model, whose run was killed, has the name that is needed."""
        if self._record.device == new.device.name and self._record.kind != new.device.kind:
            self._remove_device()

    def _remove_device(self) -> None:
        remove = tun.remove_named if self._record.kind == "tun" else device.remove_named
        if remove(self._record.device):
            self._report(f"device {self._record.device} removed")

    def _end(self) -> None:
        """To the end, whatever fails. What stayed is in the record, which then stays too."""
        assert self._state is not None
        failures: list[Exception] = []
        for step in (self._end_stamp, lambda: self._shrink(None)):
            try:
                step()
            except Exception as error:
                failures.append(error)
        try:
            self._state.close(remove=not failures)
        finally:
            self._state = self.device = self.stamp = self.stands = self.rules.path = None
        if failures:
            raise failures[0]

    def _end_stamp(self) -> None:
        if self.stamp is not None:
            self.stamp.close()

    def _tell(self, suffix: str, concerned: Sequence[Route]) -> None:
        for route in concerned[:ROUTES_SHOWN]:
            self._report(f"route {route} {suffix}".rstrip())
        if len(concerned) > ROUTES_SHOWN:
            self._report(f"route and {len(concerned) - ROUTES_SHOWN} more {suffix}".rstrip())
