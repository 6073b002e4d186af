"""Describe a record for its editors: name, pôle, labels, fields and choices. Rule D86.

The form follows the model of the record: its types give the fields, its lengths their limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from hashlib import blake2b
from typing import Any, Final, get_args, get_origin

import orjson
from annotated_types import MaxLen, MinLen
from pydantic import BaseModel

from schemas.reference_changes import OPEN_CHANGES, FieldValue, RecordKind, ReferenceChangeRow
from services.console.i18n import Translator
from services.console.read_model.reference_index import IndexedReference
from services.console.reference.record_names import label_field, name_choice, name_record
from services.console.reference.resources import (
    RecordChoice,
    RecordEntry,
    RecordFieldState,
    RecordState,
)
from services.territory.plan_checks import MAX_STEPS
from services.territory.record_checks import MAX_TEXT, REQUIRED, list_known_ids
from services.territory.records import (
    RECORDS,
    RecordField,
    RecordPart,
    list_records,
    read_record,
    split_card_id,
)

_MOST_LINES: Final = {"steps": MAX_STEPS}
_LINES: Final = 40


def find_record_pole(reference: IndexedReference, kind: RecordKind, id: str) -> str | None:
    """Return the pôle that owns a record; None: the whole territory."""
    if kind in (RecordKind.CONTACT, RecordKind.STEP):
        return None
    if kind is RecordKind.ACTIVITY:
        activity = reference.activities.get(id)
        return activity.pole if activity is not None else None
    plan_id = split_card_id(id)[0] if kind is RecordKind.CARD else id
    plan = reference.plans.get(plan_id)
    return plan.pole if plan is not None else None


def list_open_edits(rows: Iterable[ReferenceChangeRow]) -> dict[tuple[RecordKind, str], str]:
    """Return the open change of each record that has one."""
    return {
        (row.edit.kind, row.edit.id): row.id
        for row in rows
        if row.edit is not None and row.state in OPEN_CHANGES
    }


def compute_digest(values: Mapping[str, FieldValue]) -> str:
    """Return a digest of the values of a record; it tells a later version apart."""
    return blake2b(orjson.dumps(values, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def build_record_entries(
    reference: IndexedReference,
    kinds: Sequence[RecordKind],
    open_edits: Mapping[tuple[RecordKind, str], str],
) -> list[RecordEntry]:
    """List records by kind, in the order of their files."""
    return [
        RecordEntry(
            kind=kind,
            id=id,
            name=name_record(reference.names, kind, id),
            pole=find_record_pole(reference, kind, id),
            change=open_edits.get((kind, id)),
        )
        for kind in kinds
        for id in list_records(reference.sections, kind)
    ]


def build_record_state(
    reference: IndexedReference, kind: RecordKind, id: str, change: str | None, _: Translator
) -> RecordState:
    """Build a record with its fields. Raises RecordUnknown."""
    values = read_record(reference.sections, kind, id)
    known = list_known_ids(reference.sections)
    choices = {
        refers: [
            RecordChoice(id=one, name=name_choice(refers, one, reference.names, _)) for one in ids
        ]
        for refers, ids in known.items()
    }
    fields = [
        _build_field(kind, part, field, values[field.name], choices.get(field.refers, []), _)
        for part in RECORDS[kind]
        for field in part.fields
        if field.name in values
    ]
    return RecordState(
        kind=kind,
        id=id,
        name=name_record(reference.names, kind, id),
        pole=find_record_pole(reference, kind, id),
        change=change,
        reference=reference.version or "",
        seen=compute_digest(values),
        fields=fields,
    )


def _build_field(
    kind: RecordKind,
    part: RecordPart,
    field: RecordField,
    value: FieldValue,
    choices: list[RecordChoice],
    _: Translator,
) -> RecordFieldState:
    widget = _choose_widget(part.model, field)
    return RecordFieldState(
        name=field.name,
        label=label_field(kind, field.name, _),
        widget=widget,
        value=value,
        required=field.name in REQUIRED
        or _has_minimum(part.model, field.attribute)
        or (widget == "date" and part.model.model_fields[field.attribute].is_required()),
        most=_MOST_LINES.get(field.name, _LINES)
        if widget == "lines"
        else _find_length(part.model, field.attribute),
        choices=choices,
    )


def _choose_widget(model: type[BaseModel], field: RecordField) -> str:
    annotation: Any = model.model_fields[field.attribute].annotation
    kinds = [annotation, *get_args(annotation)]
    is_list = get_origin(annotation) is tuple
    if field.refers:
        return "choices" if is_list else "choice"
    if is_list:
        return "lines"
    if int in kinds or float in kinds:
        return "number"
    return "date" if date in kinds else "text"


def _has_minimum(model: type[BaseModel], name: str) -> bool:
    return any(isinstance(m, MinLen) for m in model.model_fields[name].metadata)


def _find_length(model: type[BaseModel], name: str) -> int:
    found = [m.max_length for m in model.model_fields[name].metadata if isinstance(m, MaxLen)]
    return min([*found, MAX_TEXT])
