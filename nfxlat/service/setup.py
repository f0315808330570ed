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

import time
from collections.abc import Callable
from dataclasses import replace

from nfxlat.errors import OperatorError
from nfxlat.host import capabilities, shared, stamp, sysctl, vrfs
from nfxlat.host.device import DomainDevice
from nfxlat.host.facts import facts
from nfxlat.host.ingress import Table
from nfxlat.host.links import index_of
from nfxlat.host.udp_superframes import takes_udp_superframes
from nfxlat.judgement import Finding, Severity
from nfxlat.nft.language.sets import Contents
from nfxlat.plan.plan import Plan, check, plan
from nfxlat.queues import Queues
from nfxlat.service import own_rules, status
from nfxlat.service.fence import described
from nfxlat.service.host_judgement import judged, judged_rules
from nfxlat.service.options import Options
from nfxlat.service.own_rules import OwnRules
from nfxlat.service.standing import Standing
from nfxlat.terms import Model, Report, Role
from nfxlat.xlat.domain import Domain

END_AGAIN = 0.1, 0.4  # seconds between the tries of a take-down

SetChange = tuple[Contents, Contents] | None  # what the sets of the rules hold and shall hold; None: not known


class Setup:
    """One domain's set-up in the calling thread's network namespace; `report` gets one line for each step.

    `stands`: the plan that the host is as, None before `up` and after `down`. In the device model `device` stays None.
    With `superframes`, ingress stamps the gso_size of TCP superframes; with `udp_superframes` that of UDP ones too, and
    the TCP queue gets them, and single UDP datagrams from outside. `stamp` is readable (poll it) when an interface came
    or went; then its `refresh` is due. With `offload` the stamp's program translates what that table knows. With
    `keep_sysctls` those that domains share stay as they are in the end. `held`: how many queues of the TUN are ours
    before it is taken over.
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
        offload: Table | None = None,
        keep_sysctls: bool = False,
        held: int = 0,
    ) -> None:
        check(domain, role, model)
        self._domain, self._role, self._model, self._queues, self._report = domain, role, model, queues, report
        self.stands: Plan | None = None
        self._narrow_rules = False  # they select less than `stands` would have them
        self._left_over = False  # beside that, something stands that could not be taken away
        self.rules = OwnRules(report)
        self.stamp: stamp.Stamp | None = None
        self._superframes, self._udp_superframes, self._offload = superframes, udp_superframes, offload
        self._told: frozenset[Finding] = frozenset()
        self._standing = Standing(domain.name, self.rules, report, keep_sysctls=keep_sysctls, held=held)
        self._given: Plan | None = None  # what stood when it was let go
        self._stays = False  # what stands, where a step of `up` fails: for a predecessor that goes on with it

    @classmethod
    def of(cls, options: Options, report: Report, *, offload: Table | None, held: int) -> "Setup":
        """As `nfxlat run` was told."""
        superframes = options.inject == "device" and options.source == "netlink"
        return cls(
            options.domain,
            queues=options.queues,
            role=options.role,
            model=options.model,
            report=report,
            superframes=superframes,
            udp_superframes=superframes and takes_udp_superframes(),
            offload=offload,
            keep_sysctls=options.keep_sysctls,
            held=held,
        )

    def planned(self, domain: Domain) -> Plan:
        """The plan of `domain` on this host as it is now. Raises OperatorError, also where the host is unfit for it."""
        role = self._role
        check(domain, role, self._model)
        meant = plan(domain, role, self._model, self._queues, lambda ends: facts(domain, role, ends))
        sysctl.refuse_read_only(meant.sysctls)
        self._judge(meant)
        return meant

    def _judge(self, meant: Plan) -> None:
        """Ask whether the host is fit for it, before it is touched: errors refuse, the rest is told, once."""
        try:
            findings = list(dict.fromkeys([*judged([meant], before=True), *judged_rules([meant])]))
        except Exception as error:  # a host that cannot be judged may be fit all the same
            self._report(described("the host cannot be judged", error))
            return
        errors = [finding for finding in findings if finding.severity is Severity.ERROR]
        for finding in findings:
            if finding not in self._told and finding not in errors[:1]:
                self._report(finding.line())
        self._told = frozenset(findings) - frozenset(errors)
        if errors:
            raise OperatorError(f"{errors[0].what}: {errors[0].effect}", where=errors[0].where, hint=errors[0].instead)

    def up(self, let_go: Callable[[], None] | None = None) -> None:
        """Do it all, or nothing, but for what a killed run has left. Raises OperatorError. `let_go` has a predecessor
        hand over what stands: it is called when all has been found fit for us, and from then on what stands stays
        for it should a step fail."""
        capabilities.require("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN", what="--setup")
        if let_go is not None:
            self.planned(self._domain)
            let_go()
            self._stays = True
        self._standing.open()
        try:
            status.refuse_another(self._domain.name)
            wanted = self.planned(self._domain)
        except BaseException:
            self._standing.close(remove=not self._standing.taken_over)
            raise
        try:
            self.apply(wanted)
        except OperatorError as error:
            if self.stands is None:
                raise
            self._report(f"not all of a former run could be removed: {error}")

    def down(self) -> None:
        """Take down what stands; safe after a partial `up` and twice. Raises its first failure last."""
        if self._standing.is_open:
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
            standing, former = self._standing, self._standing.record
            with shared.alone():  # two that begin at once see each other
                standing.refuse_overlap(new)
                standing.clear_other_kind(new)
                standing.prepare(new)
            standing.grow(old, new, former)
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

    @property
    def unfinished(self) -> bool:
        """Whether a change could not be brought to its end: `finish` is due."""
        return self._narrow_rules or self._left_over

    def finish(self) -> None:
        """Raises what it meets, and may be called again."""
        assert self.stands is not None
        if self._narrow_rules:
            self.rules.load(self.stands)
            self._narrow_rules = False
        self._shrink(self.stands)

    def _shrink(self, plan: Plan) -> None:
        self._left_over = True
        self._standing.shrink(plan)
        self._left_over = False

    def release(self) -> None:
        """Let a process forked from this one have what stands: `inherit` is its part, or `inherit` here again."""
        if self._standing.state is not None:
            self._standing.state.release()

    def inherit(self) -> None:
        if self._standing.state is not None:
            self._standing.state.retake()

    def let_go(self) -> None:
        """Touch what stands no more: a successor takes it over, unless it is taken back."""
        self._given, self.stands = self.stands or self._given, None
        if self._standing.is_open:
            self._standing.close(remove=False)

    def take_back(self) -> None:
        """Have the host be as the plan says again, whatever a successor has made of it. Raises OperatorError, and may
        be called again: until it has returned, nothing stands by what `stands` says."""
        assert self._given is not None
        if not self._standing.is_open:
            self._standing.open(wait=True)
        self._standing.prepare(self._given)
        self._standing.repair(self._given)
        self.rules.load(self._given)
        self._standing.shrink(self._given)
        self.stands = self._given

    def repair(self) -> None:
        """Make again what stood and is gone, rules aside. Raises OperatorError where that cannot be."""
        assert self.stands is not None
        self._standing.repair(self.stands)

    @property
    def device(self) -> DomainDevice | None:
        """The domain device; None in the device model, and while nothing stands."""
        return self._standing.device

    @property
    def index(self) -> int:
        """Of the domain device; 0 where it is gone."""
        return index_of(self._domain.name)

    @property
    def vrf(self) -> str | None:
        """The domain's."""
        return self._domain.vrf

    @property
    def indexes(self) -> tuple[int, int]:
        """Of the domain device and its VRF, which workers have open; 0 where there is none."""
        return self.index, vrfs.index_of(self.vrf)

    def _lead_back(self, old: Plan | None, failed: Plan) -> None:
        """Have all be as `old` again, whatever has been done of `failed`. The first failure is the one to raise."""
        try:
            if old is None and self._stays:
                self._standing.close(remove=False)
                return
            if old is None:
                self._end()
                return
            with self._standing.quiet():
                self._standing.renew_routes(old, failed)
                self._shrink(old)
        except Exception as error:
            self._report(described("not all of it could be undone", error))

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
        self._narrow_rules = True
        try:
            if change is None or self.rules.outdated(new) or not self._change_elements(*change):
                self.rules.load(new)
        except Exception as error:
            self._report(described("the rules cannot be loaded, and what they selected is refused", error))
        else:
            self._narrow_rules = False

    def _change_elements(self, former: Contents, wanted: Contents) -> bool:
        try:
            own_rules.change(former, wanted)
        except (OperatorError, OSError) as error:
            why = error if isinstance(error, OperatorError) else f"sets cannot be changed: {error.strerror}"
            self._report(f"{why}; reloading all rules")
            return False
        return True

    def _start_stamp(self) -> None:
        """Behind the rules, which put back what it writes."""
        assert self.stands is not None
        name, left_over = self.stands.name, self._standing.record.clsact
        if not self._superframes:
            stamp.sweep(name, self._report, left_over)
            return
        self.stamp = stamp.Stamp(
            name,
            self._report,
            udp=self._udp_superframes,
            left_over=left_over,
            note=self._note_clsact,
            table=self._offload,
        )

    def _note_clsact(self, indexes: list[int]) -> None:
        self._standing.note(replace(self._standing.record, clsact=tuple(indexes)))

    def _end(self) -> None:
        """To the end, whatever fails, and again where that may be over in a moment: nobody else does it later. What
        stayed is in the record, which then stays too."""
        for pause in (*END_AGAIN, 0.0):
            failures: list[Exception] = []
            for step in (self._end_stamp, lambda: self._standing.shrink(None)):
                try:
                    step()
                except Exception as error:
                    failures.append(error)
            if not failures:
                break
            time.sleep(pause)
        try:
            self._standing.close(remove=not failures)
        finally:
            self.stamp = self.stands = self.rules.path = None
        if failures:
            raise failures[0]

    def _end_stamp(self) -> None:
        if self.stamp is not None:
            self.stamp.close()
