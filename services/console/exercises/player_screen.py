"""Page `/exercice`: an exercise with its clock, and texts to send to real people about it.

The texts cover its start, its end and a call. Vigie sends none of them by itself.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from schemas.callouts import AGENT
from schemas.delivery import NotificationRow
from schemas.words import Level, NotificationState
from services.console.continuity.clocks import RunningClock
from services.console.facilitation import page as facilitation
from services.console.facilitation.evaluation import hide_script
from services.console.i18n import N_, Translator
from services.console.incidents import page as incidents_page
from services.console.incidents.escalation_page import EscalationStep, EscalationView
from services.console.incidents.page import PlanCards, PlanLine
from services.console.resources import Incident, Notification, Task
from services.console.web import times
from services.console.web.access import PageMoved
from services.console.web.screen_context import ScreenData, ScreenPage, load_escalation_view
from services.messages import MessageNames, compose_message, load_phrases
from services.messages.names import find_territory_name

SPEEDS: Final = (1, 10, 60, 600)
"""Speeds with a button, in simulated seconds per real second; beyond them, time runs unlimited."""
JUMPS_MIN: Final = (5, 15, 60)
NEXT_SHOWN: Final = 10
SCORE_LABELS: Final = {
    "taken": N_("Incidents pris en charge"),
    "answered": N_("Réponses reçues sur celles attendues"),
    "decided": N_("Plans décidés sur ceux proposés"),
    "cards": N_("Fiches faites, ou non échues"),
    "tasks": N_("Vérifications faites"),
}


@dataclass(frozen=True, slots=True)
class ComingDeadline:
    """A deadline that will pass if nobody acts."""

    at: datetime
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class ScoreLine:
    """One line of the score: `done` of `of`."""

    label: str
    done: int
    of: int
    result_text: str

    @property
    def share(self) -> float:
        return 100.0 * self.done / self.of if self.of else 0.0


def list_coming_deadlines(
    ladder: EscalationView | None,
    clocks: Iterable[RunningClock],
    cards: Iterable[PlanCards],
    tasks: Iterable[Task],
    now: datetime,
    _: Translator,
) -> list[ComingDeadline]:
    """List the next known deadlines, soonest first.

    Events that the script still holds are left out, because players must not see them.
    """
    deadlines: list[ComingDeadline] = []
    if ladder is not None and ladder.next_at is not None and ladder.next is not None:
        answers = _.plural(
            "{n} réponse sur {of}", "{n} réponses sur {of}", ladder.positive, of=ladder.expected
        )
        deadlines.append(
            ComingDeadline(ladder.next_at, _describe_step(ladder.next, ladder.name, _), answers)
        )
    deadlines += [
        ComingDeadline(c.next_at, f"{c.activity} {c.name}", _(c.next_base))
        for c in clocks
        if c.next_at is not None
    ]
    deadlines += [
        ComingDeadline(card.due_at, card.task, card.role)
        for plan in cards
        for card in plan.cards
        if card.due_at is not None and card.state in ("to_do", "doing")
    ]
    deadlines += [
        ComingDeadline(t.due_at, t.title, _("tâche")) for t in tasks if t.due_at is not None
    ]
    return sorted((c for c in deadlines if c.at > now), key=lambda c: (c.at, c.what))[:NEXT_SHOWN]


def _describe_step(rung: EscalationStep, ladder: str, _: Translator) -> str:
    if rung.cycle > 1:
        return _(
            "cycle {cycle}, vague {wave} de l’escalade {name}",
            cycle=rung.cycle,
            wave=rung.wave,
            name=ladder,
        )
    return _("vague {wave} de l’escalade {name}", wave=rung.wave, name=ladder)


def compute_score(
    incidents: Sequence[Incident],
    ladder: EscalationView | None,
    plans: Sequence[PlanLine],
    cards: Iterable[PlanCards],
    tasks: Sequence[Task],
    now: datetime,
    _: Translator,
) -> list[ScoreLine]:
    """Score the players from the log alone; leave out lines without anything to do."""
    every = [card for plan in cards for card in plan.cards]
    late = [card.late for card in every if card.late]
    waiting = [p.waiting for p in plans if p.to_decide and p.waiting]
    open_times = [now - t.opened_at for t in tasks if t.done_at is None]
    lines = {
        "taken": (sum(bool(i.acknowledged_by) for i in incidents), len(incidents), ""),
        "answered": (min(ladder.positive, ladder.expected), ladder.expected, "")
        if ladder
        else (0, 0, ""),
        "decided": (
            sum(not p.to_decide for p in plans),
            len(plans),
            _describe_longest_wait(waiting, _),
        ),
        "cards": (
            sum(card.state in ("done", "not_applicable") or not card.late for card in every),
            len(every),
            _describe_longest_wait(late, _),
        ),
        "tasks": (
            sum(t.done_at is not None for t in tasks),
            len(tasks),
            _describe_longest_wait(open_times, _),
        ),
    }
    return [
        ScoreLine(_(SCORE_LABELS[key]), done_count, of, wait_text)
        for key, (done_count, of, wait_text) in lines.items()
        if of
    ]


def _describe_longest_wait(spans: Sequence[timedelta], _: Translator) -> str:
    return (
        _("la plus ancienne attend depuis {span}", span=times.format_duration(max(spans), _.lang))
        if spans
        else ""
    )


@dataclass(frozen=True, slots=True)
class Announcement:
    """A text to copy."""

    title: str
    text: str


def announcements(
    realm: str,
    title: str,
    call: Notification | None,
    names: MessageNames,
    now: datetime,
    _: Translator,
) -> list[Announcement]:
    """Return the texts for the start, the newest call and the end of an exercise.

    `call` is a call of the running escalation.
    """
    here, words = (
        replace(names, territory=find_territory_name(realm)),
        load_phrases(_.lang),
    )
    start = NotificationRow(
        id="",
        level=Level.N0,
        role=AGENT,
        person="",
        state=NotificationState.PLANNED,
        template="exercise_start",
        values={"exercise": title},
        answer_expected=False,
        planned_at=times.to_ms(now),
    )
    rows = [(N_("Début (DEBEX)"), start)]
    if call is not None:
        wave = {
            "template": "exercise_wave",
            "level": call.level,
            "role": call.role,
            "values": call.values,
        }
        limit = None if call.ack_by is None else times.to_ms(call.ack_by)
        rows.append(
            (
                N_("Appel, si vous appelez vraiment les joueurs"),
                start.model_copy(update=wave | {"ack_by": limit}),
            )
        )
    rows.append((N_("Fin (FINEX)"), start.model_copy(update={"template": "exercise_end"})))
    return [
        Announcement(_(name), compose_message(row, here, words, None).sms) for name, row in rows
    ]


async def build_player_page(x: ScreenData) -> dict[str, Any]:
    """Build `player.html`.

    Raises Elsewhere for a live realm; it has no clock to control.
    """
    realm, lang, now = x.shell.realm, x.shell.lang, x.shell.now
    if not realm.simulated:
        raise PageMoved("/realms")
    ladder, plans, tasks, stimuli, sheet = await asyncio.gather(
        load_escalation_view(x, None),
        x.queries.plans(),
        x.queries.tasks(),
        x.queries.stimuli(),
        x.queries.evaluation_sheet(),
    )
    lines = incidents_page.list_plans(plans.items, now, x.names, lang, x._)
    cards = incidents_page.list_plan_cards(plans.items, now, x.names, x._)
    waiting = [t for t in tasks.items if t.done_at is None]
    reference = await x.queries.reference()
    call = None
    if ladder is not None:
        notifications = await x.queries.notifications(escalation=ladder.id, limit=1)
        call = next(iter(notifications.items), None)
    return {
        "realm": realm,
        "speeds": SPEEDS,
        "jumps": JUMPS_MIN,
        "coming": list_coming_deadlines(ladder, x.clocks, cards, waiting, now, x._),
        "score": compute_score(
            x.shell.overview.incidents, ladder, lines, cards, tasks.items, now, x._
        ),
        "stimuli": facilitation.build_stimulus_lines(
            hide_script(stimuli, x.shell.reader.principal), x.names, now, x._
        ),
        "marks": [x._(mark) for mark in facilitation.MARKS],
        "sheet": sheet,
        "roles": facilitation.build_role_lines(sheet, x._),
        "in_an_hour": times.format_minute(now + timedelta(hours=1)),
        "announcements": announcements(
            realm.name, realm.title_code, call, reference.message_names, now, x._
        ),
    }


PAGE: Final = ScreenPage(
    "player", "/exercice", "player.html", build_player_page, N_("Animer l’exercice"), personal=True
)
