"""Page `/donnees/fiches/{kind}/{id}`: the form that proposes a change of one record. Rule D86."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request

from schemas.reference_changes import FieldValue, RecordEdit, RecordKind
from services.console.http.problems import NotFound
from services.console.read_model.queries import Queries
from services.console.reference.record_names import (
    find_record_address,
    name_record_with_kind,
    show_value,
)
from services.console.reference.record_rights import may_propose_record
from services.console.resources import RecordChoice, RecordFieldState, RecordState
from services.console.web.access import require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import ScreenData, build_page_context, load_screen_data
from services.runtime.identity.permissions import Permission
from services.territory.records import RECORDS

_LINE_CHARACTERS: Final = 70
_MOST_ROWS: Final = 12


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of the form: its state in force, and the value to begin with."""

    state: RecordFieldState
    text: str
    chosen: frozenset[str]
    choices: list[RecordChoice]
    """Chosen ones first, in their order: a form sends them as they stand."""
    rows: int
    in_force: list[str]
    """Value in force, if the form begins with another one."""


async def build_record_page(
    queries: Queries, request: Request, kind: str, id: str
) -> dict[str, Any]:
    """Build `record.html`. `?reprise=` fills the form with the values of a change.

    Raises NotFound, ProblemError `forbidden`.
    """
    require_reader(request, Permission.LOG_READ)
    x = await load_screen_data(queries, request, "reference")
    if kind not in set(RecordKind):
        raise NotFound
    found = await x.queries.record(RecordKind(kind), id)
    again = request.query_params.get("reprise")
    edit = (await x.queries.reference_change(again)).edit if again else None
    return {
        **build_page_context(request, x),
        "record": found,
        "title": name_record_with_kind(x.names, found.kind, id, x._),
        "address": find_record_address(found.kind, id),
        "fields": build_form_fields(found, edit, x),
        "is_tried": any(f.is_ruled for part in RECORDS[found.kind] for f in part.fields),
        "may_propose": may_propose_record(x.shell, found.pole),
    }


def build_form_fields(
    found: RecordState, edit: RecordEdit | None, x: ScreenData
) -> list[FormField]:
    """Build the fields of the form, with the values of an earlier proposal if there is one."""
    is_same = edit is not None and (edit.kind, edit.id) == (found.kind, found.id)
    proposed = {c.field: c.after for c in edit.fields} if edit is not None and is_same else {}
    return [_build_form_field(found.kind, f, proposed, x) for f in found.fields]


def _build_form_field(
    kind: RecordKind, state: RecordFieldState, proposed: dict[str, FieldValue], x: ScreenData
) -> FormField:
    value = proposed.get(state.name, state.value)
    lines = value if isinstance(value, tuple) else ("" if value is None else str(value),)
    text = "\n".join(lines)
    rows = sum(1 + len(line) // _LINE_CHARACTERS for line in text.split("\n"))
    return FormField(
        state=state,
        text=text,
        chosen=frozenset(lines),
        choices=_order_choices(state.choices, lines),
        rows=min(_MOST_ROWS, rows + (state.widget == "lines")),
        in_force=(
            show_value(kind, state.name, state.value, x.names, x._) or [x._("vide")]
            if value != state.value
            else []
        ),
    )


def _order_choices(choices: list[RecordChoice], chosen: Sequence[str]) -> list[RecordChoice]:
    rank = {id: n for n, id in enumerate(chosen)}
    return sorted(choices, key=lambda one: rank.get(one.id, len(rank)))


PAGE: Final = WebPage(
    "record",
    "/donnees/fiches/{kind}/{id}",
    "reference/record.html",
    build_record_page,
    personal=True,
    past=False,
)
