"""Page `/annuaire`: roles with their holders, and partners. Rule D89."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from fastapi import Request

from schemas.reference_changes import RecordKind
from services.console.directory.numbers import read_partner_numbers, read_person
from services.console.directory.page import build_directory_view
from services.console.directory.view import (
    build_reaching_points,
    list_contacts,
    list_partners,
    list_role_holders,
)
from services.console.http.problems import NotFound
from services.console.i18n import N_
from services.console.read_model.queries import Queries
from services.console.reference.record_names import build_form_address
from services.console.reference.record_rights import may_propose_record
from services.console.texts import words as w
from services.console.web import search
from services.console.web.access import require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import build_page_context, load_screen_data
from services.runtime.identity.permissions import Permission


async def build_directory_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build the values of the page.

    Numbers of one person are read, and the reading recorded, only for `?personne=`.
    """
    require_reader(request, Permission.LOG_READ)
    x = await load_screen_data(queries, request, PAGE.name)
    realm, lang = x.shell.realm.name, x.shell.lang
    asked = request.query_params.get("personne", "")
    shown = None
    if asked:
        reader = require_reader(request, Permission.DIRECTORY_READ)
        with suppress(NotFound):
            shown = await read_person(request, queries, reader.principal, realm, asked, lang)
    schedule, at = await x.queries.desk()
    numbers = read_partner_numbers(request, list_contacts(x.reference))
    partners = list_partners(x.reference, numbers, at, x._)
    q = request.query_params.get("q", "").strip()[: search.MAX_QUERY_LENGTH]
    domain = request.query_params.get("domaine", "")[: search.MAX_QUERY_LENGTH]
    items = list_role_holders(schedule, at)
    return {
        **build_page_context(request, x),
        "q": q,
        "domain": domain,
        "cell": build_reaching_points(x.reference.said),
        "view": build_directory_view(items, partners, x.reference.poles, x.sites, q, domain),
        "shown": shown,
        "unknown": bool(asked) and shown is None,
        "role_name": lambda row: w.name_role(row.role, row.scope, x.names, x._),
        "plan_name": x.names.plan,
        "may_propose": may_propose_record(x.shell, None),
        "edit_contact": lambda contact: build_form_address(RecordKind.CONTACT, contact),
    }


PAGE: Final = WebPage(
    "directory",
    "/annuaire",
    "directory/screen.html",
    build_directory_page,
    N_("Annuaire"),
    after="calls",
    needs=Permission.LOG_READ,
    cached=False,  # it may show numbers, and such a reading is recorded
)
