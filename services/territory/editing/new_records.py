"""Create and withdraw single records of the reference data. Rule D86.

A new record has the fields of its kind, and those that say where it belongs. Nobody chooses its
id: it follows from its text, or from the records of its kind. A withdrawn record takes with it
what only repeats it. A record that others refer to is not withdrawn.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from pydantic import BaseModel, Field

from schemas import plans as p
from schemas import reference as ref
from schemas.base import Model
from schemas.oncall import Place, Rotation
from schemas.reference_changes import FieldChange, FieldValue, RecordAction, RecordEdit, RecordKind
from services.territory.editing.record_places import (
    RowPlace,
    build_card_id,
    build_post_id,
    build_rotation_id,
    build_staff_id,
    split_card_id,
)
from services.territory.editing.records import (
    RECORDS,
    FieldGroup,
    FieldInvalid,
    RecordField,
    RecordPart,
    RecordUnknown,
    apply_edit,
    list_records,
    put_part,
    read_record,
    read_values,
    validate_part,
)


class _NewCard(Model):
    """Place of a new card."""

    plan: str
    role: str
    pole: str | None = None
    phase: p.CardPhase
    site_kinds: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    evidence: p.Evidence = p.Evidence.NONE


class _NewActivity(Model):
    """Place and extent of a new activity."""

    pole: str
    name_en: str = ""
    staff: int = Field(ge=0, le=100_000)
    site_kinds: tuple[str, ...] = Field(min_length=1)
    strategies: tuple[str, ...] = ()
    telework: Literal["non", "partiel", "oui"] = "non"
    vulnerable_public: int = Field(default=0, ge=0, le=3)


class _NewStep(Model):
    ladder: str


class _NewTrigger(Model):
    plan: str


class _NewPost(Model):
    """Role of a new post."""

    role: str
    scope: str | None = None


class _NewRotation(_NewPost):
    """Role and place of a new rotation."""

    place: Place = Place.HOLDER


class _NewRule(Model):
    """Activity of a new rule of reassignment."""

    activity: str


class _NewStaff(_NewRule):
    """Place of new agents."""

    site: str
    metier: str


NEW_FIELDS: Final[Mapping[RecordKind, FieldGroup]] = {
    RecordKind.CONTACT: FieldGroup(Model, ()),
    RecordKind.CARD: FieldGroup(
        _NewCard,
        (
            RecordField("plan", "plan", "plan"),
            RecordField("role", "role", "role"),
            RecordField("pole", "pole", "pole"),
            RecordField("phase", "phase", "phase"),
            RecordField("site_kinds", "site_kinds", "site_kind"),
            RecordField("depends_on", "depends_on", "card"),
            RecordField("evidence", "evidence", "evidence"),
        ),
    ),
    RecordKind.ACTIVITY: FieldGroup(
        _NewActivity,
        (
            RecordField("pole", "pole", "pole"),
            RecordField("name_en", "name_en"),
            RecordField("staff", "staff"),
            RecordField("site_kinds", "site_kinds", "site_kind"),
            RecordField("strategies", "strategies"),
            RecordField("telework", "telework", "telework"),
            RecordField("vulnerable_public", "vulnerable_public"),
        ),
    ),
    RecordKind.TRIGGER: FieldGroup(_NewTrigger, (RecordField("plan", "plan", "plan"),)),
    RecordKind.STEP: FieldGroup(_NewStep, (RecordField("ladder", "ladder", "ladder"),)),
    RecordKind.ON_CALL: FieldGroup(
        _NewPost, (RecordField("role", "role", "role"), RecordField("scope", "scope", "scope"))
    ),
    RecordKind.ROTATION: FieldGroup(
        _NewRotation,
        (
            RecordField("role", "role", "role"),
            RecordField("scope", "scope", "scope"),
            RecordField("place", "place", "place"),
        ),
    ),
    RecordKind.STAFFING: FieldGroup(
        _NewStaff,
        (
            RecordField("activity", "activity", "activity"),
            RecordField("site", "site", "site"),
            RecordField("metier", "metier", "metier"),
        ),
    ),
    RecordKind.REASSIGNMENT: FieldGroup(
        _NewRule, (RecordField("activity", "activity", "activity"),)
    ),
}
"""Fields that only a new record has, for the kinds of which people create records."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A place of the reference data that names a record."""

    section: ref.Section
    owner: str
    """Title or name of the row that names it; empty: it has none."""


def list_new_parts(
    sections: Sequence[Any], kind: RecordKind, values: Mapping[str, FieldValue]
) -> list[RecordPart]:
    """Return the parts of a new record: a plan without written content has none of its cards."""
    parts = list(RECORDS[kind])
    if kind is RecordKind.CARD and values.get("plan") not in ref.collect_plan_contents(sections):
        return parts[:1]
    return parts


