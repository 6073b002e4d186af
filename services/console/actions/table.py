"""Columns of actions and tasks as CSV."""

from __future__ import annotations

from services.console.actions.page import PRIORITY_LABELS, STATE_LABELS
from services.console.actions.queries import REQUEST
from services.console.actions.resources import Action
from services.console.exports.tables import Column, Columns
from services.console.i18n import N_, Translator
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames


def list_action_columns(names: TerritoryNames, _: Translator) -> Columns[Action]:
    """Return the columns of the table of actions."""
    return (
        Column(N_("Action"), lambda a: a.title),
        Column(N_("Nature"), lambda a: name_action_kind(a, _)),
        Column(N_("État"), lambda a: _(STATE_LABELS[a.state])),
        Column(N_("En retard"), lambda a: a.late),
        Column(N_("Priorité"), lambda a: _(PRIORITY_LABELS[a.priority])),
        Column(N_("À qui"), lambda a: name_assignee(a, names, _)),
        Column(N_("Site"), lambda a: names.site(a.site)),
        Column(N_("Code du site"), lambda a: a.site),
        Column(N_("Incident"), lambda a: a.incident),
        Column(N_("Plan"), lambda a: a.plan),
        Column(N_("Demandée par"), lambda a: _name_actor(a.requested_by, names, _)),
        Column(N_("Demandée à (Paris)"), lambda a: a.requested_at),
        Column(N_("Avant (Paris)"), lambda a: a.due_at),
        Column(N_("Rappelée à (Paris)"), lambda a: a.reminded_at),
        Column(N_("Acceptée par"), lambda a: _name_actor(a.accepted_by, names, _)),
        Column(N_("Acceptée à (Paris)"), lambda a: a.accepted_at),
        Column(N_("Terminée par"), lambda a: _name_actor(a.ended_by, names, _)),
        Column(N_("Terminée à (Paris)"), lambda a: a.ended_at),
        Column(N_("Résultat"), lambda a: a.outcome),
        Column(N_("Raison"), lambda a: a.reason),
        Column(N_("Identifiant"), lambda a: a.id),
    )


def name_action_kind(action: Action, _: Translator) -> str:
    """Name the nature of an action: requested by a person, or a task of the rules."""
    return (
        _("action demandée") if action.kind == REQUEST else w.translate_code(w.TASK, action.kind, _)
    )


def name_assignee(action: Action, names: TerritoryNames, _: Translator) -> str:
    """Name the assignee of an action: a role in its scope, a person by role, or the cell."""
    if action.person is not None:
        return w.name_person(action.person, names, _)
    return w.name_role(action.role, action.scope, names, _) if action.role else _("Cellule")


def _name_actor(token: str | None, names: TerritoryNames, _: Translator) -> str:
    return w.name_person(token, names, _) if token else ""
