"""Build the list of stimuli and the evaluation for pages. Rule D94. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson

from services.console.facilitation.resources import (
    EvaluationSheet,
    RoleParticipation,
    Stimulus,
    StimulusState,
)
from services.console.i18n import N_, Translator
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames
from services.console.web import times

STATES: Final = {
    StimulusState.PLANNED: N_("prévu"),
    StimulusState.DUE: N_("à jouer"),
    StimulusState.PLAYED: N_("joué"),
    StimulusState.SKIPPED: N_("sauté"),
}
MARKS: Final = (
    N_("0 : aucune réaction"),
    N_("1 : insuffisante"),
    N_("2 : correcte"),
    N_("3 : comme attendu"),
)
_TONES: Final = {StimulusState.DUE: "soon", StimulusState.PLAYED: "ok"}


@dataclass(frozen=True, slots=True)
class StimulusLine:
    """One stimulus as displayed."""

    stimulus: Stimulus
    state: str
    tone: str
    when: str
    source: str
    reaction: str
    body: str
    """Report to send now, as JSON; empty if it is not sent as a report."""
    notes: list[str]
    is_next: bool


def build_stimulus_lines(
    stimuli: Sequence[Stimulus], names: TerritoryNames, now: datetime, _: Translator
) -> list[StimulusLine]:
    """Build the lines in order; the first that is neither played nor skipped is the next."""
    waiting = (StimulusState.PLANNED, StimulusState.DUE)
    next_id = next((one.id for one in stimuli if one.state in waiting), None)
    return [_build_line(one, names, now, _, is_next=one.id == next_id) for one in stimuli]


def _build_line(
    one: Stimulus, names: TerritoryNames, now: datetime, _: Translator, *, is_next: bool
) -> StimulusLine:
    reaction = ""
    if one.reacted_min is not None:
        reaction = _("pris en charge en {n} min", n=w.format_number(one.reacted_min, _.lang))
    body = ""
    if one.body is not None:
        body = orjson.dumps(one.body | {"realm": one.realm}).decode()
    return StimulusLine(
        stimulus=one,
        state=_(STATES[one.state]),
        tone=_TONES.get(one.state, "mute"),
        when=times.hm_dated(one.at, now, _.lang),
        source=world.name_source(one.source, _) if one.source else "",
        reaction=reaction,
        body=body,
        notes=[_write_note(note.mark, note.text, note.role, names, _) for note in one.notes],
        is_next=is_next,
    )


def _write_note(
    mark: int | None, text: str | None, role: str, names: TerritoryNames, _: Translator
) -> str:
    parts = [] if mark is None else [_(MARKS[mark])]
    parts += [text] if text else []
    who = w.name_role(role, None, names, _)
    return _("{note} ({who})", note=" ; ".join(parts) or _("texte effacé"), who=who)


def describe_role(one: RoleParticipation, _: Translator) -> str:
    """Write the deeds of a role: answers, decisions, cards, first action."""
    parts = []
    if one.called:
        answers = _.plural("{n} réponse", "{n} réponses", one.answered)
        calls = _.plural("{n} appel", "{n} appels", one.called)
        parts.append(_("{answers} sur {calls}", answers=answers, calls=calls))
    if one.decided:
        parts.append(_.plural("{n} plan décidé", "{n} plans décidés", one.decided))
    if one.cards:
        parts.append(_.plural("{n} fiche faite", "{n} fiches faites", one.cards))
    if one.first_action_min is not None:
        minutes = w.format_number(one.first_action_min, _.lang)
        parts.append(_("première action utile en {n} min", n=minutes))
    return ", ".join(parts) or _("aucune action")


def build_role_lines(sheet: EvaluationSheet, _: Translator) -> list[tuple[str, str, bool]]:
    """Build (role, deeds, credit) for each role that was asked for something."""
    return [(one.name, describe_role(one, _), one.credit) for one in sheet.roles]