def build_new_record(
    sections: Sequence[Any],
    kind: RecordKind,
    values: Mapping[str, FieldValue],
    proposed_ids: Collection[str] = (),
) -> RecordEdit:
    """Return the edit that creates a record. `proposed_ids`: ids that are proposed already.

    Raises RecordUnknown, FieldInvalid.
    """
    is_placed = kind is not RecordKind.CARD or values.get("plan") not in ("", None)
    parts = list_new_parts(sections, kind, values) if is_placed else list(RECORDS[kind])
    names = [f.name for group in (NEW_FIELDS[kind], *parts) for f in group.fields]
    if unknown := sorted(values.keys() - set(names)):
        raise RecordUnknown(unknown[0])
    filled_values = {name: value for name, value in values.items() if value not in ("", None)}
    try:
        id = _find_free_id(sections, kind, filled_values, proposed_ids)
        models = _make_models(sections, kind, filled_values, id)
    except FieldInvalid as error:
        raise FieldInvalid(_list_errors(kind, parts, filled_values) | {**error.errors}) from None
    after = filled_values | read_values(models)
    return RecordEdit(
        kind=kind,
        id=id,
        action=RecordAction.CREATE,
        fields=tuple(FieldChange(field=name, after=after.get(name)) for name in names),
    )


def _list_errors(
    kind: RecordKind, parts: Iterable[RecordPart], values: Mapping[str, FieldValue]
) -> dict[str, Mapping[str, Any]]:
    """Return the errors of all fields of a new record that is refused, in the order of its form."""
    errors = dict[str, Mapping[str, Any]]()
    for group in (NEW_FIELDS[kind], *parts):
        optional_names = {
            f.name
            for f in group.fields
            if type(None) in get_args(group.model.model_fields[f.attribute].annotation)
        }
        asked_names = {f.name for f in group.fields}
        try:
            validate_part(group, _UNASKED_VALUES.get(kind, {}), values)
        except FieldInvalid as error:
            errors |= {
                name: one
                for name, one in error.errors.items()
                if name in asked_names and not (one["type"] == "missing" and name in optional_names)
            }
    return errors


_UNASKED_VALUES: Final[Mapping[RecordKind, Mapping[str, Any]]] = {
    RecordKind.ACTIVITY: {"systems": (), "suppliers": ()}
}
"""Values of fields that a new record may leave out."""


def build_withdrawal(sections: Sequence[Any], kind: RecordKind, id: str) -> RecordEdit:
    """Return the edit that withdraws a record. Raises RecordUnknown."""
    values = read_record(sections, kind, id)
    if kind not in NEW_FIELDS:
        raise RecordUnknown(id)
    return RecordEdit(
        kind=kind,
        id=id,
        action=RecordAction.WITHDRAW,
        fields=tuple(FieldChange(field=name, before=value) for name, value in values.items()),
    )


def apply_record_edit(sections: Sequence[Any], edit: RecordEdit) -> list[Any]:
    """Return the sections with an edit of any action. Raises RecordUnknown, FieldInvalid."""
    match edit.action:
        case RecordAction.CREATE:
            return _create(sections, edit)
        case RecordAction.WITHDRAW:
            return _withdraw(sections, edit)
        case _:
            return apply_edit(sections, edit)


def is_overtaken(sections: Sequence[Any], edit: RecordEdit) -> bool:
    """Return whether a field of the edit has another value by now, or the record came or went."""
    try:
        values = read_record(sections, edit.kind, edit.id)
    except RecordUnknown:
        return edit.action is not RecordAction.CREATE
    if edit.action is RecordAction.CREATE:
        return True
    return any(values.get(change.field) != change.before for change in edit.fields)


def _create(sections: Sequence[Any], edit: RecordEdit) -> list[Any]:
    values = {f.field: f.after for f in edit.fields if f.after is not None}
    new_sections = list(sections)
    for part, model in _make_models(sections, edit.kind, values, edit.id):
        id = build_card_id(str(values["plan"]), _own_id(edit)) if "plan" in values else edit.id
        new_sections = put_part(new_sections, part, id, model)
    if edit.kind is RecordKind.ACTIVITY:
        step = p.RecoveryStep(activity=edit.id)
        new_sections = [
            _add_recovery(section, str(values["pole"]), step, new_sections)
            for section in new_sections
        ]
    return new_sections


def _own_id(edit: RecordEdit) -> str:
    return split_card_id(edit.id)[1]


