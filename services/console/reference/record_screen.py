"""Page `/donnees/fiches/{kind}/{id}`: the form that proposes a change of one record. Rule D86.

A schedule shows the effect of the values in its address, before they are proposed.

An activity lists its agents by site and métier, with the forms that change them.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request

from schemas import reference as ref
from schemas.reference_changes import FieldValue, RecordEdit, RecordKind
from services.console.http.fair_queue import ExpensiveWork
from services.console.http.problems import NotFound
from services.console.i18n import Translator
from services.console.read_model.reference_index import IndexedReference
from services.console.reference.conditions import ConditionForm, build_condition_form
from services.console.reference.page import describe_forecast
from services.console.reference.record_edits import check_change, compute_coverage, prepare_version
from services.console.reference.record_names import (
    build_form_address,
    build_new_form_address,
    find_record_address,
    label_field,
    name_choice,
    name_record_with_kind,
    show_value,
)
from services.console.reference.record_rights import may_propose_record
from services.console.reference.records_api import try_version
from services.console.reference.resources import Coverage
from services.console.resources import RecordChoice, RecordFieldState, RecordState
from services.console.texts import words as w
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.http.problems import FieldFault, Language, ProblemError
from services.runtime.identity.permissions import Permission
from services.territory.editing.conditions import parse_number
from services.territory.editing.new_records import NEW_FIELDS
from services.territory.editing.record_places import build_staff_id
from services.territory.editing.records import RECORDS

_LINE_CHARACTERS: Final = 70
_MOST_ROWS: Final = 12
_FREE_SLOTS: Final = 3
SCHEDULE_KINDS: Final = (RecordKind.ON_CALL, RecordKind.ROTATION)
_PREFIX: Final = "values."


@dataclass(frozen=True, slots=True)
class StaffLine:
    """Agents of one métier on one site."""

    site: str
    metier: str
    staff: int
    minimum: int
    form: str
    """Address of the form that changes them."""


@dataclass(frozen=True, slots=True)
class ActivityStaffing:
    """Agents of an activity, and its rule of reassignment."""

    lines: list[StaffLine]
    rule: str
    """Address of the form of the rule; empty: there is none."""
    new_rule: str
    """Address of the form of a new rule, to which the activity is added."""
    new: str
    """Address of the form of new agents, to which the activity is added."""

    @property
    def staff(self) -> int:
        return sum(line.staff for line in self.lines)

    @property
    def minimum(self) -> int:
        return sum(line.minimum for line in self.lines)

    @property
    def sites(self) -> int:
        return len({line.site for line in self.lines})


def build_activity_staffing(
    reference: IndexedReference, activity: str, lang: str
) -> ActivityStaffing:
    """Build the agents of an activity, by the name of their site."""
    sections = [s for s in reference.sections if isinstance(s, ref.Staffing)]
    names = reference.names
    lines = [
        StaffLine(
            site=names.site(cell.site),
            metier=names.metier(cell.metier, lang),
            staff=cell.staff,
            minimum=cell.minimum,
            form=build_form_address(
                RecordKind.STAFFING, build_staff_id(activity, cell.site, cell.metier)
            ),
        )
        for section in sections
        for cell in section.cells
        if cell.activity == activity
    ]
    has_rule = any(rule.activity == activity for s in sections for rule in s.rules)
    return ActivityStaffing(
        lines=sorted(lines, key=lambda line: (line.site, line.metier)),
        rule=build_form_address(RecordKind.REASSIGNMENT, activity) if has_rule else "",
        new_rule=build_new_form_address(RecordKind.REASSIGNMENT),
        new=build_new_form_address(RecordKind.STAFFING),
    )


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of the form: its state in force, and the value to begin with."""

    state: RecordFieldState
    text: str
    chosen: frozenset[str]
    choices: list[RecordChoice]
    """Chosen ones first, in their order: a form sends them as they stand."""
    rows: int
    slots: Sequence[str]
    """Values of an ordered list, with places to add some."""
    in_force: list[str]
    """Value in force, if the form begins with another one."""


