"""Page `/releve/{number}`: one handover, its signatures, the next steps. Rule D115."""

from typing import Any, Final

from fastapi import Request

from schemas.crisis.handovers import OPEN_HANDOVER_STATES, HandoverState
from services.console.documents.handover import name_signer
from services.console.documents.sitrep_screen import make_api_link, make_source_link
from services.console.handover.api import LONGEST_OBJECTIVE, write_stamp
from services.console.handover.queries import Handover, list_recipient_choices
from services.console.http.context import is_limited
from services.console.http.decisions import get_author
from services.console.http.problems import NotFound
from services.console.i18n import get_translator
from services.console.proof.api import read_partners
from services.console.read_model.queries import Queries
from services.console.web.access import build_shell, require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import build_frame_context
from services.console.web.shell import ScreenShell
from services.runtime.identity.permissions import Permission

MAX_NUMBER_LENGTH: Final = 9
HANDOVERS_SHOWN: Final = 12


def may_write(shell: ScreenShell) -> bool:
    """Return whether the reader may draft and sign handovers now."""
    reader = shell.reader
    return (
        reader.may(Permission.SITREP_WRITE)
        and shell.moment is None
        and not is_limited(reader.principal)
    )


def find_open_handover(handovers: list[Handover]) -> Handover | None:
    """Return the handover that is not signed by both yet."""
    return next((one for one in handovers if one.state in OPEN_HANDOVER_STATES), None)


async def build_handover_sheet(queries: Queries, request: Request, number: str) -> dict[str, Any]:
    """Build the page of one handover. Raises NotFound, ProblemError `erased`."""
    shell = await build_shell(
        request, queries, require_reader(request, Permission.LOG_READ), PAGE.name
    )
    if not number.isdecimal() or len(number) > MAX_NUMBER_LENGTH:
        raise NotFound
    _ = get_translator(shell.lang)
    lang, queries = shell.lang, queries.of(shell.realm.name, shell.lang)
    handover = await queries.handover(number)
    partners = await read_partners(request, queries)
    _frozen, document = await queries.handover_page(number, langs=(lang,), partners=partners)
    reference = await queries.reference()
    writes = may_write(shell)
    author = get_author(shell.reader.principal)
    withdrawal = handover.withdrawn
    signer = handover.signed.by if handover.signed is not None else None
    others = [one for one in handover.recipients if one not in reference.names.roles]
    return {
        **build_frame_context(request, shell),
        "found": handover,
        "document": document,
        "sheet": document.sheet(lang),
        "stamp": write_stamp(handover.page.sha256, lang) if handover.page is not None else "",
        "href": make_source_link(shell),
        "api": make_api_link(shell, f"/api/v1/handovers/{handover.id}/document"),
        "issued": (await queries.handovers()).items[:HANDOVERS_SHOWN],
        "may_sign": writes and handover.state is HandoverState.DRAFT,
        "may_accept": writes and handover.state is HandoverState.SIGNED and author != signer,
        "withdrawer": name_signer(withdrawal.by, withdrawal.role, reference.names, _)
        if withdrawal is not None
        else "",
        "is_signer": writes and handover.state is HandoverState.SIGNED and author == signer,
        "may_change": writes and handover.state in OPEN_HANDOVER_STATES,
        "choices": list_recipient_choices(reference, handover.level, handover.recipients, _),
        "other_recipients": others,
        "longest": LONGEST_OBJECTIVE,
    }


PAGE: Final = WebPage(
    "handover-sheet",
    "/releve/{number}",
    "handover/screen.html",
    build_handover_sheet,
    needs=Permission.LOG_READ,
    personal=True,  # the person who signed as outgoing does not sign as incoming
)
