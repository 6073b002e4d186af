"""Page `/donnees`: changes of the reference data. Rule D63."""

from collections.abc import Sequence
from typing import Any, Final

from schemas.reference_changes import OPEN_CHANGES, RecordKind
from services.console.http.decisions import get_author
from services.console.i18n import N_
from services.console.reference import page as reference_page
from services.console.reference.record_edits import compute_coverage
from services.console.reference.record_names import (
    build_form_address,
    build_new_form_address,
    name_record_with_kind,
)
from services.console.reference.record_rights import may_propose_new_record
from services.console.reference.record_screen import build_effect_names
from services.console.reference.resources import Coverage
from services.console.resources import ReferenceChange
from services.console.texts import words as w
from services.console.web.screen_context import LINE_LIMIT, ScreenData, ScreenPage
from services.runtime.identity.permissions import Permission
from services.territory.editing.records import list_records


async def build_reference_page(x: ScreenData) -> dict[str, Any]:
    """Build `reference.html`: changes of the reference data. Rule D63."""
    reference_changes = (await x.queries.reference_changes(texts=True, limit=LINE_LIMIT)).items
    reader = x.shell.reader
    changes = reference_page.build_changes(
        reference_changes,
        get_author(reader.principal),
        x.names,
        x._,
        may=reader.may(Permission.REFERENCE_DECIDE),
        coverages=await _compute_coverages(reference_changes, x),
    )
    over = [c for c in changes if not c.is_open]
    return {
        "version": x.reference.version,
        "open": [c for c in changes if c.is_open],
        "over": over[: reference_page.PAST_SHOWN],
        "over_count": len(over),
        "steps": [
            (
                name_record_with_kind(x.names, RecordKind.STEP, id, x._),
                build_form_address(RecordKind.STEP, id),
            )
            for id in list_records(x.reference.sections, RecordKind.STEP)
        ],
        "may_propose": reader.may(Permission.REFERENCE_DECIDE) and x.shell.moment is None,
        "may_add_step": may_propose_new_record(x.shell, RecordKind.STEP),
        **build_effect_names(x),
        "new_step": build_new_form_address(RecordKind.STEP),
        "author": lambda token: w.name_person(token, x.names, x._),
        "since": next(
            (
                c.change.in_force_at
                for c in over
                if c.change.in_force_at and c.change.reference == x.reference.version
            ),
            None,
        ),
    }


async def _compute_coverages(
    changes: Sequence[ReferenceChange], x: ScreenData
) -> dict[str, Coverage]:
    """Return the people on call under each open change of a schedule."""
    coverages: dict[str, Coverage] = {}
    for change in changes:
        if change.edit is None or change.state not in OPEN_CHANGES or change.outdated:
            continue
        coverage = await compute_coverage(x.queries, x.reference, change.edit)
        if coverage is not None:
            coverages[change.id] = coverage
    return coverages


PAGE: Final = ScreenPage(
    "reference",
    "/donnees",
    "reference.html",
    build_reference_page,
    N_("Données de référence"),
    needs=Permission.LOG_READ,
    listed_for=Permission.REFERENCE_DECIDE,
    personal=True,  # authors may not approve their own changes (rule D63)
)
