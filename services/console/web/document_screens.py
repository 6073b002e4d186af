"""Build the contexts of pages with documents and the logbook.

They need the frame and a query or two, not the whole situation.
"""

from __future__ import annotations

import asyncio
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
from services.console.http.problems import NotFound
from services.console.i18n import N_, get_translator
from services.console.logbook import page as logbook
from services.console.logbook.line_list import KIND_LABELS
from services.console.resources import format_iso
from services.console.texts import words as w
from services.console.texts import world
from services.console.web.access import build_shell, require_reader
from services.console.web.planning_screens import PlanningScreens
from services.console.web.screen_context import LINE_LIMIT, build_frame_context
from services.console.web.shell import ScreenShell
from services.runtime.identity.permissions import Permission

ISSUED_SHOWN: Final = 12
MAX_NUMBER_LENGTH: Final = 9
INCIDENTS_LISTED: Final = 50
NOTES_SCANNED: Final = 200
"""Newest notes to search for the correction of a line."""
REMARK_LABELS: Final = {
    "essential": N_("L’essentiel"),
    "evolution": N_("Évolution"),
    "decisions": N_("Décisions à prendre"),
    "partners": N_("Partenaires"),
    "ahead": N_("Ce qui peut empirer"),
}


class DocumentScreens(PlanningScreens):
    """Contexts of document pages, for readers of the logbook."""

    async def sitrep(self, request: Request, number: str | None = None) -> dict[str, Any]:
        """Build `sitrep.html`: the present draft or a frozen report. Raises NotFound."""
        shell = await build_shell(
            request, self._queries, require_reader(request, Permission.LOG_READ), "sitrep"
        )
        realm, lang = shell.realm.name, shell.lang
        issued = (await self._queries.sitreps(realm, lang=lang)).items
        row, proof, due = None, "", None
        if number is None:
            document = await self._queries.draft_sitrep(realm, langs=(lang,))
            asked = (
                await self._queries.tasks(
                    realm, lang=lang, kind="sitrep", state=(TaskState.OPEN, TaskState.TAKEN)
                )
            ).items
            due = asked[0].due_at if asked else issued[0].next_at if issued else None
        else:
            if not number.isdecimal() or len(number) > MAX_NUMBER_LENGTH:
                raise NotFound
            kept, document = await self._queries.sitrep(realm, int(number))
            row = next(s for s in issued if s.number == kept.number)
            proof = write_stamp(kept, lang)
        typesetter: Typesetter = request.app.state.typesetter
        _ = get_translator(lang)
        return {
            **build_frame_context(request, shell),
            "document": document,
            "sheet": document.sheet(lang),
            "drawing": Markup(typesetter.map_svg(document)),  # noqa: S704  our own drawing
            "row": row,
            "stamp": proof,
            "issued": issued[:ISSUED_SHOWN],
            "due": due,
            "href": make_source_link(shell),
            "api": make_api_link(shell, f"/api/v1/sitreps/{number or 'draft'}"),
            "remarks": [(id, _(REMARK_LABELS[id])) for id in REMARK_SECTIONS],
        }

    async def logbook(self, request: Request) -> dict[str, Any]:
        """Build `logbook.html`: the logbook, newest first.

        It begins at a cited line (`ligne`) or after a page's end (`suite`). Raises NotFound.
        """
        shell = await build_shell(
            request, self._queries, require_reader(request, Permission.LOG_READ), "logbook"
        )
        realm, lang, asked = shell.realm.name, shell.lang, request.query_params
        kind = asked.get("genre") if asked.get("genre") in (*KIND_LABELS, "all") else None
        incident = asked.get("incident") or None
        cited = await self._key_of(realm, asked.get("ligne"))
        cursor = asked.get("suite") or logbook.build_cursor(cited)
        if incident is not None:
            await self._queries.incident(realm, incident, lang=lang)
        found, notes, reference = await asyncio.gather(
            self._queries.timeline(
                realm,
                lang=lang,
                incident=incident,
                kind=("all",) if cited else (kind,) if kind else (),
                texts=True,
                limit=logbook.LINES_SHOWN,
                cursor=cursor,
            ),
            self._queries.timeline(
                realm, lang=lang, kind=("note",), texts=True, limit=NOTES_SCANNED
            ),
            self._queries.reference(realm),
        )
        _ = get_translator(lang)
        shown = found.items if kind or cited else logbook.remove_early_alarms(found.items)
        return {
            **build_frame_context(request, shell),
            "lines": logbook.build_rows(shown, notes.items, reference.names, _),
            "early": len(found.items) - len(shown),
            "next": found.next,
            "kinds": KIND_LABELS,
            "kind": kind,
            "cited": cited,
            "incident_id": incident,
            "incidents": shell.overview.incidents,
            "written": logbook.WRITABLE_KINDS,
            "sources": {code: w.translate_code(world.SOURCE, code, _) for code in world.SOURCE},
            "certainties": ("confirmed", "unconfirmed", "rumour"),
            "newest": cursor is None,
        }

    async def _key_of(self, realm: str, line: str | None) -> str | None:
        """Return the key of a line, given its key or its id (corrections cite ids).

        Raises NotFound if no recent line has that id.
        """
        if not line or logbook.build_cursor(line) is not None:
            return line
        newest = (await self._queries.timeline(realm, kind=("all",), limit=LINE_LIMIT)).items
        found = next((one for one in newest if one.id == line), None)
        if found is None:
            raise NotFound
        return logbook.get_line_key(found)

    async def retex(self, request: Request) -> dict[str, Any]:
        """Build `retex.html`: lessons learned of one incident (`incident`) or the whole realm."""
        shell = await build_shell(
            request, self._queries, require_reader(request, Permission.LOG_READ), "retex"
        )
        realm, lang = shell.realm.name, shell.lang
        incident = request.query_params.get("incident") or None
        document, actions, incidents, reference = await asyncio.gather(
            self._queries.draft_retex(realm, incident=incident, langs=(lang,)),
            self._queries.improvements(realm, lang=lang),
            self._queries.incidents(realm, lang=lang, limit=INCIDENTS_LISTED),
            self._queries.reference(realm),
        )
        _, names = get_translator(lang), reference.names
        return {
            **build_frame_context(request, shell),
            "document": document,
            "sheet": document.sheet(lang),
            "href": make_source_link(shell),
            "incident_id": incident,
            "incidents": [i for i in incidents.items if i.merged_into is None],
            "api": make_api_link(shell, "/api/v1/retex", incident=incident),
            "actions": [
                i for i in actions.items if i.state == "open" and incident in (None, i.incident)
            ],
            "owners": {code: w.name_role(code, None, names, _) for code in names.roles},
            "owner": lambda action: w.name_role(action.owner, None, names, _),
        }


def make_source_link(shell: ScreenShell) -> Callable[[CitedSource], str]:
    """Return a function that links a cited line of the logbook."""
    return lambda source: shell.url("/main-courante", ligne=source.key) + "#l-" + source.key


def make_api_link(shell: ScreenShell, path: str, **more: str | None) -> Callable[..., str]:
    """Return a function that links a document in a given format, in this realm and at this time."""
    asked = {"realm": shell.realm.name} | (
        {"as_of": format_iso(shell.moment)} if shell.moment else {}
    )
    return lambda form: (
        f"{path}?{urlencode({**asked, **{k: v for k, v in more.items() if v is not None}, 'format': form})}"
    )