def _add_recovery(section: Any, pole: str, step: p.RecoveryStep, sections: Sequence[Any]) -> Any:
    """Return the section with an activity last in the recovery order of the plan of its pôle."""
    if not isinstance(section, ref.PlanContents):
        return section
    rows = (plan for s in sections if isinstance(s, ref.Plans) for plan in s.plans)
    mine = {plan.id for plan in rows if plan.pole == pole}
    contents = tuple(
        content.model_copy(update={"recovery": (*content.recovery, step)})
        if content.id in mine and content.recovery
        else content
        for content in section.contents
    )
    return section.model_copy(update={"contents": contents})


def _withdraw(sections: Sequence[Any], edit: RecordEdit) -> list[Any]:
    read_record(sections, edit.kind, edit.id)
    new_sections = list(sections)
    for part in RECORDS[edit.kind]:
        if not (isinstance(part.place, RowPlace) and part.place.inside):
            new_sections = put_part(new_sections, part, edit.id, None)
    if edit.kind is RecordKind.ACTIVITY:
        new_sections = [_drop_activity(section, edit.id) for section in new_sections]
    return new_sections


def _drop_activity(section: Any, activity: str) -> Any:
    """Return the section without the rows that only repeat an activity."""
    if isinstance(section, ref.PlanContents):
        contents = tuple(
            content.model_copy(
                update={
                    name: tuple(r for r in getattr(content, name) if r.activity != activity)
                    for name in ("stops", "goes_on", "recovery")
                }
            )
            for content in section.contents
        )
        return section.model_copy(update={"contents": contents})
    if isinstance(section, ref.Staffing):
        rules = tuple(rule for rule in section.rules if rule.activity != activity)
        return section.model_copy(update={"rules": rules})
    if isinstance(section, ref.EscalationPolicy):
        calendars = section.policy.calendar_of_activity
        rest = {id: calendar for id, calendar in calendars.items() if id != activity}
        policy = section.policy.model_copy(update={"calendar_of_activity": rest})
        return section.model_copy(update={"policy": policy})
    return section


def find_references(sections: Sequence[Any], edit: RecordEdit) -> list[Reference]:
    """List the rows that would name a withdrawn record. `sections` are those in force."""
    id = _own_id(edit) if edit.kind is RecordKind.CARD else edit.id
    if edit.kind not in _REFERRED:
        return []
    plans = (plan for s in sections if isinstance(s, ref.Plans) for plan in s.plans)
    cards = {card.id: card.task for plan in plans for card in plan.cards}
    references: dict[Reference, None] = {}
    for section in _withdraw(sections, edit):
        if section.section in _REFERRED[edit.kind]:
            continue
        for owner in _list_owners(section.model_dump(mode="json"), id, ""):
            references.setdefault(Reference(section.section, cards.get(owner, owner)))
    return list(references)


_REFERRED: Final[Mapping[RecordKind, frozenset[ref.Section]]] = {
    RecordKind.CARD: frozenset(),
    RecordKind.ACTIVITY: frozenset(),
    RecordKind.CONTACT: frozenset({ref.Section.ESCALATION, ref.Section.MEASURES}),
}
"""Kinds of records that others name, with the sections in which the same word means a source."""


_TITLES: Final = ("title", "name", "task", "organisation", "text", "id")


def _list_owners(value: Any, id: str, owner: str) -> Iterator[str]:
    """Yield the title of each row that holds the id as a text or as a key."""
    if isinstance(value, dict):
        titles = (value.get(key) for key in _TITLES)
        mine = next((title for title in titles if isinstance(title, str) and title), owner)
        if id in value:
            yield mine
        for part in value.values():
            yield from _list_owners(part, id, mine)
    elif isinstance(value, list):
        for part in value:
            yield from _list_owners(part, id, owner)
    elif value == id:
        yield owner


def _make_models(
    sections: Sequence[Any], kind: RecordKind, values: Mapping[str, FieldValue], id: str
) -> list[tuple[RecordPart, BaseModel]]:
    """Return the parts of a new record with their models. Raises FieldInvalid."""
    extra = _validate_place(kind, values)
    return [
        (part, validate_part(part, _begin(sections, kind, part, extra, values, id), values))
        for part in list_new_parts(sections, kind, values)
    ]


def _validate_place(kind: RecordKind, values: Mapping[str, FieldValue]) -> Any:
    """Return the values that say where a new record belongs. Raises FieldInvalid."""
    return validate_part(NEW_FIELDS[kind], {}, values)


