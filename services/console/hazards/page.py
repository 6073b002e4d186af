"""Words of hazard clocks on the cell page, the pages of plans and sites, and the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.console.hazards.resources import Hazard, HazardClosure, HazardSite
from services.console.i18n import N_, Translator
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames, shorten_site_name
from services.console.web import times

HAZARDS: Final = {
    "flood": N_("Crue"),
    "power": N_("Coupure d’électricité annoncée"),
    "heat": N_("Canicule"),
    "snow": N_("Neige et verglas"),
}
ARRIVALS: Final = {
    "flood": N_("eau"),
    "power": N_("coupure"),
    "heat": N_("chaleur"),
    "snow": N_("neige"),
}
SOURCES: Final = {
    "forecast": N_("d’après la prévision de Vigicrues"),
    "trend": N_("d’après la tendance des relevés"),
    "announced": N_("d’après l’annonce"),
}
CELL_SITES: Final = 4
PLAN_SITES: Final = 40
NAMED_SITES: Final = 3
_HOUR_MIN: Final = 60


@dataclass(frozen=True, slots=True)
class HazardSiteLine:
    """One site as displayed."""

    site: str
    name: str
    commune: str
    state: str
    hour: str
    """`03:40 ± 2 h`, `possible dès 03:40`, `atteint depuis 03:40`."""
    activities: str
    before: str
    """Actions before the hour: prepare, close, move, keys."""


@dataclass(frozen=True, slots=True)
class HazardView:
    """One hazard as displayed."""

    hazard: str
    title: str
    plan: str | None
    plan_title: str
    lead: str
    """Level, course and source in one sentence."""
    closures: list[str]
    lines: list[HazardSiteLine]
    more: int
    steps: list[str]
    cards: list[str]


def write_hour(site: HazardSite, now: datetime, _: Translator) -> str:
    """Write the hour of a site with its margin."""
    early = times.hm_dated(site.earliest, now, _.lang)
    if site.state == "reached":
        return _("atteint depuis {at}", at=early)
    if site.at is None:
        return _("possible dès {at}", at=early)
    hour = times.hm_dated(site.at, now, _.lang)
    if site.margin_min is None:
        end = f"–{times.hm_dated(site.until, now, _.lang)}" if site.until else ""
        unsure = _(" (à confirmer)") if site.state == "possible" else ""
        return f"{hour}{end}{unsure}"
    return _("{at} ± {margin}", at=hour, margin=write_margin(site.margin_min, _))


def write_margin(minutes: int, _: Translator) -> str:
    """Write a margin in whole hours, under an hour in tens of minutes."""
    if minutes < _HOUR_MIN:
        return _("{n} min", n=max(10, -(-minutes // 10) * 10))
    return _("{n} h", n=-(-minutes // _HOUR_MIN))


def write_closure(
    closure: HazardClosure, names: TerritoryNames, now: datetime, _: Translator
) -> str:
    """Write the number of sites to close, the deadline, and their names."""
    site_names = [shorten_site_name(names.site(id)) for id in closure.sites[:NAMED_SITES]]
    more = len(closure.sites) - len(site_names)
    site_list = ", ".join(site_names) + (
        _.plural(" et {n} autre", " et {n} autres", more) if more else ""
    )
    count = len(closure.sites)
    if closure.by <= now:
        text = _.plural("fermer {n} site maintenant", "fermer {n} sites maintenant", count)
    else:
        at = times.hm_dated(closure.by, now, _.lang)
        text = _.plural("fermer {n} site avant {at}", "fermer {n} sites avant {at}", count, at=at)
    return _("{what} : {where}", what=text, where=site_list)


def build_hazard_views(
    hazards: Sequence[Hazard],
    names: TerritoryNames,
    now: datetime,
    _: Translator,
    *,
    limit: int | None = None,
) -> list[HazardView]:
    """Return the hazards as displayed; sites that are reached come after those ahead."""
    return [_build_view(one, names, now, _, limit) for one in hazards]


def _build_view(
    one: Hazard, names: TerritoryNames, now: datetime, _: Translator, limit: int | None
) -> HazardView:
    visible_sites = one.sites if limit is None else one.sites[:limit]
    return HazardView(
        hazard=one.hazard,
        title=_(HAZARDS[one.hazard]),
        plan=one.plan,
        plan_title=names.plan(one.plan) if one.plan else "",
        lead=write_lead(one, now, _),
        closures=[write_closure(group, names, now, _) for group in one.closures],
        lines=[build_site_line(one.hazard, site, names, now, _) for site in visible_sites],
        more=len(one.sites) - len(visible_sites),
        steps=[
            _(
                "{level} m, {hour} : {what}",
                level=w.format_metres(step.level_m, _.lang),
                hour=_write_step_hour(step.state, step.at, step.margin_min, now, _),
                what=step.text,
            )
            for step in one.steps
        ],
        cards=[f"{card.task} ({w.name_role(card.role, None, names, _)})" for card in one.cards],
    )


def _write_step_hour(
    state: str, at: datetime | None, margin_min: int | None, now: datetime, _: Translator
) -> str:
    if at is None:
        return _("possible")
    hour = times.hm_dated(at, now, _.lang)
    if state == "reached" or margin_min is None:
        return _("depuis {at}", at=hour)
    return _("{at} ± {margin}", at=hour, margin=write_margin(margin_min, _))


def write_lead(one: Hazard, now: datetime, _: Translator) -> str:
    """Write the level and the course of a hazard in one sentence."""
    source = _(SOURCES[one.source])
    ahead = sum(site.state == "expected" for site in one.sites)
    maybe = sum(site.state == "possible" for site in one.sites)
    reached = sum(site.state == "reached" for site in one.sites)
    parts = []
    if one.level_m is not None and one.peak_m is not None and one.peak_at is not None:
        parts.append(
            _(
                "{level} m maintenant, {peak} m attendus {at} {source}",
                level=w.format_metres(one.level_m, _.lang),
                peak=w.format_metres(one.peak_m, _.lang),
                at=times.hm_dated(one.peak_at, now, _.lang),
                source=source,
            )
        )
    elif one.windows:
        first = one.windows[0]
        hours = times.hm_dated(first.start, now, _.lang)
        if first.to is not None:
            hours += f"–{times.hm_dated(first.to, now, _.lang)}"
        parts.append(f"{hours} {source}")
    if reached:
        parts.append(_.plural("{n} site atteint", "{n} sites atteints", reached))
    if ahead:
        parts.append(_.plural("{n} site attendu", "{n} sites attendus", ahead))
    if maybe:
        parts.append(_.plural("{n} site possible", "{n} sites possibles", maybe))
    if one.dry_sites:
        parts.append(
            _.plural(
                "{n} site exposé que l’eau n’atteint pas",
                "{n} sites exposés que l’eau n’atteint pas",
                one.dry_sites,
            )
        )
    return ", ".join(parts)


def build_site_line(
    hazard: str, site: HazardSite, names: TerritoryNames, now: datetime, _: Translator
) -> HazardSiteLine:
    """Return one site as displayed."""
    return HazardSiteLine(
        site=site.site,
        name=shorten_site_name(site.name),
        commune=site.commune,
        state=site.state,
        hour=f"{_(ARRIVALS[hazard])} {write_hour(site, now, _)}",
        activities=", ".join(
            f"{names.activity_short(one.id, _.lang)} ({one.id})" for one in site.activities[:2]
        ),
        before=write_before(site, names, now, _),
    )


def write_before(site: HazardSite, names: TerritoryNames, now: datetime, _: Translator) -> str:
    """Write the work at a site before the hour."""
    if site.state == "reached":
        return ""
    parts = []
    if site.prepare_by is not None:
        parts.append(
            _("préparer maintenant")
            if site.prepare_by <= now
            else _("préparer avant {at}", at=times.hm_dated(site.prepare_by, now, _.lang))
        )
    if site.closed:
        parts.append(_("déjà fermé"))
    elif site.close_by is not None:
        parts.append(
            _("fermer maintenant")
            if site.close_by <= now
            else _("fermer avant {at}", at=times.hm_dated(site.close_by, now, _.lang))
        )
    if site.refuge is not None and site.threshold_m is not None:
        parts.append(_("repli possible : {site}", site=shorten_site_name(names.site(site.refuge))))
    if not site.closed:
        parts.append(_("clés : {who}", who=w.name_role(site.keys, None, names, _).lower()))
    return _("\u00a0; ").join(parts)


def find_site_lines(
    hazards: Sequence[Hazard], id: str, names: TerritoryNames, now: datetime, _: Translator
) -> list[HazardSiteLine]:
    """Return the lines of one site, one per hazard."""
    return [
        build_site_line(one.hazard, site, names, now, _)
        for one in hazards
        for site in one.sites
        if site.site == id
    ]


def write_sitrep_lines(
    hazards: Sequence[Hazard], names: TerritoryNames, now: datetime, _: Translator
) -> list[tuple[str, tuple[str, ...]]]:
    """Return the lines of a situation report, each with the subjects that it is about."""
    sitrep_lines: list[tuple[str, tuple[str, ...]]] = []
    for one in hazards:
        about = (f"plan:{one.plan}",) if one.plan else ()
        sitrep_lines.append(
            (
                _("{what} : {where}", what=_(HAZARDS[one.hazard]), where=write_lead(one, now, _))
                + ".",
                about,
            )
        )
        ahead = [site for site in one.sites if site.state != "reached"]
        for site in ahead[:NAMED_SITES]:
            hour = f"{_(ARRIVALS[one.hazard])} {write_hour(site, now, _)}"
            name = f"{shorten_site_name(site.name)} ({site.commune})"
            sitrep_lines.append(
                (_("{hour}, {site}.", hour=hour, site=name), (f"site:{site.site}",))
            )
        for closure in one.closures:
            text = write_closure(closure, names, now, _)
            sitrep_lines.append((text[:1].upper() + text[1:] + ".", about))
    return sitrep_lines
