"""Build the screen of the crisis cell: one list, « à traiter d’abord », and its map."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Final, Literal
from unicodedata import combining, normalize

from schemas.alerts import list_asked_reports
from schemas.catalogue.event_types import endangers_people
from schemas.words import SiteStatus, TaskState
from services.console.continuity.clocks import RunningClock
from services.console.i18n import N_, Translator, get_translator
from services.console.resources import Incident, Report, Site, Task
from services.console.sites.map import WORST_FIRST
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames, shorten_site_name
from services.console.web import times

CellViewName = Literal["a-traiter", "incidents", "sans-nouvelles", "taches"]
VIEWS: Final[dict[CellViewName, str]] = {
    "a-traiter": N_("À traiter"),
    "incidents": N_("Incidents"),
    "sans-nouvelles": N_("Sans nouvelles"),
    "taches": N_("Tâches"),
}
Layout = Literal["tableau", "carte", "deux"]
LAYOUTS: Final[dict[Layout, str]] = {
    "tableau": N_("Tableau"),
    "carte": N_("Carte"),
    "deux": N_("Les deux"),
}
Sort = Literal["ordre", "site", "depuis", "perdu"]
SORTS: Final = ("ordre", "site", "depuis", "perdu")
SOON_SPAN: Final = timedelta(hours=1)
_SAFETY_STATUSES: Final = (SiteStatus.EVACUATED, SiteStatus.SHELTERING)
LEGEND_ORDER: Final = (
    SiteStatus.EVACUATED,
    SiteStatus.SHELTERING,
    SiteStatus.CLOSED,
    SiteStatus.DEGRADED,
    SiteStatus.UNKNOWN,
    SiteStatus.NORMAL,
)
"""Statuses as legends and tables list them: damaged sites before those without news."""


@dataclass(frozen=True, slots=True)
class SiteDeadline:
    """The nearest deadline of a site."""

    activity: str
    title: str
    """Short name of the activity."""
    at: datetime
    over: bool


@dataclass(frozen=True, slots=True)
class SiteLine:
    id: str
    name: str
    commune: str
    status: SiteStatus
    why: str
    since: datetime | None
    lost: str
    limit: SiteDeadline | None
    sources: int
    haystack: str
    danger: bool
    """People may be in danger there."""
    vulnerable: int = 0
    """Degree to which vulnerable people depend on it. Rule D82."""
    counting: bool = False
    """People of an evacuated site are not all accounted for (D79)."""
    missing: int = 0
    """So many people the newest headcount has not found."""


@dataclass(frozen=True, slots=True)
class SiteGroup:
    key: str
    title: str
    lines: list[SiteLine]


def fold_text(text: str) -> str:
    """Normalize for search: lower case, no accents, no ligatures, plain apostrophes."""
    plain = text.replace("’", "'").lower().replace("œ", "oe").replace("æ", "ae")
    return "".join(c for c in normalize("NFKD", plain) if not combining(c))


def find_site_deadlines(
    clocks: Iterable[RunningClock], paths: Mapping[str, str], now: datetime
) -> dict[str, SiteDeadline]:
    """Return the nearest deadline per site.

    It comes from its own clock, or from the territory's clock of the activity for which it costs
    most (`paths`).
    """
    site_deadlines: dict[str, SiteDeadline] = {}
    for clock in clocks:
        site = clock.site or paths.get(clock.activity)
        if site is None or clock.next_at is None:
            continue
        over = clock.rto_over or clock.next_at <= now
        limit = SiteDeadline(clock.activity, clock.title, clock.next_at, over)
        if site not in site_deadlines or limit.at < site_deadlines[site].at:
            site_deadlines[site] = limit
    return site_deadlines


def is_doubted(site: Site) -> bool:
    """Return whether a site is unknown because its only report is unconfirmed (rule D6).

    A silent site (rule D18) is not doubted.
    """
    return any(r.code == "unconfirmed" for r in site.why)


def is_dangerous(site: Site) -> bool:
    """Return whether people may be in danger at a site.

    Causes are an order to leave or to shelter, fire, gas, violence or sick people.
    """
    acting = (c for c in site.causes if not c.planned)
    return site.status in _SAFETY_STATUSES or any(
        endangers_people(c.type, c.severity) for c in acting
    )


def _describe_causes(site: Site, _: Translator) -> str:
    if site.status is SiteStatus.UNKNOWN:
        return _("non confirmé") if is_doubted(site) else _("silence")
    ordered_causes = sorted(site.causes, key=lambda c: (WORST_FIRST.index(c.effect), -c.loss_pct))
    causes = [w.translate_code(w.CAUSE, c.type, _) for c in ordered_causes if not c.planned]
    if any(site.is_on_generator(c) for c in site.causes):
        causes.append(_("groupe électrogène"))
    if any(c.contested for c in site.causes):
        causes.append(_("contesté"))
    if site.confinement == "counting":
        causes.insert(0, _describe_missing_people(site, _))
    return _("\u00a0; ").join(dict.fromkeys(causes))


def count_missing_people(site: Site) -> int:
    """Return how many people the newest headcount of a site has not found."""
    return 0 if site.headcount is None else max(0, site.headcount.expected - site.headcount.found)


def _describe_missing_people(site: Site, _: Translator) -> str:
    if site.headcount is None:
        return _("recensement attendu")
    if not site.headcount.found:
        return _("recensement\u00a0: 0 sur {n}", n=w.format_number(site.headcount.expected, _.lang))
    return _.plural(
        "{n} personne non retrouvée", "{n} personnes non retrouvées", count_missing_people(site)
    )


def build_site_line(site: Site, limit: SiteDeadline | None, _: Translator) -> SiteLine:
    """Build one row of the table."""
    unknown = site.status is SiteStatus.UNKNOWN
    name, why = shorten_site_name(site.name), _describe_causes(site, _)
    sources = {source for cause in site.causes for source in cause.sources}
    text = " ".join(
        (
            site.id,
            site.name,
            site.commune_name,
            why,
            f"{limit.activity} {limit.title}" if limit else "",
            _(w.SITE_STATUS[site.status]),
        )
    )
    lost_share = (
        "?" if unknown else f"{w.format_number(round(100 - site.capacity_pct), _.lang)}\u00a0%"
    )
    return SiteLine(
        site.id,
        name,
        site.commune_name,
        site.status,
        why,
        site.since,
        lost_share,
        limit,
        len(sources),
        fold_text(text),
        is_dangerous(site),
        site.vulnerable_public,
        site.confinement == "counting",
        count_missing_people(site),
    )


def _order_line(line: SiteLine) -> tuple[object, ...]:
    at = line.limit.at.timestamp() if line.limit else inf
    since = line.since.timestamp() if line.since else inf
    return (at, WORST_FIRST.index(line.status), -line.vulnerable, since, line.id)


def group_lines(lines: Sequence[SiteLine], now: datetime, _: Translator) -> list[SiteGroup]:
    """Order a row of «À traiter d’abord».

    Danger to people comes first, unaccounted people before the rest; then limits within the hour
    and silent sites.
    """
    danger, pressing, silent, rest = [], [], [], []
    for line in sorted(lines, key=_order_line):
        if line.danger:
            danger.append(line)
        elif line.limit is not None and line.limit.at - now < SOON_SPAN:
            pressing.append(line)
        elif line.status is SiteStatus.UNKNOWN:
            silent.append(line)
        else:
            rest.append(line)
    danger.sort(key=lambda line: (not line.counting, -line.missing))
    titled_groups = (
        ("danger", _("Danger pour des personnes"), danger),
        ("limite", _("Échéance dans moins d’une heure"), pressing),
        ("silence", _("Sans nouvelles : levée de doute"), silent),
        ("reste", _("Hors service ou dégradés, le reste"), rest),
    )
    return [
        SiteGroup(key, title, site_lines) for key, title, site_lines in titled_groups if site_lines
    ]


def sort_lines(lines: Sequence[SiteLine], sort: Sort, _: Translator) -> list[SiteGroup]:
    """Return one group in the order that the reader chose."""
    keys = {
        "site": lambda line: (fold_text(line.name), line.id),
        "depuis": lambda line: (line.since is None, line.since, line.id),
        "perdu": lambda line: (
            line.lost == "?",
            -int("".join(c for c in line.lost if c.isdigit()) or 0),
            line.id,
        ),
    }
    return [SiteGroup("tous", _("Tous"), sorted(lines, key=keys[sort]))] if lines else []


@dataclass(frozen=True, slots=True)
class PendingReport:
    """A report that a person has to verify or to link to a site."""

    task: str
    title: str
    late: bool
    url: str
    quoted_report: str | None = None
    """Report with words or a contact in the title: each reading is recorded. Rule D59."""


REPORT_TASKS: Final = ("verify_report", "link_site")
"""Kinds of tasks about one report."""
_TASK_PAGES: Final = {"reentry": "/activites", "improvement": "/retex"}
"""Kind of a task about something else than a report or a site → its page."""


def find_task_page(task: Task) -> str | None:
    """Return the path of the page about a task; None if it is about no place."""
    if task.kind in _TASK_PAGES:
        return _TASK_PAGES[task.kind]
    if task.report is not None:
        return f"/signalements/{task.report}"
    return None if task.site is None else f"/sites/{task.site}"


def list_pending_reports(
    tasks: Iterable[Task],
    reports: Mapping[str, Report],
    names: TerritoryNames,
    now: datetime,
    _: Translator,
) -> list[PendingReport]:
    """List the reports that wait for a person, danger to people first, with a title.

    For example `Vérifier : fuite de gaz (rumeur), Collège X, 5 signalements, avant 22:50`: the
    link is to the newest of them. A danger without a place has the words and the number of its
    sender, as far as the reader may read them.
    """
    pending_reports = []
    waiting = [
        t
        for t in tasks
        if t.kind in REPORT_TASKS
        and t.state in (TaskState.OPEN, TaskState.TAKEN)
        and t.report in reports
    ]

    def order(task: Task) -> tuple[bool, bool, datetime, str]:
        task_reports = [reports[id] for id in list_asked_reports(task) if id in reports]
        calm = not any(is_report_of_danger(report) for report in task_reports)
        return calm, task.due_at is None, task.due_at or task.opened_at, task.id

    for task in sorted(waiting, key=order):
        task_reports = [reports[id] for id in list_asked_reports(task) if id in reports]
        report = task_reports[-1]
        what = w.translate_code(w.EVENT, report.type, _).lower()
        if report.confirmation in ("rumour", "unconfirmed"):
            what = _(
                "{what} ({certainty})",
                what=what,
                certainty=_(w.CERTAINTY[report.confirmation]).lower(),
            )
        place = (
            shorten_site_name(names.site(task.site))
            if task.site
            else names.site(report.site or "") or names.commune(report.commune or "")
        )
        before = _("avant {at}", at=times.hm_dated(task.due_at, now, _.lang)) if task.due_at else ""
        task_title = _name_report_task(task, report, _)
        words = _("« {words} »", words=report.headline) if report.headline else ""
        contact = _("rappeler {contact}", contact=report.contact) if report.contact else ""
        several = _.plural("{n} signalement", "{n} signalements", len(task_reports))
        count = several if len(task_reports) > 1 else ""
        detail = ", ".join(part for part in (what, place, count, words, contact, before) if part)
        late = task.due_at is not None and task.due_at < now
        pending_reports.append(
            PendingReport(
                task.id,
                _("{what} : {where}", what=task_title, where=detail),
                late,
                f"/signalements/{report.id}",
                report.id if words or contact else None,
            )
        )
    return pending_reports


def is_report_of_danger(report: Report) -> bool:
    """Return whether a report tells of danger to people."""
    return report.type is not None and endangers_people(report.type, report.severity or 0)


def _name_report_task(task: Task, report: Report, _: Translator) -> str:
    if task.kind != "link_site":
        return _("Vérifier")
    return _("Demander le lieu") if is_report_of_danger(report) else _("Rattacher à un site")


@dataclass(frozen=True, slots=True)
class PoleChoice:
    """A pôle that filters the list; `id` None means all."""

    id: str | None
    title: str
    affected_count: int


def list_pole_choices(
    sites: Sequence[Site], titles: Mapping[str, str], _: Translator
) -> list[PoleChoice]:
    """List all, then each pôle with sites, with the number that are not normal."""
    affected_counts = Counter(s.pole for s in sites if s.status is not SiteStatus.NORMAL)
    pole_ids = {s.pole for s in sites}
    return [
        PoleChoice(None, _("Tous les pôles"), affected_counts.total()),
        *(
            PoleChoice(id, title, affected_counts[id])
            for id, title in titles.items()
            if id in pole_ids
        ),
    ]


def filter_by_pole(incidents: Sequence[Incident], pole: str | None) -> list[Incident]:
    """Return the incidents that touch the pôle."""
    return [i for i in incidents if pole is None or pole in i.poles]


@dataclass(frozen=True, slots=True)
class CellView:
    view: CellViewName
    layout: Layout
    sort: Sort
    q: str
    groups: list[SiteGroup]
    incidents: list[Incident]
    tasks: list[Task]
    counts: dict[CellViewName, int]
    legend: list[tuple[SiteStatus, int]]


def build_cell_view(
    sites: Sequence[Site],
    incidents: Sequence[Incident],
    tasks: Sequence[Task],
    clocks: Sequence[RunningClock],
    paths: Mapping[str, str],
    now: datetime,
    *,
    lang: str,
    view: CellViewName,
    layout: Layout,
    sort: Sort,
    q: str,
) -> CellView:
    """Build the table in one of its views, without normal sites."""
    _ = get_translator(lang)
    limits = find_site_deadlines(clocks, paths, now)
    lines = [
        build_site_line(s, limits.get(s.id), _) for s in sites if s.status is not SiteStatus.NORMAL
    ]
    shown_sites = {s.id for s in sites}
    open_tasks = [
        t
        for t in tasks
        if t.state in (TaskState.OPEN, TaskState.TAKEN)
        and (t.site is None or t.site in shown_sites)
    ]
    open_tasks.sort(key=lambda t: (t.due_at is None, t.due_at or t.opened_at, t.id))
    silent = [line for line in lines if line.status is SiteStatus.UNKNOWN]
    counts: dict[CellViewName, int] = {
        "a-traiter": len(lines),
        "incidents": len(incidents),
        "sans-nouvelles": len(silent),
        "taches": len(open_tasks),
    }
    visible_lines = silent if view == "sans-nouvelles" else lines
    if q:
        visible_lines = [line for line in visible_lines if fold_text(q) in line.haystack]
        incidents = [
            i
            for i in incidents
            if fold_text(q)
            in fold_text(f"{i.number} {i.title} {w.translate_code(world.FAMILY, i.kind, _)}")
        ]
        open_tasks = [t for t in open_tasks if fold_text(q) in fold_text(t.title)]
    groups = (
        group_lines(visible_lines, now, _)
        if sort == "ordre"
        else sort_lines(visible_lines, sort, _)
    )
    return CellView(
        view, layout, sort, q, groups, list(incidents), open_tasks, counts, count_statuses(sites)
    )


def count_statuses(sites: Iterable[Site]) -> list[tuple[SiteStatus, int]]:
    """Count sites by status; sheltering is left out at zero."""
    by_status = Counter(s.status for s in sites)
    return [
        (status, by_status[status])
        for status in LEGEND_ORDER
        if by_status[status] or status is not SiteStatus.SHELTERING
    ]
