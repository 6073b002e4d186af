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
from services.territory.plan_checks import MAX_STEP_CHARACTERS, MAX_STEPS
from services.territory.records import RECORDS

_PHONE: Final = re.compile(r"(?<!\d)(?:\+33|0033|0)[ .-]?[1-9](?:[ .-]?\d\d){4}(?!\d)")
_MAIL: Final = re.compile(r"[^\s@<>]+@[^\s@<>]+\.[a-z]{2,}", re.IGNORECASE)
MAX_TEXT: Final = 2000
"""Most characters of a text that nothing else limits."""
REQUIRED: Final = frozenset({"title", "task", "done_when", "organisation", "function", "domain"})
"""Texts that nobody may empty."""


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
    for section in sections:
        match section:
            case ref.EscalationPolicy(policy=policy):
                roles = policy.roles
            case ref.Plans(plans=rows):
                plans = {plan.id: plan.title for plan in rows}
    return {"role": roles, "plan": plans}


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
    return faults


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
