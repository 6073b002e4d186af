"""Show an escalation as steps with calls, answers and the next step (rules D32–D35)."""

from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from schemas.words import Answer, NotificationState
from services.console.i18n import N_, Translator
from services.console.resources import Escalation, Notification, Wave
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames

TERRITORY: Final = "territory"
STANDING_STATES: Final = ("running", "answered", "exhausted")
"""States of an escalation that is neither over nor replaced."""
NOT_DELIVERED: Final = N_("non parvenu")


@dataclass(frozen=True, slots=True)
class PersonAnswer:
    role: str
    answer: Literal["yes", "no", "withdrawn"]
    """`withdrawn`: a yes that the person took back by a later answer to another call."""
    at: datetime | None
    channel: str
    id: str


@dataclass(frozen=True, slots=True)
class DoubtfulMessage:
    """A person with a doubtful message: not delivered, perhaps sent twice, or not understood."""

    role: str
    word: str
    id: str
    has_failed: bool = False
    may_be_repeated: bool = False
    """The message may be sent again while the escalation awaits answers.

    See `REPLAYED` of the decider.
    """


@dataclass(frozen=True, slots=True)
class EscalationStep:
    wave: int
    cycle: int
    due_at: datetime
    fired_at: datetime | None
    state: str
    expected: int
    positive: int
    ack_min: int
    channels: str
    called: int
    answers: list[PersonAnswer]
    doubts: list[DoubtfulMessage]
    silent: int
    tone: Literal["ok", "soon", "over"]


@dataclass(frozen=True, slots=True)
class UnansweredCall:
    """A called person without an answer."""

    role: str
    wave: int
    cycle: int
    channels: str
    since: datetime
    id: str


WAITING_STATES: Final = ("running", "exhausted")
"""States of an escalation that waits for an answer.

Either the next step fires, or all have and the alert stays until a person acknowledges.
"""


@dataclass(frozen=True, slots=True)
class EscalationView:
    id: str
    name: str
    state: str
    started_at: datetime
    rungs: list[EscalationStep]
    next: EscalationStep | None
    """The step that fires at `next_at` if nothing changes."""
    next_at: datetime | None
    next_cycle: int | None
    """The cycle that begins at `next_at`; None if a step fires then, or if the alert stands."""
    silent: list[UnansweredCall]
    uncovered: list[str]
    positive: int
    """Positive answers to the first step of the newest cycle."""
    expected: int
    missing: list[EscalationStep]
    """Called steps of the newest cycle that wait for more answers."""
    replaced: str | None
    """Level of the escalation that this one replaced, e.g. `N2`."""
    policy: str
    """Version of the rules that it follows."""


def _format_channels(codes: Iterable[str], _: Translator) -> str:
    return ", ".join(w.translate_code(w.CHANNEL, c, _) for c in codes)


def _format_person(n: Notification, names: TerritoryNames, _: Translator) -> str:
    role = w.name_role(n.role, n.scope, names, _)
    holder = names.holders.get(n.person_token)
    return (
        w.name_deputy(role, _) if holder is not None and holder[2] and n.role == holder[0] else role
    )


def _find_answer(
    n: Notification, withdrawn: Container[str], names: TerritoryNames, _: Translator
) -> PersonAnswer | None:
    if n.state is not NotificationState.ANSWERED:
        return None
    yes: Literal["yes", "withdrawn"] = "withdrawn" if n.id in withdrawn else "yes"
    return PersonAnswer(
        _format_person(n, names, _),
        "no" if n.answer == Answer.DECLINE else yes,
        n.acknowledged_at,
        w.translate_code(w.CHANNEL, n.channel, _) if n.channel else "",
        n.id,
    )


def _find_doubt(n: Notification, names: TerritoryNames, _: Translator) -> DoubtfulMessage | None:
    """Describe a doubtful delivery: an unread reply, a failed call, or an ambiguous attempt.

    The policy of the channel decides about ambiguity (`canaux.yaml`, `doute`).
    """
    if n.unread_at is not None and n.state is not NotificationState.ANSWERED:
        return DoubtfulMessage(
            _format_person(n, names, _), _("a envoyé une réponse illisible"), n.id
        )
    if n.state is NotificationState.FAILED:
        return DoubtfulMessage(
            _format_person(n, names, _),
            w.find_delivery_reason(n.why, _) or _(NOT_DELIVERED),
            n.id,
            has_failed=True,
            may_be_repeated=True,
        )
    if n.withdrawn is not None and n.attempts and all(a.state == "failed" for a in n.attempts):
        return DoubtfulMessage(_format_person(n, names, _), _(NOT_DELIVERED), n.id, has_failed=True)
    if n.state is NotificationState.AMBIGUOUS:
        return DoubtfulMessage(
            _format_person(n, names, _), _("peut-être non reçu"), n.id, may_be_repeated=True
        )
    if any(
        a.possible_duplicate and a.state in ("accepted", "received", "ambiguous")
        for a in n.attempts
    ):
        return DoubtfulMessage(_format_person(n, names, _), _("peut-être reçu deux fois"), n.id)
    return None


