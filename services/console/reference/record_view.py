"""Describe a record for its editors: name, pôle, labels, fields and choices. Rule D86.

The form follows the model of the record: its types give the fields, its lengths their limits.
"""

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
    RecordForm,
    RecordState,
)
from services.territory.editing.field_forms import FieldForm
from services.territory.editing.new_records import NEW_FIELDS
from services.territory.editing.record_checks import MAX_TEXT, REQUIRED, list_known_ids
from services.territory.editing.record_places import (
    CARD_SEPARATOR,
    split_card_id,
    split_post_id,
    split_staff_id,
)
from services.territory.editing.records import (
    RECORDS,
    FieldGroup,
    RecordField,
    RecordUnknown,
    list_records,
    read_record,
)
from services.territory.plan_checks import MAX_STEPS

_MOST_LINES: Final = {"steps": MAX_STEPS}
_LINES: Final = 40


def find_record_pole(reference: IndexedReference, kind: RecordKind, id: str) -> str | None:
    """Return the pôle that owns a record; None: the whole territory."""
    if kind in (RecordKind.CONTACT, RecordKind.STEP):
        return None
    if kind in (RecordKind.ON_CALL, RecordKind.ROTATION):
        post = id if kind is RecordKind.ON_CALL else id.rsplit(CARD_SEPARATOR, 2)[0]
        scope = split_post_id(post)[1]
        site = reference.sites.get(scope or "")
        return site.pole if site is not None else scope
    if kind in (RecordKind.ACTIVITY, RecordKind.STAFFING, RecordKind.REASSIGNMENT):
        activity = reference.activities.get(split_staff_id(id)[0])
        return activity.pole if activity is not None else None
    plan_id = split_card_id(id)[0] if kind in (RecordKind.CARD, RecordKind.TRIGGER) else id
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
    _: Translator,
) -> list[RecordEntry]:
    """List records by kind, in the order of their files."""
    return [
        RecordEntry(
            kind=kind,
            id=id,
            name=name_record(reference.names, kind, id, _),
            pole=find_record_pole(reference, kind, id),
            change=open_edits.get((kind, id)),
        )
        for kind in kinds
        for id in list_records(reference.sections, kind)
    ]


def build_record_state(
    reference: IndexedReference,
    kind: RecordKind,
    id: str,
    change: str | None,
    persons: Iterable[str],
    _: Translator,
) -> RecordState:
    """Build a record with its fields. Raises RecordUnknown.

    `persons`: tokens of the directory.
    """
    values = read_record(reference.sections, kind, id)
    build = _FieldBuilder(reference, kind, persons, _)
    fields = [
        build(part, field, values[field.name])
        for part in RECORDS[kind]
        for field in part.fields
        if field.name in values
    ]
    return RecordState(
        kind=kind,
        id=id,
        name=name_record(reference.names, kind, id, _),
        pole=find_record_pole(reference, kind, id),
        change=change,
        reference=reference.version or "",
        seen=compute_digest(values),
        fields=fields,
    )


def build_record_form(
    reference: IndexedReference, kind: RecordKind, persons: Iterable[str], _: Translator
) -> RecordForm:
    """Build the fields of a new record. Raises RecordUnknown for a kind without new records."""
    if kind not in NEW_FIELDS:
        raise RecordUnknown(kind)
    build = _FieldBuilder(reference, kind, persons, _)
    groups = (NEW_FIELDS[kind], *RECORDS[kind])
    fields = [build(group, field, None) for group in groups for field in group.fields]
    return RecordForm(kind=kind, fields=fields)


class _FieldBuilder:
    """Builds the fields of a form, with their choices."""

    def __init__(
        self,
        reference: IndexedReference,
        kind: RecordKind,
        persons: Iterable[str],
        translator: Translator,
    ) -> None:
        self._reference, self._kind, self._ = reference, kind, translator
        self._known = list_known_ids(reference.sections, persons)

    def __call__(
        self, group: FieldGroup, field: RecordField, value: FieldValue
    ) -> RecordFieldState:
        model, kind = group.model, self._kind
        widget = _choose_widget(model, field)
        info = model.model_fields[field.attribute]
        return RecordFieldState(
            name=field.name,
            label=label_field(kind, field.name, self._),
            widget=widget,
            value=value if value is not None or "lines" not in widget else (),
            required=field.name in REQUIRED
            or any(isinstance(m, MinLen) for m in model.model_fields[field.attribute].metadata)
            or (widget in ("date", "number", "clock") and info.is_required())
            or (field.form is FieldForm.CLOCK)
            or (
                widget == "choice"
                and type(None) not in get_args(model.model_fields[field.attribute].annotation)
            ),
            most=_MOST_LINES.get(field.name, _LINES)
            if widget in ("lines", "ordered", "conditions")
            else _find_length(model, field.attribute),
            choices=self._list_choices(field.refers),
        )

    def _list_choices(self, refers: str) -> list[RecordChoice]:
        names = self._reference.names
        return [
            RecordChoice(id=id, name=name_choice(refers, id, names, self._))
            for id in self._known.get(refers, ())
        ]


def _choose_widget(model: type[BaseModel], field: RecordField) -> str:
    annotation: Any = model.model_fields[field.attribute].annotation
    kinds = [annotation, *get_args(annotation)]
    is_list = get_origin(annotation) is tuple
    if field.form is FieldForm.CLOCK:
        return "clock"
    if field.form is FieldForm.CONDITIONS:
        return "conditions"
    if field.form is FieldForm.YES_NO:
        return "choice"
    if field.form is not None:
        return "text"
    if field.refers == "person" and is_list:
        return "ordered"
    if field.refers:
        return "choices" if is_list else "choice"
    if is_list:
        return "lines"
    if int in kinds or float in kinds:
        return "number"
    return "date" if date in kinds else "text"


def _find_length(model: type[BaseModel], name: str) -> int:
    lengths = [m.max_length for m in model.model_fields[name].metadata if isinstance(m, MaxLen)]
    return min([*lengths, MAX_TEXT])
