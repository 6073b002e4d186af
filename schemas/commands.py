"""Decisions of people; each becomes one input of the service that owns the resource.

`expected` is the `If-Match` version. It counts decisions, not reports; a mismatch is refused with
412.
"""

from pydantic import Field

from schemas.base import Command, Instant, optional, register_message
from schemas.continuity import CardProof
from schemas.words import ActivityState, Answer, CardChange, Certainty, Level, LineKind


@register_message
class AcknowledgeIncident(Command):
    """Acknowledge the running escalation of an incident and take it in charge.

    Rule D33.
    """

    incident: str
    answer: Answer = Answer.ACK


@register_message
class EscalateIncident(Command):
    """Fire the next step of the escalation now."""

    incident: str


@register_message
class ReapplyPolicy(Command):
    """Apply the steps and delays of the current policy to the running escalation of an incident.

    It keeps its first steps before that. Rule D63.
    """

    incident: str


@register_message
class ResolveIncident(Command):
    """Close an incident.

    Refused while a cause is open, unless forced with a reason, and without a reason while a
    headcount of it is below 100 % (D37).
    """

    incident: str
    expected: int | None = None
    force: bool = False


@register_message
class ReopenIncident(Command):
    incident: str


@register_message
class MergeIncidents(Command):
    """Merge `incident` into `into`; it keeps its id.

    Rule D25.
    """

    incident: str
    into: str
    expected: int | None = None


@register_message
class SplitIncident(Command):
    """Move the chosen reports to a new incident.

    Rule D25.
    """

    incident: str
    reports: tuple[str, ...]
    expected: int | None = None


@register_message
class AddNote(Command):
    """Add a line to the logbook, also one that was first written on paper.

    The text is in `texts`. Rule D55.
    """

    text_id: str
    incident: str | None = None
    corrects: str | None = Field(default=None, description="id of the line that this one corrects")
    occurred_at: Instant | None = None
    kind: LineKind = LineKind.NOTE
    source: str | None = Field(
        default=None, max_length=64, description="kind of source of the line, as in reports"
    )
    certainty: Certainty | None = None


@register_message
class ConfirmReport(Command):
    """Confirm a report, as a named person.

    Rule D6.
    """

    report: str


@register_message
class DenyReport(Command):
    report: str


@register_message
class LinkReport(Command):
    """Link a report with an unknown site to a site.

    Rule D8.
    """

    report: str
    site: str


@register_message
class MarkReportsRead(Command):
    """Note that the cell has read these reports. Rule D98.

    Each counts once; those read before change nothing.
    """

    reports: tuple[str, ...] = Field(min_length=1, max_length=200)


@register_message
class PreviewConfirmation(Command):
    """Preview the effect of confirming a report.

    Nothing is decided; only the answer is recorded.
    """

    report: str


@register_message
class InstructSite(Command):
    """Send a short instruction of the cell to the manager of a site, for confirmation.

    The text is in `texts`. Rule D99.
    """

    site: str
    text_id: str
    incident: str | None = None
    report: str | None = Field(default=None, description="id of the report that it answers")


@register_message
class SetLevel(Command):
    """Raise a level, or lower it with a reason.

    `scope`: `territory` or an incident id. Rule D31.
    """

    scope: str
    level: Level
    expected: int | None = None
    force: bool = False


@register_message
class TakeTask(Command):
    task: str


@register_message
class CompleteTask(Command):
    task: str
    outcome: str | None = Field(
        default=None, description="code of the result: confirmed, denied, done, …"
    )


@register_message
class ActivatePlan(Command):
    """Activate a plan; needs its deciding role or a higher one.

    Rule D49.
    """

    plan: str
    incident: str | None = None
    level: Level | None = None
    expected: int | None = None


@register_message
class RefusePlan(Command):
    plan: str
    expected: int | None = None


@register_message
class PostponePlan(Command):
    plan: str
    until: Instant
    expected: int | None = None


@register_message
class StandDownPlan(Command):
    plan: str
    expected: int | None = None
    force: bool = False


@register_message
class CloseRetex(Command):
    """Close the lessons learned of a plan that was stood down.

    Rule D48.
    """

    plan: str
    expected: int | None = None


