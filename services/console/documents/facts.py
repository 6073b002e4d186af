"""Facts of a situation report, one realm at one time in one language, and texts of all sections."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from schemas.alerts import ReportRow
from schemas.callouts import CallOutRow
from schemas.catalogue.event_types import endangers_people
from schemas.continuity import SitrepRow
from schemas.crisis.obligations import ObligationRow
from schemas.reassignment import ProposalRow, ReassignmentRow
from schemas.reference import LevelRule
from schemas.words import (
    ACTIVE_PLAN_STATES,
    ActivityState,
    CardState,
    MsgType,
    PlanState,
    SiteStatus,
)
from services.console.continuity.clocks import RunningClock, list_breaches
from services.console.documents.document import CitedSource
from services.console.hazards.resources import Hazard
from services.console.i18n import Translator
from services.console.incidents.escalation_page import EscalationView
from services.console.logbook.facts.reassignment import SMALL_COUNT
from services.console.logbook.lines import LineRecord
from services.console.proof.resources import PlanProofs
from services.console.resources import (
    Activity,
    Alarm,
    Flag,
    Incident,
    LevelState,
    Plan,
    Realm,
    Site,
    Task,
)
from services.console.risk.resources import ActivityRisk
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames


def format_people(n: int, lang: str) -> str:
    """Return a count of people, without the exact figure if it is small. Rule D58."""
    return f"< {SMALL_COUNT}" if 0 < n < SMALL_COUNT else w.format_number(n, lang)


@dataclass(frozen=True, slots=True)
class SitrepFacts:
    lang: str
    _: Translator
    names: TerritoryNames
    territory: str
    realm: Realm
    at: datetime
    level: LevelState
    rule: LevelRule | None
    """Rule of the level in force: pilots and reporting interval."""
    incidents: Sequence[Incident]
    """Open incidents, gravest first."""
    sites: Sequence[Site]
    activities: Sequence[Activity]
    clocks: Sequence[RunningClock]
    plans: Sequence[Plan]
    proposal: ProposalRow | None
    """Reassignment proposal in force."""
    reassignments: Sequence[ReassignmentRow]
    """Reassignments with orders sent and agents not back."""
    alarms: Sequence[Alarm]
    tasks: Sequence[Task]
    """Open tasks."""
    ladder: EscalationView | None
    reports: Sequence[ReportRow]
    flags: Sequence[Flag]
    help_requests: Sequence[CallOutRow]
    """Headcounts with requests for help that stand. Rule D37."""
    previous: SitrepRow | None
    lines: Sequence[LineRecord]
    """Logbook lines since the last report or the first open incident, newest first."""
    remarks: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Free texts, by their reference in the reason of a level."""
    validated_by: str | None = None
    obligations: Sequence[ObligationRow] = ()
    """Clocks of legal deadlines that run, by limit. Rule D92."""
    hazards: Sequence[Hazard] = ()
    """Hazards ahead, with the clock of each site. Rule D124."""
    risks: Sequence[ActivityRisk] = ()
    """Risks that a limit breaks, the highest first. Rule D132."""
    proofs: PlanProofs | None = None
    """Share of each plan that is proven. Rule D85."""

    recipients: Sequence[str] = ()
    """Roles that get a message with the number."""

    @property
    def number(self) -> int:
        return self.previous.number + 1 if self.previous else 1

    @property
    def incident_ids(self) -> frozenset[str]:
        """Ids of the open incidents."""
        return frozenset(i.id for i in self.incidents)


def count_figures(facts: SitrepFacts) -> dict[str, int]:
    """Count the figures that the log keeps, so the next report can show changes."""
    figures: dict[str, int] = {"level": facts.level.level, "incidents:open": len(facts.incidents)}
    for status in SiteStatus:
        figures[f"sites:{status}"] = sum(s.status is status for s in facts.sites)
    for state in ActivityState:
        figures[f"activities:{state}"] = sum(a.state is state for a in facts.activities)
    figures["activities:breach"] = len(list_breaches(facts.clocks))
    figures["plans:proposed"] = sum(p.state is PlanState.PROPOSED for p in facts.plans)
    active = [p for p in facts.plans if p.state in ACTIVE_PLAN_STATES]
    figures["plans:active"] = len(active)
    cards = [c for p in active for c in p.cards]
    figures["cards:open"] = sum(c.state in (CardState.TO_DO, CardState.DOING) for c in cards)
    figures["cards:late"] = sum(c.overdue for c in cards)
    figures["reports:unconfirmed"] = len(list_unconfirmed_reports(facts))
    figures["tasks:open"] = len(facts.tasks)
    figures["staff:reassigned"] = sum(row.count for row in facts.reassignments)
    figures["staff:displaced"] = sum(s.staff for s in facts.sites if s.status in OUT_OF_SERVICE)
    return figures


