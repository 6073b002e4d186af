"""Check the right to propose a change of one record. Rule D86."""

from collections.abc import Container, Sequence
from typing import Final

from schemas.reference_changes import RecordKind
from services.console.http.context import is_limited
from services.console.read_model.reference_index import IndexedReference
from services.console.reference.resources import RecordFieldState
from services.console.web.shell import ScreenShell
from services.runtime.identity.permissions import Permission


def may_propose_record(shell: ScreenShell, pole: str | None) -> bool:
    """Return whether the reader may propose a change of a record of this pôle, now.

    Records without a pôle belong to the whole territory.
    """
    if shell.moment is not None or not shell.reader.may(Permission.REFERENCE_DECIDE):
        return False
    principal = shell.reader.principal
    return not is_limited(principal) or (
        not principal.scope.sites and pole in principal.scope.poles
    )


def may_propose_new_record(shell: ScreenShell, kind: RecordKind) -> bool:
    """Return whether the reader may propose some new record of a kind, now.

    An account of some pôles proposes records of these alone; partners and steps have no pôle.
    """
    if shell.moment is not None or not shell.reader.may(Permission.REFERENCE_DECIDE):
        return False
    principal = shell.reader.principal
    return not is_limited(principal) or (not principal.scope.sites and kind in _OWNING_FIELDS)


def limit_new_record(
    shell: ScreenShell,
    reference: IndexedReference,
    kind: RecordKind,
    fields: Sequence[RecordFieldState],
) -> list[RecordFieldState]:
    """Leave the choices with which a new record belongs to the reader's pôles."""
    principal = shell.reader.principal
    if not is_limited(principal) or kind not in _OWNING_FIELDS:
        return list(fields)
    own_ids = _list_own_ids(reference, kind, frozenset(principal.scope.poles))
    return [
        field.model_copy(
            update={"choices": [c for c in field.choices if c.id in own_ids], "required": True}
        )
        if field.name == _OWNING_FIELDS[kind]
        else field
        for field in fields
    ]


_OWNING_FIELDS: Final = {
    RecordKind.ACTIVITY: "pole",
    RecordKind.CARD: "plan",
    RecordKind.TRIGGER: "plan",
    RecordKind.STAFFING: "activity",
    RecordKind.REASSIGNMENT: "activity",
    RecordKind.ON_CALL: "scope",
    RecordKind.ROTATION: "scope",
}
"""The field of a new record that says to which pôle it belongs."""


def _list_own_ids(
    reference: IndexedReference, kind: RecordKind, poles: frozenset[str]
) -> Container[str]:
    """Return the values of the owning field that belong to some pôles."""
    match _OWNING_FIELDS[kind]:
        case "plan":
            return {plan.id for plan in reference.plans.values() if plan.pole in poles}
        case "activity":
            return {one.id for one in reference.activities.values() if one.pole in poles}
        case "scope":
            return poles | {site.id for site in reference.sites.values() if site.pole in poles}
        case _:
            return poles
