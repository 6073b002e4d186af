"""Read and change one record of the reference data, such as a contact, a plan or a card. D86.

A record may have parts in several sections: a card has its title among the plans and its steps in
the written content. Each field belongs to one part. Values are those of `FieldValue`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from schemas import plans as p
from schemas import reference as ref
from schemas.oncall import Rotation
from schemas.reference_changes import FieldChange, FieldValue, RecordEdit, RecordKind
from services.territory.editing.field_forms import FieldForm, FormInvalid, read_form, write_form
from services.territory.editing.record_places import (
    RecordPlace,
    RosterPlace,
    RowPlace,
    StaffPlace,
    StepPlace,
    TriggerPlace,
)


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
    form: FieldForm | None = None
    """Form of the value if it is not that of the model."""


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """Some fields of a record, with the model that checks them."""

    model: type[BaseModel]
    fields: tuple[RecordField, ...]


@dataclass(frozen=True, slots=True)
class RecordPart(FieldGroup):
    """Some fields of a record, and the place of their model in a section."""

    section: type[BaseModel]
    place: RecordPlace


LIMIT_FIELDS: Final = ("criticality", "rto_h", "dmia_h", "pdma_h")
MINIMUM_FIELDS: Final = ("mbco_pct", "minimum_staff")


def _plain(*names: str, is_ruled: bool = False) -> tuple[RecordField, ...]:
    return tuple(RecordField(name, name, is_ruled=is_ruled) for name in names)


def _part(
    section: type[BaseModel],
    place: RecordPlace,
    model: type[BaseModel],
    fields: tuple[RecordField, ...],
) -> RecordPart:
    return RecordPart(model, fields, section, place)


RECORDS: Final[Mapping[RecordKind, tuple[RecordPart, ...]]] = {
    RecordKind.CONTACT: (
        _part(
            ref.Contacts,
            RowPlace(("contacts",)),
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
        _part(ref.Plans, RowPlace(("plans",)), ref.Plan, _plain("title")),
        _part(
            ref.PlanContents, RowPlace(("contents",)), p.PlanContent, _plain("purpose", "status")
        ),
        _part(
            ref.PlanContents,
            RowPlace(("contents",), inside="review"),
            p.PlanReview,
            (
                RecordField("review_owner", "owner_role", "role"),
                RecordField("reviewed_on", "last_on"),
                RecordField("review_due_on", "next_on"),
            ),
        ),
    ),
    RecordKind.CARD: (
        _part(
            ref.Plans,
            RowPlace(("plans", "cards")),
            p.Card,
            (*_plain("task"), *_plain("t_min", is_ruled=True)),
        ),
        _part(
            ref.PlanContents,
            RowPlace(("contents", "cards")),
            p.CardContent,
            (
                *_plain("steps", "done_when"),
                RecordField("evidence_text", "evidence"),
                *_plain("materials", "solidarity", "working_conditions", "environment", "rule"),
            ),
        ),
    ),
    RecordKind.ACTIVITY: (
        _part(
            ref.Activities,
            RowPlace(("activities",)),
            ref.Activity,
            (
                *_plain("name", "short_name"),
                *_plain(*LIMIT_FIELDS, *MINIMUM_FIELDS, is_ruled=True),
                RecordField("systems", "systems", "system", is_ruled=True),
                RecordField("suppliers", "suppliers", "supplier", is_ruled=True),
                *_plain("reviewed_on"),
            ),
        ),
    ),
    RecordKind.STEP: (
        _part(
            ref.EscalationPolicy,
            StepPlace(),
            ref.Wave,
            (
                RecordField("who", "who", "called", is_ruled=True),
                *_plain("after_min", "ack_min", "expected", is_ruled=True),
                RecordField("channels", "channels", "channel", is_ruled=True),
            ),
        ),
    ),
    RecordKind.ON_CALL: (
        _part(
            ref.RosterSection,
            RosterPlace("holders"),
            ref.Holder,
            (RecordField("holder", "holder", "person"), RecordField("deputy", "deputy", "person")),
        ),
    ),
    RecordKind.ROTATION: (
        _part(
            ref.RosterSection,
            RosterPlace("rotations"),
            Rotation,
            (
                RecordField("persons", "persons", "person"),
                *_plain("every_days"),
                RecordField("hand_off", "hand_off_min", form=FieldForm.CLOCK),
                *_plain("since", "until"),
                RecordField("hours", "hours", form=FieldForm.SPAN),
            ),
        ),
    ),
    RecordKind.TRIGGER: (
        _part(
            ref.Plans,
            TriggerPlace(),
            ref.Trigger,
            (
                *_plain("level", is_ruled=True),
                RecordField(
                    "conditions", "when", "condition", is_ruled=True, form=FieldForm.CONDITIONS
                ),
                *_plain("text"),
            ),
        ),
    ),
    RecordKind.STAFFING: (
        _part(ref.Staffing, StaffPlace("cells"), ref.StaffCell, _plain("staff", "minimum")),
    ),
    RecordKind.REASSIGNMENT: (
        _part(
            ref.Staffing,
            StaffPlace("rules"),
            ref.ReassignmentRule,
            (
                RecordField("site_bound", "site_bound", "yes_no", form=FieldForm.YES_NO),
                RecordField("needs_desk", "needs_desk", "yes_no", form=FieldForm.YES_NO),
                *_plain("tele_pct", "release_pct"),
                RecordField("home_kinds", "home_kinds", "site_kind"),
                RecordField("host_kinds", "host_kinds", "site_kind"),
            ),
        ),
    ),
}
"""Parts of each kind. The first one has to exist; others may be absent, and so are their fields."""


class FieldInvalid(ValueError):
    """Signal the fields with values that their model refuses."""

    def __init__(self, errors: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(", ".join(errors))
        self.errors = errors
        """Field → its entry of pydantic's `errors()`, in the order of the form."""


