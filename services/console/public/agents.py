"""Build and render «Où je travaille demain ?»: site and job family, no account. Pure. Rule D97.

Only ordered reassignments, confirmed closures and activated plans count. No number of agents is
written. A group of fewer than three agents gets the answer of its whole site, so that nobody can
tell what happens to one person.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal

from pydantic import Field

from schemas.alerts import SiteRow
from schemas.base import Instant, Model
from schemas.continuity import PlanRow
from schemas.reassignment import ACTIVE_LINE_STATES, ReassignmentRow
from schemas.reference import SectionData, Site, Staffing
from schemas.words import ACTIVE_PLAN_STATES
from services.console.i18n import SOURCE, Translator, get_translator
from services.console.public.document import (
    PublicStatus,
    find_public_information,
    read_reachable_status,
)
from services.console.public.render import load_style, write_times
from services.console.texts.names import TerritoryNames, shorten_site_name
from services.console.web import times
from services.console.web.shell import DisplayChoice, render_html

SMALLEST_GROUP: Final = 3
"""Fewer agents than this are never told apart."""
SHELTERED_PUBLIC: Final = 3
"""`vulnerable_public` of sites that are not named as a place, such as homes of children."""
TELEWORK: Final = "telework"
ANSWER_MARK: Final = "<!--answer-->"
SITE_MARK: Final = "{{site}}"
METIER_MARK: Final = "{{metier}}"


class Destination(Model):
    """A place where agents of a group work instead; `place` is empty for work at home."""

    place: str
    minutes: int = Field(description="longest way there")
    starts_at: Instant | None
    is_barred: bool = Field(
        default=False,
        exclude_if=lambda is_barred: not is_barred,
        description="nobody goes there now: an order to leave or to shelter stands",
    )


class AgentsGroup(Model):
    """Agents of one job family at one site; at least three of them work elsewhere."""

    metier: str
    is_whole: bool = Field(description="all of them")
    has_small_places: bool = Field(description="some go to places that are not listed")
    destinations: tuple[Destination, ...]


class AgentsSite(Model):
    """A site at which something changes."""

    id: str
    status: PublicStatus | None
    plan_active: bool
    is_moved: bool = Field(description="at least three agents work elsewhere")
    is_barred: bool = Field(
        default=False,
        exclude_if=lambda is_barred: not is_barred,
        description="nobody comes now: an order stands, and no confirmed word closes the site",
    )
    shelters: bool = Field(
        default=False,
        exclude_if=lambda shelters: not shelters,
        description="people on site stay inside: an order to shelter stands there, or for its area",
    )
    groups: tuple[AgentsGroup, ...]


class Choice(Model):
    """A site or job family that may be chosen."""

    id: str
    name: str
    name_en: str


class AgentsDocument(Model):
    """Content of the page for agents. Only `as_of` and `next_at` are times of the publication."""

    format: Literal["vigie.public.agents.v1"] = "vigie.public.agents.v1"
    territory: str
    exercise: bool
    as_of: Instant = 0
    next_at: Instant | None = None
    phone: str | None = None
    sites: tuple[Choice, ...]
    metiers: tuple[Choice, ...]
    concerned: tuple[AgentsSite, ...]


def build_agents_document(
    names: TerritoryNames,
    sections: Sequence[SectionData],
    rows: Mapping[str, SiteRow],
    lines: Iterable[ReassignmentRow],
    plans: Iterable[PlanRow],
    barred_sites: Collection[str] = (),
    sheltering_sites: Collection[str] = (),
    **about: Any,
) -> AgentsDocument:
    """Build the document from ordered lines, confirmed closures and active plans.

    The document sends nobody to `barred_sites`, and nobody away from `sheltering_sites`.
    """
    staff: Counter[tuple[str, str]] = Counter()
    for section in sections:
        if isinstance(section, Staffing):
            for cell in section.cells:
                staff[cell.site, cell.metier] += cell.staff
    active_poles = {plan.pole for plan in plans if plan.pole and plan.state in ACTIVE_PLAN_STATES}
    lines_by_site: dict[str, list[ReassignmentRow]] = {}
    for line in lines:
        if line.state in ACTIVE_LINE_STATES:
            lines_by_site.setdefault(line.site, []).append(line)
    sites = sorted(names.sites.values(), key=lambda site: (site.commune_name, site.name))
    concerned = []
    for site in sites:
        one = _build_site(
            site,
            read_reachable_status(rows.get(site.id), site.id in barred_sites),
            site.pole in active_poles,
            lines_by_site.get(site.id, ()),
            staff,
            names,
            barred_sites,
            shelters=site.id in sheltering_sites,
        )
        if one.status is not PublicStatus.OPEN or one.plan_active or one.is_moved:
            concerned.append(one)
    return AgentsDocument(
        phone=find_public_information(sections).agents_phone,
        sites=tuple(_name_choice(site) for site in sites),
        metiers=tuple(
            Choice(id=one.id, name=one.name, name_en=one.name_en)
            for one in sorted(names.metiers.values(), key=lambda one: one.name)
        ),
        concerned=tuple(one for one in concerned if _is_told(one)),
        **about,
    )


def _is_told(site: AgentsSite) -> bool:
    """Return whether a site has something to tell; a state without a confirmed word has not."""
    is_stated = site.status in (PublicStatus.CLOSED, PublicStatus.DEGRADED)
    return is_stated or site.plan_active or site.is_moved or site.is_barred


def _name_choice(site: Site) -> Choice:
    name = f"{shorten_site_name(site.name)}, {site.commune_name}"
    return Choice(id=site.id, name=name, name_en=name)


def _build_site(
    site: Site,
    status: PublicStatus | None,
    plan_active: bool,
    lines: Sequence[ReassignmentRow],
    staff: Mapping[tuple[str, str], int],
    names: TerritoryNames,
    barred_sites: Collection[str],
    *,
    shelters: bool,
) -> AgentsSite:
    lines = [line for line in lines if line.place != site.id]
    by_metier: dict[str, list[ReassignmentRow]] = {}
    for line in lines:
        by_metier.setdefault(line.metier, []).append(line)
    groups = []
    for metier, own_lines in sorted(by_metier.items()):
        moved, present = sum(line.count for line in own_lines), staff.get((site.id, metier), 0)
        if moved >= SMALLEST_GROUP and present >= SMALLEST_GROUP:
            hides_places = site.vulnerable_public >= SHELTERED_PUBLIC
            destinations = (
                () if hides_places else _list_destinations(own_lines, names, barred_sites)
            )
            places = {line.place for line in own_lines}
            groups.append(
                AgentsGroup(
                    metier=metier,
                    is_whole=moved >= present,
                    has_small_places=len(destinations) < len(places),
                    destinations=destinations,
                )
            )
    return AgentsSite(
        id=site.id,
        status=status,
        plan_active=plan_active,
        is_moved=sum(line.count for line in lines) >= SMALLEST_GROUP,
        is_barred=status is None and site.id in barred_sites,
        shelters=shelters,
        groups=tuple(groups),
    )


def _list_destinations(
    lines: Sequence[ReassignmentRow], names: TerritoryNames, barred_sites: Collection[str]
) -> tuple[Destination, ...]:
    """Return the places to which at least three agents of a group go."""
    by_place: dict[str, list[ReassignmentRow]] = {}
    for line in lines:
        by_place.setdefault(line.place, []).append(line)
    destinations = []
    for place, own_lines in sorted(by_place.items()):
        host = names.sites.get(place)
        is_sheltered = host is not None and host.vulnerable_public >= SHELTERED_PUBLIC
        if is_sheltered or sum(line.count for line in own_lines) < SMALLEST_GROUP:
            continue
        starts = [line.starts_at for line in own_lines if line.starts_at is not None]
        is_home = place == TELEWORK
        destinations.append(
            Destination(
                place="" if is_home else _name_place(place, names),
                minutes=0 if is_home else max(line.minutes for line in own_lines),
                starts_at=min(starts, default=None),
                is_barred=place in barred_sites,
            )
        )
    return tuple(destinations)


def _name_place(site: str, names: TerritoryNames) -> str:
    commune = names.sites[site].commune_name if site in names.sites else ""
    return f"{names.site(site)}, {commune}"


def lets_agents_leave_shelter(
    published: AgentsDocument, sheltering_sites: AbstractSet[str]
) -> bool:
    """Tell whether a published page sends agents away from a site that nobody leaves."""
    return any(
        one.groups and not one.shelters for one in published.concerned if one.id in sheltering_sites
    )


def sends_to_barred_site(
    published: AgentsDocument, barred_sites: AbstractSet[str], names: TerritoryNames
) -> bool:
    """Tell whether a published page lets agents go to a site that nobody is sent to."""
    barred_places = {_name_place(site, names) for site in barred_sites}
    stopped_sites = {
        one.id for one in published.concerned if one.is_barred or one.status is PublicStatus.CLOSED
    }
    destinations = [
        place for one in published.concerned for group in one.groups for place in group.destinations
    ]
    return not stopped_sites.issuperset(barred_sites & names.sites.keys()) or any(
        place.place in barred_places and not place.is_barred for place in destinations
    )


def list_changed_sites(published: AgentsDocument | None, present: AgentsDocument) -> list[str]:
    """Return the sites with another answer than the published one."""
    before = {one.id: one for one in published.concerned} if published is not None else {}
    now = {one.id: one for one in present.concerned}
    return [choice.id for choice in present.sites if before.get(choice.id) != now.get(choice.id)]


# rendering


def render_agents_page(document: AgentsDocument, lang: str) -> str:
    """Render the page with its form; the front puts an answer at `ANSWER_MARK`."""
    _ = get_translator(lang)
    title = _("Où je travaille demain ?")
    context = {
        "style": load_style()[0],
        "document": document,
        "title": f"{_('EXERCICE')} – {title}" if document.exercise else title,
        "heading": title,
        "times_told": write_times(document.as_of, document.next_at, _),
        "other_lang": "en" if lang == SOURCE else SOURCE,
        "sites": [(one.id, _name(one, _)) for one in document.sites],
        "metiers": [(one.id, _name(one, _)) for one in document.metiers],
        "mark": ANSWER_MARK,
    }
    return render_html("public/agents.html", context, DisplayChoice(lang, None)).decode()


def _name(choice: Choice, _: Translator) -> str:
    return choice.name if _.lang == SOURCE else choice.name_en


def render_answers(document: AgentsDocument, lang: str) -> dict[str, str]:
    """Render the answer of each group as `site|metier`, of each site as `site|`, of others as `|`.

    Site and job family stand as marks; the front writes the chosen ones there.
    """
    _ = get_translator(lang)
    answers = {"|": _render_answer(document, None, None, _)}
    for site in document.concerned:
        answers[f"{site.id}|"] = _render_answer(document, site, None, _)
        for group in site.groups:
            answers[f"{site.id}|{group.metier}"] = _render_answer(document, site, group, _)
    return answers


def render_answered_page(document: AgentsDocument, lang: str, site: str, metier: str) -> str:
    """Render the page with the answer for this site and job family; an unknown one has none."""
    _ = get_translator(lang)
    names = {one.id: _name(one, _) for one in (*document.sites, *document.metiers)}
    answer = ""
    if site in names and metier in names:
        own = next((one for one in document.concerned if one.id == site), None)
        groups = own.groups if own is not None else ()
        group = next((one for one in groups if one.metier == metier), None)
        answer = _render_answer(document, own, group, _, names[site], names[metier])
    return render_agents_page(document, lang).replace(ANSWER_MARK, answer)


def _render_answer(
    document: AgentsDocument,
    site: AgentsSite | None,
    group: AgentsGroup | None,
    _: Translator,
    site_name: str = SITE_MARK,
    metier_name: str = METIER_MARK,
) -> str:
    context = {
        "site": site,
        "verdict": _write_verdict(site, group, _),
        "destinations": [_write_destination(one, document, _) for one in group.destinations]
        if group is not None
        else [],
        "has_small_places": group is not None and group.has_small_places,
        "has_others": group is not None
        and not group.is_whole
        and (site is None or site.status is not PublicStatus.CLOSED),
        "phone": document.phone,
        "site_name": site_name,
        "metier_name": metier_name,
    }
    return render_html("public/answer.html", context, DisplayChoice(_.lang, None)).decode()


def _write_verdict(site: AgentsSite | None, group: AgentsGroup | None, _: Translator) -> str:
    if site is None:
        return _("Rien n’est annoncé pour vous : travaillez à votre place habituelle.")
    if group is None and site.is_barred:
        return _("N’allez pas à votre site. Attendez l’appel de votre responsable de site.")
    if group is None:
        return (
            _("Votre site est fermé. Attendez l’appel de votre responsable de site.")
            if site.status is PublicStatus.CLOSED and not site.is_moved
            else _("Votre site est concerné. Votre responsable de site vous dira si vous l’êtes.")
        )
    return (
        _("Vous êtes concerné : vous travaillez ailleurs.")
        if group.is_whole
        else _("Une partie des agents est concernée. Votre responsable dira si vous l’êtes.")
    )


def _write_destination(one: Destination, document: AgentsDocument, _: Translator) -> list[str]:
    """Write where, from when, and how long the way takes."""
    where = _("Lieu : {place}.", place=one.place) if one.place else _("Lieu : à domicile.")
    if one.is_barred:
        return [where, _("N’y allez pas. Attendez l’appel de votre responsable de site.")]
    start = _("À partir de : dès maintenant.")
    if one.starts_at is not None and one.starts_at > document.as_of:
        moment = times.of(one.starts_at)
        day = times.day_long(moment, _.lang)
        start = _("À partir du {day} à {at}.", day=day, at=times.hm(moment))
    way = [_("Trajet : environ {n} min.", n=one.minutes)] if one.minutes else []
    return [where, start, *way]
