"""What stands on the host of one domain: device, addresses, routes, sysctls, rules; made and taken away by what plans
say, and written down before (nfxlat.plan.record). Which plan, and when: nfxlat.service.setup.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from nfxlat.errors import OperatorError
from nfxlat.host import addresses, device, neighbours, routes, shared, state, sysctl, tun
from nfxlat.host.overlap import overlapping
from nfxlat.host.state import unreadable
from nfxlat.plan import record as records
from nfxlat.plan.neighbours import Proxy
from nfxlat.plan.plan import Plan
from nfxlat.plan.record import Record, Unreadable
from nfxlat.plan.routes import Place, Route
from nfxlat.service.fence import described
from nfxlat.service.own_rules import OwnRules
from nfxlat.service.purpose import covering
from nfxlat.terms import Report

ROUTES_SHOWN = 16  # more than this are reported as a number


class Standing:
    """What stands of the domain `name` in the calling thread's network namespace; `report` gets a line for each step.

    `record` is on disk while it is open. `device` is None in the device model.
    """

    def __init__(
        self, name: str, rules: OwnRules, report: Report, *, keep_sysctls: bool = False, held: int = 0
    ) -> None:
        self._name, self._rules, self._report, self._keep_sysctls = name, rules, report, keep_sysctls
        self._held = held  # queues of a TUN that are ours before it is
        self._foreign: frozenset[str] = frozenset()  # addresses of the plan that the device had already
        self.record = Record()
        self.device: device.DomainDevice | None = None
        self.state: state.State | None = None

    def open(self, *, wait: bool = False) -> None:
        """Lock the record; what a killed run has left is in it. With `wait`, once whoever has it has let go. Raises
        OperatorError."""
        self.state = state.State(self._name, wait=wait)
        try:
            self.record = self._left_over(self.state)
        except BaseException:
            self.close(remove=False)
            raise

    def close(self, *, remove: bool) -> None:
        """Let go of the record, with `remove` after deleting it."""
        assert self.state is not None
        self.state.close(remove=remove)
        self.state = self.device = None

    @property
    def is_open(self) -> bool:
        return self.state is not None

    @property
    def taken_over(self) -> bool:
        """Whether there was a record when it was opened."""
        return self.state is not None and self.state.found is not None

    def _left_over(self, state: state.State) -> Record:
        """What a killed run may have left."""
        if state.found is None:
            return Record()
        try:
            found = records.decode(state.found)
        except Unreadable as error:
            raise unreadable(state.path, str(error)) from None
        self._report(f"taking over from a former run ({state.path})")
        return found

    def note(self, record: Record) -> None:
        """Write down what may stand from now on, where it is not written there already: it holds all routes."""
        assert self.state is not None
        if record != self.record:
            self.state.save(record.encode())
            self.record = record

    def prepare(self, plan: Plan) -> None:
        """Write down what may stand while all is changed to the plan. An address that the operator has given the device
        is not ours."""
        if plan.addresses:
            had = addresses.of_device(plan.device.name)
            self._foreign = frozenset(one for one in plan.addresses if one in had and one not in self.record.addresses)
        self.note(self.covering(self.record, plan))

    def covering(self, record: Record, plan: Plan) -> Record:
        found = covering(record, plan)
        return replace(found, addresses=tuple(one for one in found.addresses if one not in self._foreign))

    def repair(self, plan: Plan) -> None:
        """Make again what stood of the plan and is gone, rules aside. Raises OperatorError where that cannot be."""
        try:
            with self.quiet():
                if plan.device.kind == "tun" and plan.device.name in tun.ours():  # it is in use: by us
                    tun.bring_up(plan.device.name, self._report, plan.device.vrf)
                else:
                    self.make_device(plan)
                self.grow(plan, plan, self.record, whole=True)
        except (OSError, NetlinkError) as error:  # gone again meanwhile
            raise OperatorError(str(error), where=f"device {plan.device.name}") from None

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """One line tells of it all."""
        report, self._report = self._report, lambda line: None
        try:
            yield
        finally:
            self._report = report

    def refuse_overlap(self, new: Plan) -> None:
        """A route that another domain has is its own, unless both share it: both would translate the same addresses. So
        would rules of the hook model, which take all of a prefix, where one is inside another's; of routes the longest
        counts."""
        places = {route.place: route for route in new.routes}
        for name, data in state.others(new.name).items():
            with contextlib.suppress(Unreadable):
                other = records.decode(data)
                common = new.shared.intersection(other.shared)
                for route in other.routes:
                    if route.place in places and route.network not in common:
                        raise _claimed(new, places[route.place], f"domain {name} has this route already")
                if "hook" in (new.rules.model, _model(other)):
                    ours = [route for route in new.routes if route.network not in common]
                    if both := overlapping(ours, [route for route in other.routes if route.network not in common]):
                        raise _claimed(new, both[0], f"domain {name} has route {both[1]}, which overlaps it")

    def renew_routes(self, old: Plan, failed: Plan) -> None:
        """Those of `old` that `failed` has others in the place of; what is not ours there has not been touched."""
        others = {route.place: route for route in failed.routes}
        replaced = [route for route in old.routes if others.get(route.place, route) != route]
        stood = routes.ours(replaced)
        self._add_routes(old, [route for route in replaced if route.place in stood], stood)

    # --- what comes ---

    def grow(self, old: Plan | None, new: Plan, former: Record, *, whole: bool = False) -> None:
        """Make what `new` needs beside `old`; without an old one, or `whole`, all of it, in the place of what `former`
        tells of."""
        if old is None or old.device != new.device:
            self.make_device(new)
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
        self._tell_proxies("", neighbours.add(new.proxies))  # last: it is what brings packets here

    def make_device(self, new: Plan) -> None:
        if new.device.kind == "tun":
            tun.create_or_adopt(new.device.name, report=self._report, vrf=new.device.vrf, held=self._held)
        else:
            self.device, _ = device.create_or_adopt(new.device.name, report=self._report, vrf=new.device.vrf)

    def _add_addresses(self, new: Plan) -> None:
        if not new.addresses:
            return
        had = addresses.of_device(new.device.name)
        with IPRoute() as ipr:
            for address in new.addresses:
                if address not in had:
                    addresses.add_address(ipr, new.device.name, address)
                self._report(f"address {address}/32 dev {new.device.name}{' taken over' if address in had else ''}")

    def _add_routes(self, new: Plan, wanted: list[Route], stood: set[Place]) -> None:
        common = [route for route in wanted if route.network in new.shared]
        others = shared.join_routes(new.name, common) if common else set()
        routes.add(wanted, stood, others)
        self._tell("", wanted)

    # --- what goes ---

    def shrink(self, to: Plan | None) -> None:
        """Take away what the record has and `to` does not need, as far as it goes. Raises its first failure last."""
        needed = Record(clsact=self.record.clsact)
        if to is not None:
            needed = self.covering(needed, to)
        failures: list[Exception] = []
        steps = (
            self._drop_proxies,
            self._drop_rules,
            self._leave_sysctls,
            self._drop_routes,
            self._drop_addresses,
            self._drop_device,
        )
        for step in steps:
            try:
                step(needed)
            except Exception as error:
                failures.append(error)
        for failure in failures[1:]:  # the first is raised
            self._report(described(f"{self._name} cannot be taken down whole", failure))
        if failures:
            raise failures[0]
        if to is not None:  # else it goes
            self.note(needed)

    def _drop_proxies(self, needed: Record) -> None:
        stale = [proxy for proxy in self.record.proxies if proxy not in needed.proxies]
        self._tell_proxies("removed", neighbours.delete(stale))

    def _drop_rules(self, needed: Record) -> None:
        self._rules.remove(tuple(table for table in self.record.tables if table not in needed.tables))

    def _leave_sysctls(self, needed: Record) -> None:
        failures = []
        for group in reversed(self.record.groups):
            if group not in needed.groups:
                try:
                    shared.leave_sysctls(self._name, group, self._report, keep=self._keep_sysctls)
                except OperatorError as error:
                    failures.append(error)
        if failures:
            raise failures[0]

    def _drop_routes(self, needed: Record) -> None:
        """All at places that are not needed: what stands at another place has been replaced."""
        places = {route.place for route in needed.routes}
        stale = [route for route in self.record.routes if route.place not in places]
        free = shared.leave_routes(self._name, stale) if stale else []
        self._tell("removed", routes.delete(free))

    def _drop_addresses(self, needed: Record) -> None:
        """The device may have been there before."""
        for address in self.record.addresses:
            if address not in needed.addresses and addresses.remove_address(self._name, address):
                self._report(f"address {address}/32 dev {self._name} removed")

    def _drop_device(self, needed: Record) -> None:
        if self.record.device and (self.record.device, self.record.kind) != (needed.device, needed.kind):
            self._remove_device()

    def clear_other_kind(self, new: Plan) -> None:
        """A device of another model, whose run was killed, has the name that is needed."""
        if self.record.device == new.device.name and self.record.kind != new.device.kind:
            self._remove_device()

    def _remove_device(self) -> None:
        remove = tun.remove_named if self.record.kind == "tun" else device.remove_named
        if remove(self.record.device):
            self._report(f"device {self.record.device} removed")

    def _tell(self, suffix: str, concerned: Sequence[Route]) -> None:
        self._tell_all("route", suffix, concerned)

    def _tell_proxies(self, suffix: str, concerned: Sequence[Proxy]) -> None:
        self._tell_all("neighbour", suffix, concerned)

    def _tell_all(self, what: str, suffix: str, concerned: Sequence[Route | Proxy]) -> None:
        for one in concerned[:ROUTES_SHOWN]:
            self._report(f"{what} {one} {suffix}".rstrip())
        if len(concerned) > ROUTES_SHOWN:
            self._report(f"{what} and {len(concerned) - ROUTES_SHOWN} more {suffix}".rstrip())


def _claimed(new: Plan, route: Route, what: str) -> OperatorError:
    hint = "two domains cannot translate the same addresses: remove them from one"
    return OperatorError(what, where=f"domain.{new.name}: route {route}", hint=hint)


def _model(record: Record) -> str:
    """Of a large domain no purpose is written down: then it may be the hook model, where it is not another's device."""
    return record.purpose[1] if len(record.purpose) > 1 else "device" if record.kind == "tun" else "hook"