async def build_record_page(x: ScreenData, kind: str, id: str) -> dict[str, Any]:
    """Build `record.html`. `?reprise=` fills the form with the values of a change.

    Raises NotFound.
    """
    if kind not in set(RecordKind):
        raise NotFound
    record = await x.queries.record(RecordKind(kind), id)
    form_values = read_given_values(x.request, record.fields) or await _read_again(x, record)
    may_propose = may_propose_record(x.shell, record.pole)
    effect = await _build_effect(x, record, form_values) if may_propose else NO_EFFECT
    return {
        "record": record,
        "title": name_record_with_kind(x.names, record.kind, id, x._),
        "address": find_record_address(record.kind, id),
        "here": build_form_address(record.kind, id),
        "action": f"/api/v1/reference/records/{record.kind}/{id}/proposals",
        "fields": build_form_fields(record.kind, record.fields, form_values, x),
        "is_tried": any(f.is_ruled for part in RECORDS[record.kind] for f in part.fields),
        "is_schedule": record.kind in SCHEDULE_KINDS,
        "effect": effect,
        "may_propose": may_propose,
        "may_withdraw": may_propose and record.kind in NEW_FIELDS,
        "staffing": build_activity_staffing(x.reference, id, x.shell.lang)
        if record.kind is RecordKind.ACTIVITY
        else None,
        **await build_conditions(x, record.kind, record.fields, form_values, record.id),
        **build_effect_names(x),
    }


async def build_conditions(
    x: ScreenData,
    kind: RecordKind,
    fields: Sequence[RecordFieldState],
    form_values: Mapping[str, FieldValue],
    id: str = "",
) -> dict[str, Any]:
    """Return the rows of a condition and its effect on recorded crises, for a trigger."""
    if kind is not RecordKind.TRIGGER:
        return {"conditions": None}
    values = {field.name: field.value for field in fields} | dict(form_values)
    lines, level = values["conditions"], values["level"]
    form = build_condition_form(
        x.reference,
        lines if isinstance(lines, tuple) else (),
        x.request.query_params,
        "" if level is None else str(level),
        x._,
    )
    change_id = x.request.query_params.get("reprise", "")
    context: dict[str, Any] = {"conditions": form, "again": change_id, "trial": ()}
    if "essai" in x.request.query_params and not form.fault and id:
        context["trial"] = await _try_conditions(x, id, form)
    return context


async def _try_conditions(x: ScreenData, id: str, form: ConditionForm) -> Sequence[str]:
    """Replay recorded crises with another condition, and describe the differences."""
    values: dict[str, FieldValue] = {"conditions": tuple(form.lines)}
    try:
        edit = check_change(x.reference, RecordKind.TRIGGER, id, values)
        _version, sections = await asyncio.to_thread(prepare_version, x.reference, edit)
    except ProblemError as error:
        return [error.problem.sentence("en" if x.shell.lang == "en" else "fr")]
    costs: ExpensiveWork = x.request.app.state.costs
    async with costs.trials.hold_place(x.shell.reader.principal.id):
        foreseen = await try_version(sections)
    if foreseen is None:
        return [x._("Non calculé.")]
    return describe_forecast(foreseen, x._, x.names)


@dataclass(frozen=True, slots=True)
class Effect:
    """Effect of the values in the address of a form, or why they are refused."""

    coverage: Coverage | None = None
    faults: Sequence[str] = ()


NO_EFFECT: Final = Effect()


def build_effect_names(x: ScreenData) -> dict[str, Any]:
    """Return the functions by which the template names people and places of a schedule."""
    return {
        "person": lambda token: name_choice("person", token, x.names, x._),
        "place_name": lambda place: x._(w.PLACE[place]),
    }


