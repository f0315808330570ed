"""What a set-up that stands is for, by its record: so that `doctor` judges the host as `--setup` has done."""

from dataclasses import replace

from nfxlat import config
from nfxlat.errors import OperatorError
from nfxlat.host.facts import facts
from nfxlat.plan.plan import Plan, check, plan
from nfxlat.plan.record import Record
from nfxlat.queues import Queues
from nfxlat.service import own_rules
from nfxlat.terms import MODELS, Model, Role
from nfxlat.xlat.domain import Domain

EAMS = 1000  # of a larger table the record does not tell: it would be as long again


def covering(record: Record, meant: Plan) -> Record:
    """What may stand while this is being changed to `meant`, and what for."""
    purpose: tuple[str, ...] = ()
    if len(meant.domain.eamt) <= EAMS:
        purpose = meant.rules.role, meant.rules.model, config.render(meant.domain)
    return replace(record.covering(meant, own_rules.tables(meant)), purpose=purpose)


def meant_by(record: Record) -> Plan | None:
    """The plan that a record is for, on this host as it is now; None where it does not tell."""
    try:
        role, model, text = record.purpose
        return plan_here(config.parse(text, "record").domain(), _role(role), _model(model))
    except (OperatorError, ValueError):
        return None


def plan_here(domain: Domain, role: Role, model: Model) -> Plan:
    """A plan of which queues do not matter. Raises OperatorError where the role cannot be had."""
    check(domain, role, model)
    return plan(domain, role, model, Queues(), lambda ends: facts(domain, role, ends))


def _role(text: str) -> Role:
    return "host" if text == "host" else "router"


def _model(text: str) -> Model:
    found = [model for model in MODELS if model == text]
    if not found:
        raise ValueError(text)
    return found[0]
