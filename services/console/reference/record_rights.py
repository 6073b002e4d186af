"""Check the right to propose a change of one record. Rule D86."""

from services.console.http.context import is_limited
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


def may_propose_new_record(shell: ScreenShell) -> bool:
    """Return whether the reader may propose some new record, now; the API checks its pôle."""
    return shell.moment is None and shell.reader.may(Permission.REFERENCE_DECIDE)
