"""Read and change one record of the reference data: a contact, plan, card, activity or step. D86.

A record may have parts in several sections: a card has its title among the plans and its steps in
the written content. Each field belongs to one part. Values are those of `FieldValue`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from schemas import plans as p
from schemas import reference as ref
from schemas.reference_changes import FieldChange, FieldValue, RecordEdit, RecordKind

CARD_SEPARATOR: Final = "."
"""Separates plan and card in the id of a card, escalation and wave in that of a step."""


@dataclass(frozen=True, slots=True)
class RecordField:
    """Field of a record that people may edit."""

    name: str
    attribute: str
    """Field of the model of its part."""
    refers: str = ""
    """Kind of the ids in it: role, plan; empty: free text or a value."""
    is_ruled: bool = False
    """True if a rule reads it, so that other values can change the course of a crisis."""


@dataclass(frozen=True, slots=True)
class RecordPart:
    """Place of some fields: a section, and the lists to follow, one id each."""

    section: type[BaseModel]
    lists: tuple[str, ...]
    model: type[BaseModel]
    fields: tuple[RecordField, ...]
    inside: str = ""
    """Field of the last row that holds the model; empty: the row itself."""


LIMIT_FIELDS: Final = ("criticality", "rto_h", "dmia_h", "pdma_h")
MINIMUM_FIELDS: Final = ("mbco_pct", "minimum_staff")


def _plain(*names: str, is_ruled: bool = False) -> tuple[RecordField, ...]:
    return tuple(RecordField(name, name, is_ruled=is_ruled) for name in names)


RECORDS: Final[Mapping[RecordKind, tuple[RecordPart, ...]]] = {
    RecordKind.CONTACT: (
        RecordPart(
            ref.Contacts,
            ("contacts",),
            ref.PartnerContact,
            (
                *_plain("organisation", "function", "domain"),
                RecordField("caller", "caller", "role"),
                *_plain("when", "say", "ask", "withhold", "hours", "fallback"),
                RecordField("plans", "plans", "plan"),
                *_plain("verified_on"),
            ),
        ),
    ),
    RecordKind.PLAN: (
        RecordPart(ref.Plans, ("plans",), ref.Plan, _plain("title")),
        RecordPart(ref.PlanContents, ("contents",), p.PlanContent, _plain("purpose", "status")),
        RecordPart(
            ref.PlanContents,
            ("contents",),
            p.PlanReview,
            (
                RecordField("review_owner", "owner_role", "role"),
                RecordField("reviewed_on", "last_on"),
                RecordField("review_due_on", "next_on"),
            ),
            inside="review",
        ),
    ),
    RecordKind.CARD: (
        RecordPart(
            ref.Plans,
            ("plans", "cards"),
            p.Card,
            (*_plain("task"), *_plain("t_min", is_ruled=True)),
        ),
        RecordPart(
            ref.PlanContents,
            ("contents", "cards"),
            p.CardContent,
            (
                *_plain("steps", "done_when"),
                RecordField("evidence_text", "evidence"),
                *_plain("materials", "solidarity", "working_conditions", "environment", "rule"),
            ),
        ),
    ),
    RecordKind.ACTIVITY: (
        RecordPart(
            ref.Activities,
            ("activities",),
            ref.Activity,
            (
                *_plain("name", "short_name"),
                *_plain(*LIMIT_FIELDS, *MINIMUM_FIELDS, is_ruled=True),
                RecordField("systems", "systems", "system", is_ruled=True),
                RecordField("suppliers", "suppliers", "supplier", is_ruled=True),
            ),
        ),
    ),
    RecordKind.STEP: (
        RecordPart(
            ref.EscalationPolicy,
            ("policy", "ladders"),
            ref.Wave,
            (
                *_plain("after_min", "ack_min", "expected", is_ruled=True),
                RecordField("channels", "channels", "channel", is_ruled=True),
            ),
        ),
    ),
}
"""Parts of each kind. The first one has to exist; others may be absent, and so are their fields."""


class FieldInvalid(ValueError):
    """Signal a field with a value that its model refuses."""

    def __init__(self, name: str, error: Mapping[str, Any]) -> None:
        super().__init__(name)
        self.name = name
        self.error = error
        """One entry of pydantic's `errors()`."""