class RecordUnknown(LookupError):
    """Signal a record, or a field of it, that the reference data do not have."""


def list_records(sections: Sequence[Any], kind: RecordKind) -> list[str]:
    """List the ids of all records of a kind, in the order of their file."""
    part = RECORDS[kind][0]
    return [
        id
        for section in sections
        if isinstance(section, part.section)
        for id in part.place.list_ids(section)
    ]


def read_record(sections: Sequence[Any], kind: RecordKind, id: str) -> dict[str, FieldValue]:
    """Return the fields of a record. Raises RecordUnknown."""
    return read_values(_find_parts(sections, kind, id))


def build_edit(
    sections: Sequence[Any], kind: RecordKind, id: str, values: Mapping[str, FieldValue]
) -> RecordEdit | None:
    """Return the change that gives a record these values; None if it has them already.

    Raises RecordUnknown, FieldInvalid.
    """
    parts = _find_parts(sections, kind, id)
    before = read_values(parts)
    if unknown := sorted(values.keys() - before.keys()):
        raise RecordUnknown(unknown[0])
    after = read_values(_change_parts(parts, values))
    changes = tuple(
        FieldChange(field=name, before=before[name], after=after[name])
        for name in before
        if before[name] != after[name]
    )
    return RecordEdit(kind=kind, id=id, fields=changes) if changes else None


def apply_edit(sections: Sequence[Any], edit: RecordEdit) -> list[Any]:
    """Return the sections with the edit of a record. Raises RecordUnknown, FieldInvalid."""
    values = {change.field: change.after for change in edit.fields}
    changed_parts = _change_parts(_find_parts(sections, edit.kind, edit.id), values)
    new_sections = list(sections)
    for part, model in changed_parts:
        new_sections = put_part(new_sections, part, edit.id, model)
    if edit.kind is not RecordKind.ACTIVITY:
        return new_sections
    ((_, activity),) = changed_parts
    return [_repeat_activity(section, activity) for section in new_sections]