def read_given_values(
    request: Request, fields: Sequence[RecordFieldState]
) -> dict[str, FieldValue]:
    """Return the values that the address of a form holds; empty: none."""
    query = request.query_params
    form_values: dict[str, FieldValue] = {}
    for field in fields:
        texts = query.getlist(f"{_PREFIX}{field.name}")
        if not texts:
            continue
        if field.widget in ("lines", "choices", "ordered"):
            lines = [line for text in texts for line in text.splitlines()]
            form_values[field.name] = tuple(line.strip() for line in lines if line.strip())
        elif field.widget == "number":
            form_values[field.name] = parse_number(texts[-1])
        else:
            form_values[field.name] = texts[-1]
    return form_values


async def _read_again(x: ScreenData, record: RecordState) -> dict[str, FieldValue]:
    """Return the values of the change that the address names, if it is about this record."""
    change_id = x.request.query_params.get("reprise")
    edit = (await x.queries.reference_change(change_id)).edit if change_id else None
    if edit is None or (edit.kind, edit.id) != (record.kind, record.id):
        return {}
    return {change.field: change.after for change in edit.fields}


async def _build_effect(
    x: ScreenData, record: RecordState, form_values: dict[str, FieldValue]
) -> Effect:
    if not form_values or record.kind not in SCHEDULE_KINDS:
        return NO_EFFECT
    persons = await x.queries.persons_on_call()
    return await compute_effect(
        x,
        record.kind,
        lambda: check_change(x.reference, record.kind, record.id, form_values, None, persons),
    )


async def compute_effect(
    x: ScreenData, kind: RecordKind, check: Callable[[], RecordEdit]
) -> Effect:
    """Return the effect of an edit, or the sentences of its refusal."""
    try:
        edit = check()
        return Effect(await compute_coverage(x.queries, x.reference, edit))
    except ProblemError as error:
        lang: Language = "en" if x.shell.lang == "en" else "fr"
        faults = [_write_fault(kind, fault, lang, x._) for fault in error.problem.faults]
        return Effect(faults=faults or [error.problem.sentence(lang)])


def _write_fault(kind: RecordKind, fault: FieldFault, lang: Language, _: Translator) -> str:
    name = fault.field.removeprefix(_PREFIX)
    label = label_field(kind, name, _)
    return _("{what} : {why}", what=label, why=fault.message[lang])


def build_form_fields(
    kind: RecordKind,
    fields: Sequence[RecordFieldState],
    form_values: dict[str, FieldValue],
    x: ScreenData,
) -> list[FormField]:
    """Build the fields of the form, with the given values if there are some."""
    return [_build_form_field(kind, field, form_values, x) for field in fields]


def _build_form_field(
    kind: RecordKind, state: RecordFieldState, proposed_values: dict[str, FieldValue], x: ScreenData
) -> FormField:
    value = proposed_values.get(state.name, state.value)
    lines = value if isinstance(value, tuple) else (_write_text(value),)
    text = "\n".join(lines)
    rows = sum(1 + len(line) // _LINE_CHARACTERS for line in text.split("\n"))
    return FormField(
        state=state,
        text=text,
        chosen=frozenset(lines),
        choices=_order_choices(state.choices, lines),
        rows=min(_MOST_ROWS, rows + (state.widget == "lines")),
        slots=(*lines, *("",) * _FREE_SLOTS),
        in_force=(
            show_value(kind, state.name, state.value, x.names, x._) or [x._("vide")]
            if value != state.value
            else []
        ),
    )


def _write_text(value: str | float | None) -> str:
    """Return a value as a field shows it: `2`, not `2.0`."""
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return "" if value is None else str(value)


def _order_choices(choices: list[RecordChoice], chosen_ids: Sequence[str]) -> list[RecordChoice]:
    rank = {id: n for n, id in enumerate(chosen_ids)}
    return sorted(choices, key=lambda one: rank.get(one.id, len(rank)))


PAGE: Final = ScreenPage(
    "record",
    "/donnees/fiches/{kind}/{id}",
    "reference/record.html",
    build_record_page,
    personal=True,
    past=False,
    needs=Permission.LOG_READ,
    under="reference",
)
