"""Check the values of an edited record against the rest of the territory. Rule D86.

These are the checks of a territory folder that texts and references of one record can fail.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas import reference as ref
from schemas.reference_changes import FieldValue, RecordEdit, RecordKind
from schemas.words import Channel
from services.territory.checks import MAX_LIMIT_H, MAX_LIMIT_MIN
from services.territory.plan_checks import MAX_STEP_CHARACTERS, MAX_STEPS, find_order_faults
from services.territory.records import RECORDS, apply_edit, read_record, split_card_id

_PHONE: Final = re.compile(r"(?<!\d)(?:\+33|0033|0)[ .-]?[1-9](?:[ .-]?\d\d){4}(?!\d)")
_MAIL: Final = re.compile(r"[^\s@<>]+@[^\s@<>]+\.[a-z]{2,}", re.IGNORECASE)
MAX_TEXT: Final = 2000
"""Most characters of a text that nothing else limits."""
REQUIRED: Final = frozenset(
    {"title", "task", "done_when", "organisation", "function", "domain", "name"}
)
"""Texts that nobody may empty."""


_SHORTEST_H: Final = 0.25
_BOUNDS: Final = (
    ("rto_h", _SHORTEST_H, MAX_LIMIT_H),
    ("dmia_h", _SHORTEST_H, MAX_LIMIT_H),
    ("pdma_h", 0, MAX_LIMIT_H),
    ("mbco_pct", 0, 100),
    ("minimum_staff", 0, 100_000),
)


_STEP_BOUNDS: Final = {"after_min": (0, 24 * 60), "ack_min": (1, 24 * 60), "expected": (1, 100)}


@dataclass(frozen=True, slots=True)
class RecordFault:
    """A wrong field of a record, with a sentence in both languages."""

    field: str
    code: str
    fr: str
    en: str


def list_known_ids(sections: Sequence[Any]) -> dict[str, Mapping[str, str]]:
    """Return kind of reference → id → name, for fields that refer to others."""
    roles: Mapping[str, str] = {}
    plans: Mapping[str, str] = {}
    systems: Mapping[str, str] = {}
    suppliers: dict[str, str] = {}
    for section in sections:
        match section:
            case ref.EscalationPolicy(policy=policy):
                roles = policy.roles
            case ref.Plans(plans=rows):
                plans = {plan.id: plan.title for plan in rows}
            case ref.Activities(activities=activities, systems=names):
                titles = {system.id: system.name for system in names}
                systems = {id: titles.get(id, id) for a in activities for id in a.systems}
                suppliers |= {id: id for a in activities for id in a.suppliers}
            case ref.Contacts(contacts=contacts):
                suppliers |= {contact.id: contact.organisation for contact in contacts}
    return {
        "role": roles,
        "plan": plans,
        "system": systems,
        "supplier": suppliers,
        "channel": {channel.value: channel.value for channel in Channel},
    }


def find_edit_faults(sections: Sequence[Any], edit: RecordEdit) -> list[RecordFault]:
    """List the faults of the new values of a record. `sections` are those in force."""
    known = list_known_ids(sections)
    refers = {f.name: f.refers for part in RECORDS[edit.kind] for f in part.fields}
    faults: list[RecordFault] = []
    for change in edit.fields:
        texts = _list_texts(change.after)
        faults += _find_text_faults(change.field, texts)
        if kind := refers[change.field]:
            before = frozenset(_list_texts(change.before))
            faults += _find_unknown_ids(change.field, texts, before, known[kind])
        if edit.kind is RecordKind.CARD and change.field == "steps":
            faults += _find_step_faults(texts)
    if not faults and edit.kind is RecordKind.CARD:
        faults += _find_due_faults(sections, edit)
    if edit.kind is RecordKind.PLAN:
        faults += _find_review_faults(sections, edit)
    if edit.kind is RecordKind.STEP:
        faults += _find_step_bounds(edit)
    if edit.kind is RecordKind.ACTIVITY:
        faults += _find_limit_faults(sections, edit)
    return faults


def _find_due_faults(sections: Sequence[Any], edit: RecordEdit) -> Iterator[RecordFault]:
    """Yield a due time before that of a card that this one waits for, or after one that waits."""
    if "t_min" not in {change.field for change in edit.fields}:
        return
    t_min = next(change.after for change in edit.fields if change.field == "t_min")
    if isinstance(t_min, int) and abs(t_min) > MAX_LIMIT_MIN:
        yield RecordFault("t_min", "range", "plus d’un an", "more than a year")
    plan_id, _ = split_card_id(edit.id)
    if _list_order_faults(apply_edit(sections, edit), plan_id) - _list_order_faults(
        sections, plan_id
    ):
        yield RecordFault(
            "t_min",
            "order",
            "une fiche serait due avant celle qu’elle attend",
            "a card would be due before the one that it waits for",
        )


def _list_order_faults(sections: Sequence[Any], plan_id: str) -> set[str]:
    found = (s.plans for s in sections if isinstance(s, ref.Plans))
    plan = next(plan for plans in found for plan in plans if plan.id == plan_id)
    return {fault for _, fault in find_order_faults(plan)}


def _find_review_faults(sections: Sequence[Any], edit: RecordEdit) -> Iterator[RecordFault]:
    """Yield a next review that is not after the last one."""
    after = read_record(apply_edit(sections, edit), edit.kind, edit.id)
    last, due = after.get("reviewed_on"), after.get("review_due_on")
    if isinstance(last, str) and isinstance(due, str) and due <= last:
        yield RecordFault(
            "review_due_on",
            "order",
            "la prochaine relecture suit la dernière",
            "the next review comes after the last one",
        )


def _find_step_bounds(edit: RecordEdit) -> Iterator[RecordFault]:
    """Yield delays and numbers of a step of an escalation that would call nobody, or never end."""
    for change in edit.fields:
        low, high = _STEP_BOUNDS.get(change.field, (0, 0))
        if isinstance(change.after, int) and not low <= change.after <= high:
            yield _build_range_fault(change.field, low, high)
        if change.field == "channels" and not change.after:
            yield RecordFault(
                "channels", "missing", "au moins un canal", "at least one channel is needed"
            )


def _build_range_fault(field: str, low: float, high: float) -> RecordFault:
    return RecordFault(
        field, "range", f"de {low:g} à {high:g}", f"must be from {low:g} to {high:g}"
    )


def _find_limit_faults(sections: Sequence[Any], edit: RecordEdit) -> Iterator[RecordFault]:
    """Yield limits of an activity that no clock can keep."""
    after = read_record(apply_edit(sections, edit), edit.kind, edit.id)
    changed = {change.field for change in edit.fields}
    numbers = {n: v for n, v in after.items() if isinstance(v, int | float)}
    for name, low, high in _BOUNDS:
        if name in changed and not low <= numbers[name] <= high:
            yield _build_range_fault(name, low, high)
    if changed & {"rto_h", "dmia_h"} and numbers["rto_h"] > numbers["dmia_h"]:
        yield RecordFault(
            "rto_h",
            "order",
            "le délai de reprise ne peut pas dépasser la DMIA",
            "the RTO must not be longer than the DMIA",
        )


def _list_texts(value: FieldValue) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    return (value,) if isinstance(value, str) else ()


def _find_text_faults(field: str, texts: Sequence[str]) -> Iterator[RecordFault]:
    if field in REQUIRED and not any(texts):
        yield RecordFault(field, "missing", "champ obligatoire", "required field")
    if any(len(text) > MAX_TEXT for text in texts):
        yield RecordFault(
            field, "length", f"{MAX_TEXT} caractères au plus", f"at most {MAX_TEXT} characters"
        )
    if any(_PHONE.search(text) or _MAIL.search(text) for text in texts):
        yield RecordFault(
            field,
            "personal",
            "un numéro ou un courriel n’a pas sa place ici : il s’inscrit à l’annuaire",
            "a number or mail address does not belong here: the directory keeps it",
        )


def _find_unknown_ids(
    field: str, ids: Sequence[str], before: Collection[str], known: Collection[str]
) -> Iterator[RecordFault]:
    for id in ids:
        if id not in known and id not in before:
            yield RecordFault(
                field,
                "unknown",
                f"« {id[:40]} » n’existe pas dans les données de référence",
                f"“{id[:40]}” is not in the reference data",
            )


def _find_step_faults(steps: Sequence[str]) -> Iterator[RecordFault]:
    if len(steps) > MAX_STEPS:
        yield RecordFault(
            "steps",
            "length",
            f"{len(steps)} étapes, {MAX_STEPS} au plus",
            f"{len(steps)} steps, at most {MAX_STEPS}",
        )
    long = [n for n, step in enumerate(steps, 1) if len(step) > MAX_STEP_CHARACTERS]
    for n in long:
        yield RecordFault(
            "steps",
            "length",
            f"étape {n} : {MAX_STEP_CHARACTERS} caractères au plus",
            f"step {n}: at most {MAX_STEP_CHARACTERS} characters",
        )