def _begin(
    sections: Sequence[Any],
    kind: RecordKind,
    part: RecordPart,
    extra: Any,
    values: Mapping[str, FieldValue],
    id: str,
) -> dict[str, Any]:
    """Return the values of a new model that its form does not ask for as such."""
    match kind:
        case RecordKind.CARD if part.model is p.Card:
            is_return = extra.phase is p.CardPhase.RETURN
            return {
                "id": split_card_id(id)[1],
                "role": extra.role,
                "pole": extra.pole,
                "phase": extra.phase,
                "scope": p.CardScope(type="site", kinds=extra.site_kinds)
                if extra.site_kinds
                else None,
                "origin": p.CardOrigin.STAND_DOWN if is_return else p.CardOrigin.TRIGGER,
                "depends_on": extra.depends_on,
                "evidence": extra.evidence,
            }
        case RecordKind.CARD:
            return {"id": split_card_id(id)[1]}
        case RecordKind.ACTIVITY:
            model_values: dict[str, Any] = extra.model_dump() | {
                "id": id,
                **_UNASKED_VALUES[kind],
            }
            return model_values | {"name_en": extra.name_en or str(values.get("name") or "")}
        case RecordKind.STEP:
            return {"wave": int(split_card_id(id)[1])}
        case RecordKind.CONTACT:
            return {"id": id}
        case RecordKind.TRIGGER:
            return {}
        case RecordKind.ON_CALL:
            return {"holder": None, **dict(extra)}
        case RecordKind.REASSIGNMENT:
            return {"activity": extra.activity, **_repeat_limits(sections, extra.activity)}
        case _:
            return dict(extra)


def _repeat_limits(sections: Sequence[Any], activity_id: str) -> dict[str, Any]:
    """Return the values of an activity that its rule of reassignment repeats."""
    activities = (s.activities for s in sections if isinstance(s, ref.Activities))
    activity = next((a for rows in activities for a in rows if a.id == activity_id), None)
    if activity is None:  # the check of the edit names it
        return {"pole": "", "criticality": 4, "rto_h": 0.0}
    return {
        name: getattr(activity, name)
        for name in ("pole", "criticality", "rto_h", "vulnerable_public")
    }


def _find_free_id(
    sections: Sequence[Any],
    kind: RecordKind,
    values: Mapping[str, FieldValue],
    proposed_ids: Collection[str],
) -> str:
    """Return the id of a new record. Raises FieldInvalid."""
    existing_ids = [*list_records(sections, kind), *proposed_ids]
    place = _validate_place(kind, values)
    match kind:
        case RecordKind.CARD:
            cards = [split_card_id(id) for id in existing_ids]
            mine = [card for plan, card in cards if plan == place.plan]
            return build_card_id(place.plan, _follow(mine, {c for _, c in cards}, "F01"))
        case RecordKind.ACTIVITY:
            activities = (s.activities for s in sections if isinstance(s, ref.Activities))
            mine = [a.id for rows in activities for a in rows if a.pole == place.pole]
            return _follow(
                [*mine, *proposed_ids], set(existing_ids), f"{place.pole[:3].upper()}-01"
            )
        case RecordKind.STEP:
            steps = [
                number for name, number in map(split_card_id, existing_ids) if name == place.ladder
            ]
            return build_card_id(place.ladder, str(max(map(int, steps), default=0) + 1))
        case RecordKind.TRIGGER:
            return build_card_id(place.plan, f"N{values.get('level', 0)}")
        case RecordKind.ON_CALL:
            return build_post_id(place.role, place.scope)
        case RecordKind.ROTATION:
            (part,) = RECORDS[kind]
            rotation = validate_part(part, dict(place), values)
            assert isinstance(rotation, Rotation)
            return build_rotation_id(rotation)
        case RecordKind.STAFFING:
            return build_staff_id(place.activity, place.site, place.metier)
        case RecordKind.REASSIGNMENT:
            return place.activity  # type: ignore[no-any-return]
        case _:
            return _number_name(_make_slug(str(values.get("organisation") or "")), existing_ids)


def _follow(mine: Sequence[str], existing_ids: Collection[str], first: str) -> str:
    """Return the id after the last of its neighbours: `SOL-F18` after `SOL-F17`."""
    numbered_ids = [parts for id in mine if (parts := _NUMBERED.fullmatch(id)) is not None]
    if not numbered_ids:
        return first if first not in existing_ids else _number_name(first, existing_ids)
    prefix = Counter(parts[1] for parts in numbered_ids).most_common(1)[0][0]
    numbers = [parts[2] for parts in numbered_ids if parts[1] == prefix]
    number = max(map(int, numbers)) + 1
    while (id := f"{prefix}{number:0{len(numbers[-1])}d}") in existing_ids:
        number += 1
    return id


_NUMBERED: Final = re.compile(r"(.*?)(\d+)")


def _make_slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:32].strip("_") or "partenaire"


def _number_name(name: str, existing_ids: Collection[str]) -> str:
    number = 1
    while (candidate := name if number == 1 else f"{name}_{number}") in existing_ids:
        number += 1
    return candidate