def put_part(
    sections: Sequence[Any], part: RecordPart, id: str, model: BaseModel | None
) -> list[Any]:
    """Return the sections with another model of a part; None removes it."""
    return [
        part.place.put(section, id, model) if isinstance(section, part.section) else section
        for section in sections
    ]


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
    ruled_fields = {f.name for part in RECORDS[edit.kind] for f in part.fields if f.is_ruled}
    return any(change.field in ruled_fields for change in edit.fields)


_Parts = list[tuple[RecordPart, BaseModel]]


def _find_parts(sections: Sequence[Any], kind: RecordKind, id: str) -> _Parts:
    """Return the parts of a record that exist. Raises RecordUnknown."""
    parts = [
        (part, model)
        for part in RECORDS[kind]
        for section in sections
        if isinstance(section, part.section) and (model := part.place.find(section, id)) is not None
    ]
    if not parts or parts[0][0] is not RECORDS[kind][0]:
        raise RecordUnknown(id)
    return parts


def read_values(parts: _Parts) -> dict[str, FieldValue]:
    """Return the fields of a record from the models of its parts."""
    return {field.name: _read_value(model, field) for part, model in parts for field in part.fields}


def _read_value(model: BaseModel, field: RecordField) -> FieldValue:
    attribute_value = getattr(model, field.attribute)
    if field.form is not None:
        return write_form(field.form, attribute_value)
    dumped_fields = model.model_dump(mode="json", include={field.attribute})
    value = dumped_fields.get(field.attribute, attribute_value)  # a dump leaves empty values out
    return tuple(value) if isinstance(value, list) else value


def _change_parts(parts: _Parts, values: Mapping[str, FieldValue]) -> _Parts:
    """Return the parts with other values. Raises FieldInvalid."""
    return [
        (part, validate_part(part, _list_fields(model), values))
        if any(field.name in values for field in part.fields)
        else (part, model)
        for part, model in parts
    ]


def validate_part(
    part: FieldGroup, before: Mapping[str, Any], values: Mapping[str, FieldValue]
) -> BaseModel:
    """Return the model of a part with other values. Raises FieldInvalid."""
    parsed_values, errors = dict[str, Any](), dict[str, Mapping[str, Any]]()
    for field in part.fields:
        try:
            if field.name in values:
                parsed_values[field.attribute] = _parse(part.model, field, values[field.name])
        except FieldInvalid as error:
            errors |= error.errors
    try:
        model = part.model.model_validate({**before, **parsed_values})
    except ValidationError as error:
        names = {field.attribute: field.name for field in part.fields}
        for fault in error.errors(include_url=False, include_input=False):
            attribute = str(fault["loc"][0]) if fault["loc"] else ""
            errors.setdefault(names.get(attribute, attribute), dict(fault))
        raise FieldInvalid(errors) from None
    if errors:
        raise FieldInvalid(errors)
    return model


def _parse(model: type[BaseModel], field: RecordField, value: FieldValue) -> Any:
    """Return a value as its model takes it. Raises FieldInvalid."""
    clean_value = _clean(model, field.attribute, value)
    if field.form is None:
        return clean_value
    try:
        return read_form(field.form, clean_value)
    except FormInvalid as error:
        fault = {"type": error.code, "loc": (), "msg": str(error), "french": error.french}
        raise FieldInvalid({field.name: fault}) from None


def _list_fields(model: BaseModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields}


def _clean(model: type[BaseModel], name: str, value: FieldValue) -> FieldValue:
    """Strip texts; an empty text and null are the absence of an optional field."""
    if isinstance(value, tuple):
        return tuple(line.strip() for line in value if line.strip())
    text = value.strip() if isinstance(value, str) else value
    field = model.model_fields[name]
    if text not in ("", None):
        return text
    if field.default in ("", None):
        return field.default  # type: ignore[no-any-return]
    return None if type(None) in get_args(field.annotation) else text