class RecordUnknown(LookupError):
    """Signal a record, or a field of it, that the reference data do not have."""


def build_card_id(plan: str, card: str) -> str:
    """Return the id of a card among all records."""
    return f"{plan}{CARD_SEPARATOR}{card}"


def split_card_id(id: str) -> tuple[str, str]:
    """Return the plan and the card that the id of a card names."""
    plan, _, card = id.rpartition(CARD_SEPARATOR)
    return plan, card


def list_records(sections: Sequence[Any], kind: RecordKind) -> list[str]:
    """List the ids of all records of a kind, in the order of their file."""
    part = RECORDS[kind][0]
    if kind is RecordKind.STEP:
        return [
            build_card_id(ladder, str(wave.wave))
            for section in sections
            if isinstance(section, ref.EscalationPolicy)
            for ladder, waves in section.policy.ladders.items()
            for wave in waves
        ]
    found = [section for section in sections if isinstance(section, part.section)]
    ids: list[str] = []
    for section in found:
        rows = getattr(section, part.lists[0])
        if len(part.lists) == 1:
            ids += [row.id for row in rows]
        else:
            for row in rows:
                ids += [build_card_id(row.id, card.id) for card in getattr(row, part.lists[1])]
    return ids


def read_record(sections: Sequence[Any], kind: RecordKind, id: str) -> dict[str, FieldValue]:
    """Return the fields of a record. Raises RecordUnknown."""
    values: dict[str, FieldValue] = {}
    for part, model in _find_parts(sections, kind, id):
        values |= {field.name: _read_value(model, field.attribute) for field in part.fields}
    return values


def build_edit(
    sections: Sequence[Any], kind: RecordKind, id: str, values: Mapping[str, FieldValue]
) -> RecordEdit | None:
    """Return the change that gives a record these values; None if it has them already.

    Raises RecordUnknown, RecordInvalid.
    """
    before = read_record(sections, kind, id)
    if unknown := sorted(values.keys() - before.keys()):
        raise RecordUnknown(unknown[0])
    after = read_record(_put_values(sections, kind, id, values), kind, id)
    changes = tuple(
        FieldChange(field=name, before=before[name], after=after[name])
        for name in before
        if before[name] != after[name]
    )
    return RecordEdit(kind=kind, id=id, fields=changes) if changes else None


def apply_edit(sections: Sequence[Any], edit: RecordEdit) -> list[Any]:
    """Return the sections with the edit. Raises RecordUnknown, RecordInvalid."""
    values = {change.field: change.after for change in edit.fields}
    made = _put_values(sections, edit.kind, edit.id, values)
    if edit.kind is not RecordKind.ACTIVITY:
        return made
    ((_, activity),) = _find_parts(made, edit.kind, edit.id)
    return [_repeat_activity(section, activity) for section in made]


def _repeat_activity(section: Any, activity: Any) -> Any:
    """Return the section with the values of an activity that it repeats.

    The minimal modes of plans repeat its minimum, the rules of reassignment its criticality and
    time limit.
    """
    if isinstance(section, ref.PlanContents):
        minimum = {name: getattr(activity, name) for name in MINIMUM_FIELDS}
        contents = tuple(
            content.model_copy(
                update={"goes_on": _update_rows(content.goes_on, activity.id, minimum)}
            )
            for content in section.contents
        )
        return section.model_copy(update={"contents": contents})
    if isinstance(section, ref.Staffing):
        limits = {"criticality": activity.criticality, "rto_h": activity.rto_h}
        rules = _update_rows(section.rules, activity.id, limits)
        return section.model_copy(update={"rules": rules})
    return section


def _update_rows(rows: Iterable[Any], activity: str, values: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.model_copy(update=values) if row.activity == activity else row for row in rows)


def has_ruled_field(edit: RecordEdit) -> bool:
    """Return whether a rule reads a field of the edit."""
    ruled = {f.name for part in RECORDS[edit.kind] for f in part.fields if f.is_ruled}
    return any(change.field in ruled for change in edit.fields)


def is_overtaken(sections: Sequence[Any], edit: RecordEdit) -> bool:
    """Return whether the record is gone, or a field of the edit has another value by now."""
    try:
        values = read_record(sections, edit.kind, edit.id)
    except RecordUnknown:
        return True
    return any(values.get(change.field) != change.before for change in edit.fields)


