"""Decisions of people (API.md, HTTP, Decisions). Each becomes one input of the service that owns the resource.

`expected` on colliding decisions is the `If-Match` version: a version that counts decisions, not reports; a mismatch is 412.
"""

from __future__ import annotations

from pydantic import Field

from schemas.base import Command, Instant, message
from schemas.words import ActivityState, Answer, Certainty, Level, LineKind

# ── to alerts ──────────────────────────────────────────────────────────────────────────────────────────────────────


@message
class AcknowledgeIncident(Command):
    """The author answers for the running ladder of this incident (D33) and takes it in charge."""

    incident: str
    answer: Answer = Answer.ACK


@message
class EscalateIncident(Command):
    """Fire the next wave now."""

    incident: str


@message
class ReapplyPolicy(Command):
    """The running ladder of this incident takes the waves and delays of the policy in force (D63); until then it keeps those it started with."""

    incident: str


@message
class ResolveIncident(Command):
    """Close it. Refused while a cause is open unless forced with a reason, and without a reason while a headcount of it is below 100 % (D37)."""

    incident: str
    expected: int | None = None
    force: bool = False


@message
class ReopenIncident(Command):
    incident: str


@message
class MergeIncidents(Command):
    """D25: `incident` is merged into `into`, which keeps its id."""

    incident: str
    into: str
    expected: int | None = None


@message
class SplitIncident(Command):
    """D25: the chosen reports leave for a new incident."""

    incident: str
    reports: tuple[str, ...]
    expected: int | None = None


@message
class AddNote(Command):
    """A line of the main courante (D55), also one that was first written on paper. The text is in `texts`."""

    text_id: str
    incident: str | None = None
    corrects: str | None = Field(default=None, description="id of the line that this one corrects")
    occurred_at: Instant | None = None
    kind: LineKind = LineKind.NOTE
    source: str | None = Field(
        default=None, max_length=64, description="kind of source that said so, as in reports"
    )
    certainty: Certainty | None = None


@message
class ConfirmReport(Command):
    """Verification by a named person (D6)."""

    report: str


@message
class DenyReport(Command):
    report: str


@message
class LinkReport(Command):
    """Link a report with an unknown site to a site (D8)."""

    report: str
    site: str


@message
class MarkReportsRead(Command):
    """Note that the cell has read these reports (D98). Each counts once; those read before change nothing."""

    reports: tuple[str, ...] = Field(min_length=1, max_length=200)


@message
class PreviewConfirmation(Command):
    """Ask what confirming a report would do now. Nothing is decided: the answer is all that it leaves."""

    report: str


@message
class InstructSite(Command):
    """Send a short instruction of the cell to the manager of a site, who confirms it (D99). The text is in `texts`."""

    site: str
    text_id: str
    incident: str | None = None
    report: str | None = Field(default=None, description="the report that it answers")


@message
class SetLevel(Command):
    """Raise, or lower with a reason (D31). `scope`: `territory` or an incident id."""

    scope: str
    level: Level
    expected: int | None = None
    force: bool = False


@message
class TakeTask(Command):
    task: str


@message
class CompleteTask(Command):
    task: str
    outcome: str | None = Field(
        default=None, description="code of the outcome: confirmed, denied, done, …"
    )


# ── to continuity ──────────────────────────────────────────────────────────────────────────────────────────────────


@message
class ActivatePlan(Command):
    """D49. Needs the plan's deciding role or above."""

    plan: str
    incident: str | None = None
    level: Level | None = None
    expected: int | None = None


@message
class RefusePlan(Command):
    plan: str
    expected: int | None = None


@message
class PostponePlan(Command):
    plan: str
    until: Instant
    expected: int | None = None


@message
class StandDownPlan(Command):
    plan: str
    expected: int | None = None
    force: bool = False


@message
class CloseRetex(Command):
    """The lessons of a plan that was stood down are learnt (D48)."""

    plan: str
    expected: int | None = None


@message
class StartCard(Command):
    plan: str
    card: str


@message
class CompleteCard(Command):
    plan: str
    card: str


@message
class SkipCard(Command):
    """Not applicable, with a reason."""

    plan: str
    card: str


@message
class TickBox(Command):
    """A named person ticks (or clears) a manual condition of a plan's stand-down (D52). `box`: position from 0."""

    plan: str
    box: int = Field(ge=0)
    ticked: bool = True


@message
class ActivateStrategy(Command):
    """D51: put a listed strategy of an activity into effect; declares the capacity expected from it.

    Out of the listed order only with `force`. A fallback `site` must be sound and have the `desks`.
    """

    activity: str
    strategy: str = Field(description="as listed, or its code alone (`SR-TELE`)")
    expected_capacity_pct: float = Field(ge=0, le=100)
    site: str | None = None
    desks: int | None = Field(default=None, ge=0)
    force: bool = False


@message
class EndStrategy(Command):
    """`strategy`: id of the row."""

    strategy: str


@message
class DeclareActivity(Command):
    """D41: a named person's word about an activity wins over the computed state; `state` None withdraws it."""

    activity: str
    state: ActivityState | None
    occurred_at: Instant | None = None


@message
class DeclareDataAge(Command):
    """D46: how old the data are with which an activity was restored."""

    activity: str
    age_h: float = Field(ge=0)


@message
class ArbitrateAlarm(Command):
    """The arbitration that 100 % of an RTO demands (D44); its text is the reason."""

    alarm: str


@message
class IssueSitrep(Command):
    """D54: a person validates the point de situation. The document lies in `texts`, frozen; the log carries its hash and counts.

    Refused with 412 when `number` is not the next one: somebody validated in the meantime.
    """

    number: int = Field(ge=1)
    as_of: Instant = Field(description="the document says what was known at this time")
    text_id: str
    sha256: str = Field(description="of the document’s bytes, hex")
    counts: dict[str, int] = Field(
        default_factory=dict,
        description="`sites:closed`, `activities:interrupted`, …: what the next one compares with",
    )
    incidents: tuple[str, ...] = ()


@message
class AddImprovement(Command):
    """An action that the RETEX decides (D53): a role owns it, and it is due. The text is in `texts`."""

    text_id: str
    owner: str = Field(description="role, as in the territory's policy")
    due_at: Instant
    incident: str | None = None


@message
class CloseImprovement(Command):
    """`dropped` needs a reason."""

    improvement: str
    dropped: bool = False


# ── to delivery ────────────────────────────────────────────────────────────────────────────────────────────────────


@message
class HoldSending(Command):
    """Stop all sending until `until`, never for danger to people."""

    until: Instant


@message
class ReleaseSending(Command):
    """End a hold early."""


@message
class ReplayNotification(Command):
    """Try a notification again that reached nobody (failed, or perhaps not sent)."""

    notification: str


@message
class AnswerNotification(Command):
    """A person answers by link, reply, key or page (D33). Authenticated upstream; `person` is the token."""

    notification: str
    person: str
    answer: Answer
    channel: str
    instead: str | None = Field(
        default=None,
        description="with a no: whom the escalation calls in their place, somebody of the same role; else the deputy",
    )