OUT_OF_SERVICE = (SiteStatus.CLOSED, SiteStatus.EVACUATED, SiteStatus.SHELTERING)


def list_unconfirmed_reports(facts: SitrepFacts) -> list[ReportRow]:
    """List reports that are neither confirmed nor denied: danger to people first, then newest.

    Those of a closed incident are over. Rule D6.
    """
    open_incidents = facts.incident_ids
    reports = [
        r
        for r in facts.reports
        if r.confirmation in ("unconfirmed", "rumour")
        and r.msg_type is not MsgType.CANCEL
        and (r.incident is None or r.incident in open_incidents)
        and not {"superseded", "cancelled"} & set(r.flags)
    ]
    return sorted(
        reports, key=lambda r: (not endangers_people(r.type, r.severity), -r.recorded_at, r.id)
    )


def index_lines(lines: Iterable[LineRecord]) -> tuple[list[CitedSource], dict[str, list[str]]]:
    """Build the sources and the index of `Citations` from lines, newest first."""
    sources: list[CitedSource] = []
    index: dict[str, list[str]] = {}
    for line in lines:
        sources.append(
            CitedSource(n=0, key=line.key, id=line.id, at=line.recorded_at, place=line.place)
        )
        for subject in _list_subjects(line):
            index.setdefault(subject, []).append(line.key)
    return sources, index


def _list_subjects(line: LineRecord) -> list[str]:
    v = line.values
    match line.type:
        case "SiteStatusChanged":
            return [f"site:{line.site}", f"status:{line.change}"]
        case "ReportChanged":
            return [f"report:{line.report}"]
        case "IncidentChanged":
            return [f"incident:{line.incident}", f"incident:{line.incident}:{line.change}"]
        case "LevelChanged":
            return [f"level:{v['scope']}"]
        case "ObligationChanged":
            return [f"obligation:{v['clock']}"]
        case "PlanChanged":
            return [f"plan:{v['plan']}", f"plan:{v['plan']}:{line.change}"]
        case "ProposalChanged" | "ReassignmentOrdered":
            return [f"proposal:{v['proposal']}", f"proposal:{v['proposal']}:{line.change}"]
        case "ActivityChanged":
            return [f"activity:{v['activity']}"]
        case "AlarmRaised":
            return [f"alarm:{v['activity']}"]
        case "EscalationChanged":
            return [f"escalation:{v['escalation']}"]
        case "FlagChanged":
            return [f"flag:{v['flag']}"]
        case "ImprovementChanged":
            return [f"improvement:{v['improvement']}"]
        case "TaskChanged":
            return [f"task:{v['task']}"]
        case _:
            return []


def name_realm(realm: Realm, territory: str, _: Translator) -> str:
    """Return the exercise by its title, or the territory; never the id of a realm."""
    return _("exercice {name}", name=realm.title_code) if realm.simulated else territory


def describe_breaches(x: SitrepFacts) -> str:
    """Return `1 rupture de DMIA prévue d’après les heures annoncées, 5 sans heure de …`.

    The first number counts activities and single sites. No breach can be foreseen for an activity
    without an expected end: «0 rupture prévue» alone would reassure.
    """
    _, breaches = x._, list_breaches(x.clocks)
    text = _.plural(
        "{n} rupture de DMIA prévue d’après les heures annoncées",
        "{n} ruptures de DMIA prévues d’après les heures annoncées",
        len(breaches),
    )
    if at_sites := sum(clock.site is not None for clock in breaches):
        text += ", " + _.plural("dont {n} à un seul site", "dont {n} à un seul site", at_sites)
    unknown_count = sum(
        activity.state is ActivityState.INTERRUPTED
        and activity.expected_end is None
        and activity.forecast_breach_at is None
        for activity in x.activities
    )
    if unknown_count:
        text += ", " + _.plural(
            "{n} sans heure de rétablissement",
            "{n} sans heure de rétablissement",
            unknown_count,
        )
    return text