def _find_parts(
    sections: Sequence[Any], kind: RecordKind, id: str
) -> list[tuple[RecordPart, BaseModel]]:
    """Return the parts of a record that exist. Raises RecordUnknown."""
    ids = _split_id(kind, id)
    parts = [
        (part, model)
        for part in RECORDS[kind]
        for section in sections
        if isinstance(section, part.section) and (model := _follow(section, part, ids)) is not None
    ]
    if not parts or parts[0][0] is not RECORDS[kind][0]:
        raise RecordUnknown(id)
    return parts


def _split_id(kind: RecordKind, id: str) -> tuple[str, ...]:
    return split_card_id(id) if kind in (RecordKind.CARD, RecordKind.STEP) else (id,)


def _follow(model: Any, part: RecordPart, ids: Sequence[str]) -> BaseModel | None:
    """Return the model of a part that the ids name below `model`, or None."""
    if isinstance(model, ref.EscalationPolicy):
        ladder, wave = ids
        waves = model.policy.ladders.get(ladder, ())
        return next((one for one in waves if str(one.wave) == wave), None)
    for name, id in zip(part.lists, ids, strict=True):
        model = next((row for row in getattr(model, name) if row.id == id), None)
        if model is None:
            return None
    return getattr(model, part.inside) if part.inside else model  # type: ignore[no-any-return]


def _read_value(model: BaseModel, attribute: str) -> FieldValue:
    shown = model.model_dump(mode="json", include={attribute})
    value = shown.get(attribute, getattr(model, attribute))  # a dump leaves empty values out
    return tuple(value) if isinstance(value, list) else value


def _put_values(
    sections: Sequence[Any], kind: RecordKind, id: str, values: Mapping[str, FieldValue]
) -> list[Any]:
    """Return the sections with other values of a record. Raises RecordUnknown, RecordInvalid."""
    made = list(sections)
    for part, model in _find_parts(sections, kind, id):
        given = {f.attribute: values[f.name] for f in part.fields if f.name in values}
        if not given:
            continue
        changed = _validate(part, model, given)
        made = [
            _replace(section, part, _split_id(kind, id), changed)
            if isinstance(section, part.section)
            else section
            for section in made
        ]
    return made


def _validate(part: RecordPart, model: BaseModel, given: Mapping[str, FieldValue]) -> BaseModel:
    """Return the model with other values. Raises RecordInvalid."""
    names = {field.attribute: field.name for field in part.fields}
    cleaned = {name: _clean(part.model, name, value) for name, value in given.items()}
    try:
        return part.model.model_validate({**_list_fields(model), **cleaned})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        attribute = str(first["loc"][0]) if first["loc"] else ""
        raise FieldInvalid(names.get(attribute, attribute), dict(first)) from None


def _list_fields(model: BaseModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields}


def _clean(model: type[BaseModel], name: str, value: FieldValue) -> FieldValue:
    """Strip texts; an empty text and null are the absence of an optional field."""
    if isinstance(value, tuple):
        return tuple(line.strip() for line in value if line.strip())
    said = value.strip() if isinstance(value, str) else value
    default = model.model_fields[name].default
    return default if said in ("", None) and default in ("", None) else said


def _replace(model: Any, part: RecordPart, ids: Sequence[str], changed: BaseModel) -> Any:
    """Return `model` with another model of a part at the place that the ids name."""
    if isinstance(model, ref.EscalationPolicy):
        return _replace_wave(model, ids, changed)
    if not ids:
        return model.model_copy(update={part.inside: changed}) if part.inside else changed
    name = part.lists[-len(ids)]
    rows = tuple(
        _replace(row, part, ids[1:], changed) if row.id == ids[0] else row
        for row in getattr(model, name)
    )
    return model.model_copy(update={name: rows})


def _replace_wave(
    section: ref.EscalationPolicy, ids: Sequence[str], changed: BaseModel
) -> ref.EscalationPolicy:
    """Return the section with another step of an escalation."""
    ladder, wave = ids
    known = section.policy.ladders
    waves = tuple(changed if str(one.wave) == wave else one for one in known[ladder])
    policy = section.policy.model_copy(update={"ladders": {**known, ladder: waves}})
    return section.model_copy(update={"policy": policy})
