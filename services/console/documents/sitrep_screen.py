"""Page `/sitrep`: the draft of the situation report, or a frozen one."""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request
from markupsafe import Markup

from schemas.words import TaskState
from services.console.documents.document import CitedSource
from services.console.documents.pdf import Typesetter
from services.console.documents.sitrep import REMARK_SECTIONS
from services.console.documents.sitreps_api import write_stamp
from services.console.handover.queries import list_recipient_choices
from services.console.http.problems import NotFound
from services.console.i18n import N_, get_translator
from services.console.proof.api import read_partners
from services.console.read_model.queries import Queries
from services.console.resources import format_iso
from services.console.web.access import build_shell, require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import build_frame_context
from services.console.web.shell import ScreenShell
from services.runtime.identity.permissions import Permission

ISSUED_SHOWN: Final = 12

MAX_NUMBER_LENGTH: Final = 9

REMARK_LABELS: Final = {
    "essential": N_("L’essentiel"),
    "evolution": N_("Évolution"),
    "decisions": N_("Décisions à prendre"),
    "partners": N_("Partenaires"),
    "ahead": N_("Ce qui peut empirer"),
}


async def build_sitrep_page(
    queries: Queries, request: Request, number: str | None = None
) -> dict[str, Any]:
    """Build `sitrep.html`: the present draft or a frozen report. Raises NotFound."""
    shell = await build_shell(
        request, queries, require_reader(request, Permission.LOG_READ), "sitrep"
    )
    lang, queries = shell.lang, queries.of(shell.realm.name, shell.lang)
    sitreps = (await queries.sitreps()).items
    row, proof, due_at = None, "", None
    if number is None:
        partners = await read_partners(request, queries)
        document = await queries.draft_sitrep(langs=(lang,), partners=partners)
        sitrep_tasks = (
            await queries.tasks(kind="sitrep", state=(TaskState.OPEN, TaskState.TAKEN))
        ).items
        due_at = sitrep_tasks[0].due_at if sitrep_tasks else sitreps[0].next_at if sitreps else None
    else:
        if not number.isdecimal() or len(number) > MAX_NUMBER_LENGTH:
            raise NotFound
        frozen_sitrep, document = await queries.sitrep(int(number))
        row = next(s for s in sitreps if s.number == frozen_sitrep.number)
        proof = write_stamp(frozen_sitrep, lang)
    typesetter: Typesetter = request.app.state.typesetter
    _ = get_translator(lang)
    return {
        **build_frame_context(request, shell),
        "document": document,
        "sheet": document.sheet(lang),
        "drawing": Markup(typesetter.map_svg(document)),  # noqa: S704  our own drawing
        "row": row,
        "stamp": proof,
        "issued": sitreps[:ISSUED_SHOWN],
        "due": due_at,
        "href": make_source_link(shell),
        "api": make_api_link(shell, f"/api/v1/sitreps/{number or 'draft'}"),
        "choices": list_recipient_choices(await queries.reference(), document.level, None, _),
        "remarks": [(id, _(REMARK_LABELS[id])) for id in REMARK_SECTIONS],
    }


def make_source_link(shell: ScreenShell) -> Callable[[CitedSource], str]:
    """Return a function that links a cited line of the logbook."""
    return lambda source: shell.url("/main-courante", ligne=source.key) + "#l-" + source.key


def make_api_link(shell: ScreenShell, path: str, **more: str | None) -> Callable[..., str]:
    """Return a function that links a document in a given format, in this realm and at this time."""
    parameters = {"realm": shell.realm.name} | (
        {"as_of": format_iso(shell.moment)} if shell.moment else {}
    )
    return lambda form: (
        f"{path}?{urlencode({**parameters, **{k: v for k, v in more.items() if v is not None}, 'format': form})}"
    )


PAGE: Final = WebPage(
    "sitrep",
    "/sitrep",
    "sitrep.html",
    build_sitrep_page,
    N_("Point de situation"),
    needs=Permission.LOG_READ,
    also=("/sitrep/{number}",),
)
