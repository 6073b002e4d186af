"""Page `/signaler`: the form to report, also reached from a poster without a login.

It has six fields and big targets, and sends one report per site and kind of trouble. Rules D1, D2.
"""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request

from schemas.catalogue.event_types import EVENT_TYPES, PERSON_IN_DANGER, may_endanger_people
from schemas.words import EventType
from services.console.i18n import N_, Translator, get_translator
from services.console.read_model.queries import Queries
from services.console.texts import words as w
from services.console.texts.names import shorten_site_name
from services.console.web.access import PosterSite, build_shell, find_poster_site, require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import find_unknown_value, list_site_choices
from services.console.web.shell import DisplayChoice
from services.runtime.identity.permissions import Permission
from services.runtime.process.cluster import read_majority


@dataclass(frozen=True, slots=True)
class Trouble:
    """One button of the form: see `ReportButton`."""

    key: str
    label: str
    type: str
    path: str
    named: bool
    asks: bool


TROUBLES: Final = tuple(
    Trouble(button.key, button.label.fr, row.type.value, button.path, button.named, button.asks)
    for row in EVENT_TYPES.values()
    for button in row.buttons
)


@dataclass(frozen=True, slots=True)
class OperatingState:
    """An answer to the question whether the site can go on.

    The share lost stays open if the site answers « en partie » and power depends on the generator.
    """

    key: str
    label: str
    severity: int
    lost: int


OPERATING_STATES: Final = (
    OperatingState("yes", N_("Oui"), 2, 0),
    OperatingState("part", N_("En partie"), 3, 50),
    OperatingState("no", N_("Non, fermé"), 4, 100),
)
STILL_OPEN: Final = "dire"
"""Value of a link to the form that leaves open whether the site can go on."""
LINK_CHOICES: Final = ("site", "quoi", "va", "fini")
"""Parameters of a link to the form.

A browser without a network may show the form of another link: it compares these values with its
own address.
"""


async def build_report_form(queries: Queries, request: Request) -> dict[str, Any]:
    """Build `report.html`; with a poster's key it is for one site and needs no login."""
    choice = DisplayChoice.of(request)
    if (poster := await find_poster_site(request)) is not None:
        return await _build_poster_form(queries, request, poster, choice)
    reader = require_reader(request, Permission.REPORT_POST)
    shell = await build_shell(request, queries, reader, "report")
    sites = (await queries.of(shell.realm.name, choice.lang).sites()).items
    mine = reader.principal.scope.sites
    site_choices = [
        {"id": id, "label": label}
        for id, label in list_site_choices(s for s in sites if not mine or s.id in mine)
    ]
    chosen_site = next(
        (s for s in site_choices if s["id"] == request.query_params.get("site")),
        site_choices[0] if len(site_choices) == 1 else None,
    )
    missing, _ = (
        find_unknown_value(request, "site", (s["id"] for s in site_choices)),
        get_translator(choice.lang),
    )
    return {
        "not_there": missing
        and _(
            "Le site « {id} » n’est pas de ceux pour lesquels vous signalez : choisissez-en un.",
            id=missing,
        ),
        "realm": shell.realm.name,
        "realm_title": shell.realm.title_code,
        "is_named": "site" in request.query_params,
        "cut_off": list_other_fronts(request),
        "needs_realm": shell.needs_realm,
        "simulated": shell.realm.simulated,
        "live_realm": shell.live.realm.name if shell.live else "",
        "now": shell.now,
        "sites": site_choices,
        "site": chosen_site,
        "site_label": chosen_site["label"] if chosen_site else "",
        "troubles": TROUBLES,
        "goings": OPERATING_STATES,
        "danger_severity": PERSON_IN_DANGER,
        "token": "",
        "account": reader.principal.id,
        "relays": reader.may(Permission.REPORT_RELAY),
        "asked": format_link_choices(request),
        "chosen": parse_chosen_trouble(request),
        "over": parse_ended_cause(request, get_translator(choice.lang)),
    }


async def _build_poster_form(
    queries: Queries, request: Request, poster: PosterSite, choice: DisplayChoice
) -> dict[str, Any]:
    """Build the report form of a poster: it shows the name of its site and nothing else."""
    site = await queries.of(poster.realm, choice.lang).site(poster.site)
    one = {"id": site.id, "label": f"{shorten_site_name(site.name)}, {site.commune_name}"}
    return {
        "not_there": "",
        "realm": poster.realm,
        "realm_title": "",
        "is_named": True,
        "cut_off": list_other_fronts(request),
        "needs_realm": False,
        "simulated": False,
        "live_realm": "",
        "sites": [one],
        "site": one,
        "site_label": one["label"],
        "troubles": TROUBLES,
        "goings": OPERATING_STATES,
        "danger_severity": PERSON_IN_DANGER,
        "token": request.query_params["token"],
        "account": "",
        "relays": False,
        "asked": format_link_choices(request),
        "chosen": {},
    }


def format_link_choices(request: Request) -> str:
    """Return the choices of the link to the form, as a query in fixed order."""
    choices = ((name, request.query_params.get(name)) for name in LINK_CHOICES)
    return urlencode([(name, value) for name, value in choices if value is not None])


def list_other_fronts(request: Request) -> dict[str, str] | None:
    """Return front → this form there if this machine is cut off from the others, else None."""
    state = read_majority(request.app.state.majority)
    if state is None or state.has_majority:
        return None
    query = f"?{request.url.query}" if request.url.query else ""
    return {front: f"{front}/signaler{query}" for front in state.fronts}


def parse_chosen_trouble(request: Request) -> dict[str, str]:
    """Return the choices that a link to the report form has already made (`quoi`, `va`).

    With `va`, the form assumes no danger unless the sender reports it; never for a trouble that is
    a danger itself. `va=dire` leaves open whether the site can go on.
    """
    what, going = (request.query_params.get(name) for name in ("quoi", "va"))
    trouble = next((t for t in TROUBLES if what == t.key or (what == t.type and not t.named)), None)
    if trouble is None:
        return {}
    choices = {"trouble": trouble.key}
    states = {g.key for g in OPERATING_STATES}
    if going in states:
        choices["going"] = str(going)
    if going in states | {STILL_OPEN} and not may_endanger_people(EventType(trouble.type)):
        choices["danger"] = "no"
    return choices


@dataclass(frozen=True, slots=True)
class EndedCause:
    type: str
    what: str
    """The cause in words."""


def parse_ended_cause(request: Request, _: Translator) -> EndedCause | None:
    """Return the cause that a link to the report form marks as over (`fini`, a type)."""
    type = request.query_params.get("fini", "")
    return EndedCause(type, w.translate_code(w.CAUSE, type, _)) if type in w.CAUSE else None


PAGE: Final = WebPage(
    "report",
    "/signaler",
    "report.html",
    build_report_form,
    N_("Signaler"),
    needs=Permission.REPORT_POST,
    personal=True,  # a report that waits on a phone belongs to its account
)
