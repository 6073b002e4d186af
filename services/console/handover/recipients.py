"""Roles that may get a message about a handover or a situation report. Rules D54 and D115."""

from __future__ import annotations

from dataclasses import dataclass

from services.console.documents.queries import find_level_rule
from services.console.i18n import Translator
from services.console.read_model.reference_index import IndexedReference
from services.console.texts import words as w


@dataclass(frozen=True, slots=True)
class RecipientChoice:
    """One role that may get the message."""

    role: str
    label: str
    chosen: bool


def list_recipient_choices(
    reference: IndexedReference, level: int, chosen: list[str] | None, _: Translator
) -> list[RecipientChoice]:
    """List the roles of the whole territory, chosen ones first.

    Without a choice the pilots of the level are chosen.
    """
    rule = find_level_rule(reference, level) or find_level_rule(reference, 1)
    default = list(rule.pilots) if rule is not None else []
    selected_roles = default if chosen is None else chosen
    territory_roles = {
        role for role, scope, _deputy in reference.names.holders.values() if scope is None
    }
    roles = territory_roles | {one for one in selected_roles if one in reference.names.roles}
    choices = [
        RecipientChoice(role, w.name_role(role, None, reference.names, _), role in selected_roles)
        for role in roles
    ]
    return sorted(choices, key=lambda one: (not one.chosen, one.label, one.role))
