"""Page `/donnees/nouvelle-fiche/{kind}`: the form that proposes a new record. Rule D86."""

from collections.abc import Mapping
from typing import Any, Final

from schemas.reference_changes import FieldValue, RecordKind
from services.console.http.problems import NotFound
from services.console.reference.record_edits import check_new_record
from services.console.reference.record_names import (
    NEW_LABELS,
    build_new_form_address,
    find_list_address,
    find_record_address,
)
from services.console.reference.record_rights import limit_new_record, may_propose_new_record
from services.console.reference.record_screen import (
    NO_EFFECT,
    SCHEDULE_KINDS,
    Effect,
    build_conditions,
    build_effect_names,
    build_form_fields,
    compute_effect,
    read_given_values,
)
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.identity.permissions import Permission
from services.territory.editing.records import RECORDS


async def build_new_record_page(x: ScreenData, kind: str) -> dict[str, Any]:
    """Build `record.html` for a new record; its address may hold values to begin with.

    Raises NotFound.
    """
    if kind not in set(RecordKind):
        raise NotFound
    form = await x.queries.record_form(RecordKind(kind))
    form_values = read_given_values(x.request, form.fields)
    change_id = x.request.query_params.get("reprise")
    edit = (
        (await x.queries.reference_change(change_id)).edit
        if change_id and not form_values
        else None
    )
    if edit is not None and edit.kind is form.kind:
        form_values = {
            change.field: change.after for change in edit.fields if change.after is not None
        }
    may_propose = may_propose_new_record(x.shell, form.kind)
    fields = limit_new_record(x.shell, x.reference, form.kind, form.fields)
    return {
        "record": None,
        "title": x._(NEW_LABELS[form.kind]),
        "address": _find_return_address(form.kind, form_values),
        "here": build_new_form_address(form.kind),
        "action": f"/api/v1/reference/new-records/{form.kind}/proposals",
        "fields": build_form_fields(form.kind, fields, form_values, x),
        "is_tried": any(f.is_ruled for part in RECORDS[form.kind] for f in part.fields),
        "is_schedule": form.kind in SCHEDULE_KINDS,
        "effect": await _build_effect(x, form.kind, form_values) if may_propose else NO_EFFECT,
        "may_propose": may_propose,
        "may_withdraw": False,
        "staffing": None,
        **await build_conditions(x, form.kind, fields, form_values),
        **build_effect_names(x),
    }


def _find_return_address(
    kind: RecordKind, form_values: Mapping[str, FieldValue]
) -> tuple[str, str]:
    """Return the address of the page that a form was opened from."""
    activity = str(form_values.get("activity") or "")
    if kind in (RecordKind.STAFFING, RecordKind.REASSIGNMENT):
        return find_record_address(kind, activity)
    return find_list_address(kind, str(form_values.get("plan") or ""))


async def _build_effect(x: ScreenData, kind: RecordKind, form_values: dict[str, Any]) -> Effect:
    if "role" not in form_values or len(form_values) < _ENOUGH or kind not in SCHEDULE_KINDS:
        return NO_EFFECT
    persons, open_edits = await x.queries.persons_on_call(), await x.queries.open_edits()
    return await compute_effect(
        x, kind, lambda: check_new_record(x.reference, kind, form_values, open_edits, persons)
    )


_ENOUGH: Final = 4
"""Values in the address of a form that somebody filled in; a link gives role, scope and place."""

PAGE: Final = ScreenPage(
    "new_record",
    "/donnees/nouvelle-fiche/{kind}",
    "reference/record.html",
    build_new_record_page,
    personal=True,
    past=False,
    needs=Permission.LOG_READ,
    under="reference",
)