class _CardCommand(Command):
    """Command about one card; rule D84."""

    channel: str | None = optional("channel of an answer by message")

    plan: str
    card: str
    site: str | None = Field(default=None, description="site, for a card with one per site")
    member: str | None = Field(
        default=None, description="role, for a card with one per member of a group"
    )


@register_message
class StartCard(_CardCommand):
    """Start a card, or open it at a site that its scope leaves to a person."""


@register_message
class CompleteCard(_CardCommand):
    """Complete a card, with its evidence."""

    proof: CardProof | None = None


@register_message
class SkipCard(_CardCommand):
    """Skip a card that does not apply, with a reason."""


@register_message
class TickBox(Command):
    """Tick or clear a manual condition of a plan's stand-down.

    `box`: position from 0. Rule D52.
    """

    plan: str
    box: int = Field(ge=0)
    ticked: bool = True


@register_message
class ActivateStrategy(Command):
    """Put a listed fallback strategy of an activity into effect and declare its expected capacity.

    A strategy out of the listed order needs `force`. A fallback `site` must work and have the
    `desks`. Rule D51.
    """

    activity: str
    strategy: str = Field(description="strategy as listed, or its code alone (`SR-TELE`)")
    expected_capacity_pct: float = Field(ge=0, le=100)
    site: str | None = None
    desks: int | None = Field(default=None, ge=0)
    force: bool = False


@register_message
class EndStrategy(Command):
    """End a fallback strategy; `strategy` is the id of its row."""

    strategy: str


@register_message
class DeclareActivity(Command):
    """Declare the state of an activity, which overrides the computed one.

    `state` None withdraws the declaration. Rule D41.
    """

    activity: str
    state: ActivityState | None
    occurred_at: Instant | None = None


@register_message
class DeclareDataAge(Command):
    """Declare the age of the data that an activity was restored with.

    Rule D46.
    """

    activity: str
    age_h: float = Field(ge=0)


@register_message
class ArbitrateAlarm(Command):
    """Record the arbitration that 100 % of an RTO demands; its text is the reason.

    Rule D44.
    """

    alarm: str


@register_message
class IssueSitrep(Command):
    """Validate and issue a situation report.

    The frozen document is in `texts`; the log carries its hash and counts. Refused with 412 if
    `number` is not the next one, because somebody else issued one in the meantime. Rule D54.
    """

    number: int = Field(ge=1)
    as_of: Instant = Field(description="time of the state of knowledge in the document")
    text_id: str
    sha256: str = Field(description="SHA-256 of the document’s bytes, hex")
    counts: dict[str, int] = Field(
        default_factory=dict,
        description=(
            "`sites:closed`, `activities:interrupted`, …: figures with which the next report "
            "compares"
        ),
    )
    incidents: tuple[str, ...] = ()
    recipients: tuple[str, ...] = Field(
        default=(), max_length=20, description="roles that are told that it is there"
    )


@register_message
class AddImprovement(Command):
    """Add an improvement action of the lessons learned, with an owning role and a due time.

    The text is in `texts`. Rule D53.
    """

    text_id: str
    owner: str = Field(description="role as in the territory's policy")
    due_at: Instant
    incident: str | None = None


@register_message
class CloseImprovement(Command):
    """Close an improvement action; `dropped` needs a reason."""

    improvement: str
    dropped: bool = False


@register_message
class HoldSending(Command):
    """Hold all sending until `until`, except for danger to people."""

    until: Instant


@register_message
class ReleaseSending(Command):
    """End a hold early."""


@register_message
class ReplayNotification(Command):
    """Retry a notification that reached nobody (failed, or perhaps not sent)."""

    notification: str


@register_message
class AnswerNotification(Command):
    """Answer a notification by link, reply, key or page.

    The caller is already authenticated; `person` is the token. Rule D33.
    """

    notification: str
    person: str
    answer: Answer
    channel: str
    instead: str | None = Field(
        default=None,
        description=(
            "with a decline: token of the person to call instead, in the same role; default: the "
            "deputy"
        ),
    )


@register_message
class AnswerCards(Command):
    """Answer a message that lists action cards, by their numbers in it. Rule D84.

    The caller is already authenticated; `person` is the token. Without numbers the answer is about
    the only card of the list that is still open.
    """

    notification: str
    person: str
    change: CardChange
    numbers: tuple[int, ...] = Field(default=(), max_length=20)
    channel: str
