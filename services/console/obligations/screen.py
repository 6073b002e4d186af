"""Page `/echeances`: the clocks of legal deadlines, with the draft of one. Rule D92."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas.crisis.obligations import LimitUnit, ObligationState
from services.console.http.problems import NotFound
from services.console.i18n import N_, Translator
from services.console.obligations.queries import DeclarationDraft, ObligationClock, ObligationRule
from services.console.read_model.queries import Queries
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.console.web import times
from services.console.web.screen_context import ScreenData, ScreenPage, list_reached_incidents
from services.runtime.identity.permissions import Permission

OVER_SHOWN: Final = 30
"""Ended clocks on the page; the CSV has all."""


@dataclass(frozen=True, slots=True)
class ClockView:
    """A clock on the page."""

    clock: ObligationClock
    role: str
    time_text: str
    """Time that is left or has passed, in words."""
    tone: str
    end_text: str
    """The end in words; empty for a clock that runs."""
    incident: str


def _build_view(
    one: ObligationClock,
    names: TerritoryNames,
    incidents: dict[str, str],
    now: datetime,
    _: Translator,
) -> ClockView:
    return ClockView(
        clock=one,
        role=w.name_role(one.role, None, names, _),
        time_text=describe_left(one, now, _),
        tone="over" if one.late else "soon" if one.near else "mute",
        end_text=_describe_end(one, now, names, _),
        incident=incidents.get(one.incident or "", ""),
    )


def describe_left(one: ObligationClock, now: datetime, _: Translator) -> str:
    """Return the time left before a limit, or since it passed, in words."""
    if one.due_at <= now:
        return _("dépassée depuis {span}", span=times.format_duration(now - one.due_at, _.lang))
    return _("reste {span}", span=times.format_duration(one.due_at - now, _.lang))


def _describe_end(one: ObligationClock, now: datetime, names: TerritoryNames, _: Translator) -> str:
    signature = one.done or one.dismissed
    if signature is None:
        return ""
    who = (
        w.name_person(signature.by, names, _)
        if signature.by in names.holders
        else w.name_role(signature.role, None, names, _)
    )
    if one.state is ObligationState.DISMISSED:
        return _("Sans objet, {at}, {who}", at=times.hm_dated(signature.at, now, _.lang), who=who)
    at = times.hm_dated(one.declared_at, now, _.lang)
    if one.late:
        return _("Déclarée après la limite, {at}, {who}", at=at, who=who)
    return _("Déclarée {at}, {who}", at=at, who=who)


def describe_limit(rule: ObligationRule, _: Translator) -> str:
    """Return the limit of an obligation in words."""
    n = rule.amount
    words = {
        LimitUnit.HOURS: _("{n} h", n=n),
        LimitUnit.DAYS: _.plural("{n} jour", "{n} jours", n),
        LimitUnit.WORKING_DAYS: _.plural("{n} jour ouvré", "{n} jours ouvrés", n),
        LimitUnit.MONTHS: _("{n} mois", n=n),
    }
    span = words[rule.unit]
    return _("sans délai, objectif {span}", span=span) if rule.without_delay else span


async def build_deadlines_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page: clocks, the obligations to start, the draft of one clock."""
    realm, lang, now = x.shell.realm.name, x.shell.lang, x.shell.now
    clock_page, rules = await asyncio.gather(x.queries.obligations(), x.queries.obligation_rules())
    open_incidents = x.shell.overview.incidents
    reached_incidents = await list_reached_incidents(x)
    titles = {i.id: f"{i.number} {i.title}" for i in open_incidents}
    views = [_build_view(one, x.names, titles, now, x._) for one in clock_page.items]
    running = [view for view in views if view.clock.state is ObligationState.RUNNING]
    over = [view for view in views if view.clock.state is not ObligationState.RUNNING]
    clock_id = x.request.query_params.get("projet")
    return {
        "running": running,
        "over": over[:OVER_SHOWN],
        "over_count": len(over),
        "late_count": sum(view.clock.late for view in running),
        "rules": [(rule, describe_limit(rule, x._)) for rule in rules],
        "incidents": [one for one in open_incidents if x.shell.reader.reaches(one)],
        "decides_about": lambda id: x.shell.reader.reaches_some(reached_incidents, id),
        "draft": await _find_draft(x.queries, realm, lang, clock_id),
        "may_decide": x.shell.reader.may(Permission.INCIDENT_DECIDE) and x.shell.moment is None,
    }


async def _find_draft(
    queries: Queries, realm: str, lang: str, clock_id: str | None
) -> DeclarationDraft | None:
    """Return the draft that the reader opened; None for an unknown clock."""
    if not clock_id:
        return None
    try:
        return await queries.of(realm, lang).declaration_draft(clock_id)
    except NotFound:
        return None


PAGE: Final = ScreenPage(
    "obligations",
    "/echeances",
    "obligations/screen.html",
    build_deadlines_page,
    N_("Échéances légales"),
    after="communication",
    needs=Permission.LOG_READ,
    is_cached=False,  # the time that is left changes without a fact on any log
)