def _find_withdrawn(notifications: Collection[Notification]) -> frozenset[str]:
    """Return the calls with a yes that the same person took back later. Rule D33."""
    refusals: dict[str, datetime] = {}
    for n in notifications:
        if n.answer == Answer.DECLINE and n.acknowledged_at is not None:
            refusals[n.person_token] = max(
                n.acknowledged_at, refusals.get(n.person_token, n.acknowledged_at)
            )
    return frozenset(
        n.id
        for n in notifications
        if n.answer == Answer.ACK
        and n.acknowledged_at is not None
        and n.person_token in refusals
        and n.acknowledged_at <= refusals[n.person_token]
    )


def _build_step(
    wave: Wave, by_id: dict[str, Notification], names: TerritoryNames, _: Translator
) -> EscalationStep:
    notifications = [by_id[i] for i in wave.notifications if i in by_id]
    withdrawn = _find_withdrawn(by_id.values())
    answers = [
        x for x in (_find_answer(n, withdrawn, names, _) for n in notifications) if x is not None
    ]
    answers.sort(key=lambda x: (x.at is None, x.at))
    doubts = [x for x in (_find_doubt(n, names, _) for n in notifications) if x is not None]
    silent = sum(
        1 for n in notifications if n.answer_expected and n.state is not NotificationState.ANSWERED
    )
    enough = wave.positive >= wave.expected
    tone: Literal["ok", "soon", "over"] = (
        "ok"
        if enough
        else "over"
        if wave.fired_at and not wave.positive and not answers
        else "soon"
    )
    called_count = len(wave.notifications) or len(wave.roles)
    return EscalationStep(
        wave.wave,
        wave.cycle,
        wave.due_at,
        wave.fired_at,
        wave.state,
        wave.expected,
        wave.positive,
        wave.ack_min,
        _format_channels(wave.channels, _),
        called_count,
        answers,
        doubts,
        silent,
        tone,
    )


def build_escalation(
    escalation: Escalation,
    notifications: Sequence[Notification],
    names: TerritoryNames,
    _: Translator,
) -> EscalationView:
    """Build the escalation with the answers of the called people."""
    by_id = {n.id: n for n in notifications if n.escalation == escalation.id}
    waves = sorted(escalation.waves, key=lambda x: (x.cycle, x.wave))
    fired_steps = [_build_step(x, by_id, names, _) for x in waves if x.fired_at is not None]
    waiting = next(
        (
            _build_step(x, by_id, names, _)
            for x in waves
            if x.fired_at is None and x.state == "waiting"
        ),
        None,
    )
    running = escalation.state == "running"
    is_repeated = running and waiting is None and escalation.cycle <= escalation.repeat_times
    newest = [step for step in fired_steps if step.cycle == fired_steps[-1].cycle]
    latest: dict[str, Notification] = {}
    for n in sorted(by_id.values(), key=lambda n: n.planned_at):
        latest[n.person_token] = n
    silent = [
        UnansweredCall(
            _format_person(n, names, _),
            n.wave or 1,
            n.cycle or 1,
            _format_channels(n.channels, _),
            n.planned_at,
            n.id,
        )
        for n in latest.values()
        if n.answer_expected
        and n.state
        not in (
            NotificationState.ANSWERED,
            NotificationState.SUPERSEDED,
            NotificationState.WITHDRAWN,
        )
    ]
    first = next((step for step in newest if step.wave == 1), None)
    return EscalationView(
        escalation.id,
        escalation.ladder,
        escalation.state,
        escalation.started_at,
        fired_steps,
        waiting if running else None,
        escalation.next_at if running else None,
        escalation.cycle + 1 if is_repeated else None,
        silent if escalation.state in WAITING_STATES else [],
        [
            w.name_role(role, scope or None, names, _)
            for role, _colon, scope in (u.partition(":") for u in escalation.uncovered_roles)
        ],
        first.positive if first else 0,
        first.expected if first else 0,
        [step for step in newest if step.positive < step.expected]
        if escalation.state in WAITING_STATES
        else [],
        f"N{escalation.previous_level}" if escalation.previous_level else None,
        escalation.policy,
    )


def find_incident_escalation(escalations: Sequence[Escalation], incident: str) -> Escalation | None:
    """Return the running escalation of an incident, or else its newest.

    It may be its own or, once it joined that, the realm's. Rule D32.
    """
    return _find_newest([e for e in escalations if incident in e.incidents or e.scope == incident])


def find_main_escalation(
    escalations: Sequence[Escalation], incident: str | None
) -> Escalation | None:
    """Return the escalation that the cell follows, a running one first.

    It is the realm's (N3–N4, rule D32) or that of the gravest incident. The realm's counts only in
    a state of `STANDING_STATES`: an old one that is over concerns no one.
    """
    pool = [
        e
        for e in escalations
        if e.action is None
        and (
            (incident is not None and (incident in e.incidents or e.scope == incident))
            or (e.state in STANDING_STATES and (incident is None or e.scope == TERRITORY))
        )
    ]
    return _find_newest(pool)


def _find_newest(pool: Sequence[Escalation]) -> Escalation | None:
    running = [e for e in pool if e.state == "running"]
    if running:
        return max(running, key=lambda e: (e.ladder, e.started_at))
    return max(
        pool, key=lambda e: (e.state in STANDING_STATES, e.started_at, e.ladder), default=None
    )
