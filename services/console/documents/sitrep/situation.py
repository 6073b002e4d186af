"""Sections about essentials, levels with their reasons, changes and sites."""

from collections import Counter
from typing import Final

from schemas.words import ActivityState, SiteStatus
from services.console.continuity.clocks import list_breaches
from services.console.documents.document import (
    Citations,
    DocumentLine,
    DocumentSection,
    Table,
    TableColumn,
    TableRow,
    write_nothing_to_report,
)
from services.console.documents.facts import (
    SitrepFacts,
    count_figures,
    describe_breaches,
    format_people,
)
from services.console.documents.telling import drop_repetitions, is_key_event
from services.console.i18n import N_
from services.console.incidents.page import get_reason_level, is_decided
from services.console.logbook.lines import render_line as sentence
from services.console.resources import Incident, Reason
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import shorten_activity_name, shorten_site_name
from services.console.texts.reasons import describe_reason
from services.console.web import times

INCIDENTS_SHOWN: Final = 4
CHANGES_SHOWN: Final = 8
SYSTEMS_SHOWN: Final = 3
COUNTS_SHOWN: Final = 4
"""Number of names in the line about headcounts that have only begun."""
VULNERABLE_SHOWN: Final = 4
"""Number of sites, and of activities, in the line about vulnerable people."""
VULNERABLE_MIN: Final = 2
"""Least `vulnerable_public` at which vulnerable people depend on a site or activity. Rule D82."""
SHOWN_STATES: Final = (
    SiteStatus.EVACUATED,
    SiteStatus.SHELTERING,
    SiteStatus.CLOSED,
    SiteStatus.DEGRADED,
)
_COLUMNS: Final = (
    (SiteStatus.EVACUATED, N_("Évac.")),
    (SiteStatus.SHELTERING, N_("Conf.")),
    (SiteStatus.CLOSED, N_("Fermés")),
    (SiteStatus.DEGRADED, N_("Dégr.")),
    (SiteStatus.UNKNOWN, N_("Sans nouv.")),
    (SiteStatus.NORMAL, N_("Normal")),
)
_COMPARED_FIGURES: Final = {
    "incidents:open": N_("incidents ouverts"),
    "sites:evacuated": N_("sites évacués"),
    "sites:sheltering": N_("sites confinés"),
    "sites:closed": N_("sites fermés"),
    "sites:degraded": N_("sites dégradés"),
    "sites:unknown": N_("sites sans nouvelles"),
    "activities:interrupted": N_("activités interrompues"),
    "activities:degraded": N_("activités dégradées"),
    "activities:breach": N_("ruptures de DMIA prévues"),
    "plans:active": N_("plans activés"),
    "plans:proposed": N_("plans à décider"),
    "cards:late": N_("fiches en retard"),
    "staff:reassigned": N_("agents réaffectés"),
}


def write_essentials_section(x: SitrepFacts, citations: Citations) -> DocumentSection:
    _, lang = x._, x.lang
    lines = [*_write_help_lines(x), *_write_missing_lines(x, citations)]
    incidents = sorted(x.incidents, key=lambda i: not is_dangerous_now(i))
    for i in incidents[:INCIDENTS_SHOWN]:
        parts = [
            _("{title}, depuis {at}", title=i.title, at=times.hm_dated(i.opened_at, x.at, lang))
        ]
        parts.append(_.plural("{n} site", "{n} sites", i.members))
        if i.customers_cut:
            parts.append(_("{n} clients coupés", n=w.format_number(i.customers_cut, lang)))
        if i.persons_concerned:
            parts.append(_("{n} personnes concernées", n=format_people(i.persons_concerned, lang)))
        end = (
            _("rétablissement constaté à {at}", at=times.hm_dated(i.over_since, x.at, lang))
            if i.over_since
            else _("rétablissement annoncé à {at}", at=times.hm_dated(i.estimated_end, x.at, lang))
            if i.estimated_end
            else _("heure de rétablissement non annoncée")
        )
        report_ids = i.why[0].reports[:1] if i.why else []
        lines.append(
            DocumentLine(
                text=", ".join(parts) + _("\u00a0; ") + f"{end}.",
                refs=citations.of(f"incident:{i.id}:opened", *(f"report:{r}" for r in report_ids)),
            )
        )
        if is_dangerous_now(i):
            lines.append(_write_danger_line(x, i, citations))
    lines += [
        _write_danger_line(x, i, citations)
        for i in incidents[INCIDENTS_SHOWN:]
        if is_dangerous_now(i)
    ]
    if len(x.incidents) > INCIDENTS_SHOWN:
        lines.append(
            DocumentLine(
                text=_.plural(
                    "et {n} autre incident ouvert.",
                    "et {n} autres incidents ouverts.",
                    len(x.incidents) - INCIDENTS_SHOWN,
                )
            )
        )
    if not x.incidents:
        lines.append(DocumentLine(text=_("Aucun incident ouvert.")))
    lines += _write_site_lines(x, citations)
    interrupted_activities = [a for a in x.activities if a.state is ActivityState.INTERRUPTED]
    if interrupted_activities:
        vital = sum(a.criticality == 1 for a in interrupted_activities)
        text = _.plural(
            "{n} activité interrompue", "{n} activités interrompues", len(interrupted_activities)
        )
        text += ", " + _("dont {n} de criticité 1", n=vital) + _("\u00a0; ")
        text += describe_breaches(x) + "."
        first = sorted(
            interrupted_activities, key=lambda a: (a.criticality, -a.vulnerable_public, a.id)
        )
        lines.append(
            DocumentLine(text=text, refs=citations.of(*(f"activity:{a.id}" for a in first[:3])))
        )
    elif breaches := list_breaches(x.clocks):
        ids = sorted({f"activity:{clock.activity}" for clock in breaches})
        lines.append(DocumentLine(text=describe_breaches(x) + ".", refs=citations.of(*ids[:3])))
    lines += _write_vulnerable_line(x, citations)
    down = [
        f
        for f in x.flags
        if f.id.startswith(("system:", "kitchen:", "supplier:")) and f.value in ("down", "degraded")
    ]
    for flag in down[:SYSTEMS_SHOWN]:
        what = world.name_dependency(flag.id.partition(":")[2], _)
        text = _(
            "{what} : {state} depuis {at}.",
            what=what[:1].upper() + what[1:],
            state=w.translate_code(world.DEPENDENCY, str(flag.value), _),
            at=times.hm_dated(flag.since, x.at, lang),
        )
        lines.append(DocumentLine(text=text, refs=citations.of(f"flag:{flag.id}")))
    if (more := len(down) - SYSTEMS_SHOWN) > 0:
        lines.append(
            DocumentLine(
                text=_.plural(
                    "et {n} autre système ou fournisseur.",
                    "et {n} autres systèmes ou fournisseurs.",
                    more,
                )
            )
        )
    return DocumentSection(id="essential", title=_("L’essentiel"), lines=tuple(lines))


def is_dangerous_now(incident: Incident) -> bool:
    """Return whether people may be in danger, and the incident is not over. Rule D77."""
    return incident.danger and incident.over_since is None


def _write_danger_line(x: SitrepFacts, incident: Incident, citations: Citations) -> DocumentLine:
    return DocumentLine(
        text=x._("Des personnes peuvent être en danger : {title}.", title=incident.title),
        strong=True,
        refs=citations.of(f"incident:{incident.id}"),
    )


def _write_help_lines(x: SitrepFacts) -> list[DocumentLine]:
    """Count the requests for help of each headcount, with its sites. Rule D37."""
    lines = []
    for row in x.help_requests:
        names = [shorten_site_name(x.names.site(site)) for site in row.sites[:COUNTS_SHOWN]]
        more = len(row.sites) - len(names)
        where = ", ".join(names) or x._("Recensement")
        text = x._.plural(
            "{where} : {n} personne demande de l’aide.",
            "{where} : {n} personnes demandent de l’aide.",
            row.help,
            where=where + (x._.plural(" et {n} autre", " et {n} autres", more) if more else ""),
        )
        lines.append(DocumentLine(text=text, strong=True))
    return lines


def _write_missing_lines(x: SitrepFacts, citations: Citations) -> list[DocumentLine]:
    """Name the sites that have not found everybody, those with most people missing first.

    A count that has found nobody has only begun. Rules D77 and D79.
    """
    _, members = x._, {site for i in x.incidents for site in i.sites}
    counts = [
        (s, s.headcount.expected - s.headcount.found, s.headcount.found > 0)
        for s in x.sites
        if s.id in members and s.headcount is not None
    ]
    missing = sorted(
        ((s, n) for s, n, has_found in counts if n > 0 and has_found),
        key=lambda p: (-p[1], p[0].id),
    )
    counting = [s for s, n, has_found in counts if n > 0 and not has_found]
    lines = [
        _.plural(
            "{where} : {n} personne n’est pas retrouvée.",
            "{where} : {n} personnes ne sont pas retrouvées.",
            n,
            where=shorten_site_name(s.name),
        )
        for s, n in missing
    ]
    if counting:
        names = ", ".join(shorten_site_name(s.name) for s in counting[:COUNTS_SHOWN])
        lines.append(
            _("Recensement commencé, personne n’est encore retrouvé : {names}", names=names)
            + (
                _.plural(" et {n} autre", " et {n} autres", len(counting) - COUNTS_SHOWN)
                if len(counting) > COUNTS_SHOWN
                else ""
            )
            + "."
        )
    refs = citations.of(*(f"site:{s.id}" for s, _n in missing[:3]))
    return [
        DocumentLine(text=text, strong=True, refs=refs if n == 0 else ())
        for n, text in enumerate(lines)
    ]


def _write_vulnerable_line(x: SitrepFacts, citations: Citations) -> list[DocumentLine]:
    """Name the affected sites and activities of vulnerable people, most dependent first.

    Rule D82, solidarity.
    """
    _ = x._
    out = [
        s
        for s in x.sites
        if s.vulnerable_public >= VULNERABLE_MIN
        and s.status in (*SHOWN_STATES[:3], SiteStatus.UNKNOWN)
    ]
    stopped_activities = [
        a
        for a in x.activities
        if a.vulnerable_public >= VULNERABLE_MIN and a.state is ActivityState.INTERRUPTED
    ]
    if not out and not stopped_activities:
        return []
    sites = [
        shorten_site_name(s.name)
        for s in sorted(
            out,
            key=lambda s: (
                -s.vulnerable_public,
                SHOWN_STATES.index(s.status) if s.status in SHOWN_STATES else 9,
                s.id,
            ),
        )
    ]
    works = [
        shorten_activity_name(a.name)
        for a in sorted(
            stopped_activities, key=lambda a: (-a.vulnerable_public, a.criticality, a.id)
        )
    ]
    names = [*sites[:VULNERABLE_SHOWN], *works[:VULNERABLE_SHOWN]]
    text = _("Publics vulnérables touchés : {names}", names=", ".join(names))
    if more := len(sites) + len(works) - len(names):
        text += _.plural(" et {n} autre", " et {n} autres", more)
    return [
        DocumentLine(
            text=f"{text}.",
            strong=True,
            refs=citations.of(*(f"activity:{a.id}" for a in stopped_activities[:3])),
        )
    ]


def _write_site_lines(x: SitrepFacts, citations: Citations) -> list[DocumentLine]:
    _, counts = x._, Counter(s.status for s in x.sites)
    evacuated_count, sheltering_count, closed_count, degraded_count = (
        counts[s] for s in SHOWN_STATES
    )
    state_counts = (
        (evacuated_count, _.plural("{n} site évacué", "{n} sites évacués", evacuated_count), ""),
        (
            sheltering_count,
            _.plural("{n} site confiné", "{n} sites confinés", sheltering_count),
            _.plural("{n} confiné", "{n} confinés", sheltering_count),
        ),
        (closed_count, _.plural("{n} site fermé", "{n} sites fermés", closed_count), ""),
        (
            degraded_count,
            _.plural("{n} site dégradé", "{n} sites dégradés", degraded_count),
            _.plural("{n} dégradé", "{n} dégradés", degraded_count),
        ),
    )
    parts: list[str] = []
    for n, whole, brief in state_counts:
        if n:
            parts.append(brief if parts and brief else whole)
    site_lines = (
        [
            DocumentLine(
                text=", ".join(parts) + ".",
                refs=citations.of(*(f"status:{s}" for s in SHOWN_STATES)),
            )
        ]
        if parts
        else []
    )
    if counts[SiteStatus.UNKNOWN]:
        text = _.plural(
            "{n} site sans nouvelles : ni ouvert ni fermé.",
            "{n} sites sans nouvelles : ni ouverts ni fermés.",
            counts[SiteStatus.UNKNOWN],
        )
        site_lines.append(DocumentLine(text=text, strong=True, refs=citations.of("status:unknown")))
    return site_lines


def write_levels_section(x: SitrepFacts, citations: Citations) -> DocumentSection:
    _ = x._
    lines: list[DocumentLine] = []
    written_levels: set[int] = set()
    highest = max((i.level for i in x.incidents), default=0)
    gravest = [reason for i in x.incidents if i.level == highest for reason in i.why]
    for reason in sorted(
        [*gravest, *x.level.why], key=lambda reason: get_reason_level(reason) or 0
    ):
        level = get_reason_level(reason)
        if (
            level is None
            or level in written_levels
            or "refused" in reason.args
            or not (reason.metric or is_decided(reason))
        ):
            continue
        written_levels.add(level)
        lines.append(
            DocumentLine(
                text=_describe_level_reason(x, reason, level),
                strong=level == x.level.level,
                refs=citations.of(*(f"report:{r}" for r in reason.reports[:2])),
            )
        )
    if not lines and x.level.since is not None:
        text = "; ".join(r.text for r in x.level.why[:2]) or _("décidé")
        lines.append(
            DocumentLine(
                text=_(
                    "N{level}, {at} ({why})",
                    level=x.level.level,
                    at=times.hm_dated(x.level.since, x.at, x.lang),
                    why=text,
                ),
                refs=citations.of("level:territory"),
            )
        )
    if x.level.proposed is not None:
        lines.append(
            DocumentLine(
                text=_(
                    "N{level} est proposé, à décider : {why}.",
                    level=x.level.proposed,
                    why="; ".join(r.text for r in x.level.proposed_why[:2]),
                ),
                mark="todo",
                refs=citations.of("level:territory"),
            )
        )
    pilots = (
        [w.name_role(p, None, x.names, _) for p in x.rule.pilots]
        if x.rule and x.level.level
        else []
    )
    return DocumentSection(
        id="level",
        title=_("Niveau et raisons"),
        aside=_("pilote : {who}", who=" / ".join(pilots)) if pilots else "",
        lines=tuple(lines) or write_nothing_to_report(x._),
    )


def _describe_level_reason(x: SitrepFacts, reason: Reason, level: int) -> str:
    reason_text = describe_reason(reason, x.names, x.lang).text
    words = x.reasons.get(str(reason.args.get("reason", "")), "")
    if words:
        reason_text = x._("{what} : {why}", what=reason_text, why=words)
    if reason.at is None:
        return x._("N{level} ({why})", level=level, why=reason_text)
    return x._(
        "N{level}, {at} ({why})",
        level=level,
        at=times.hm_dated(reason.at, x.at, x.lang),
        why=reason_text,
    )


def write_changes_section(x: SitrepFacts, citations: Citations) -> DocumentSection:
    _ = x._
    if x.previous is None:
        return DocumentSection(
            id="evolution",
            title=_("Évolution"),
            lines=(
                DocumentLine(text=_("Premier point : pas de comparaison.")),
                *_list_events(x, citations, 0),
            ),
        )
    now, then = count_figures(x), x.previous.counts
    changes = []
    for name, label in _COMPARED_FIGURES.items():
        before, after = then.get(name, 0), now.get(name, 0)
        if before != after:
            changes.append(
                _("{what} : {before} → {after}", what=_(label), before=before, after=after)
            )
    if x.previous.level != x.level.level:
        changes.insert(
            0, _("niveau N{before} → N{after}", before=x.previous.level, after=x.level.level)
        )
    text = ", ".join(changes) if changes else _("aucun compte n’a changé")
    lines = [
        DocumentLine(
            text=_("Depuis le point n° {n} : {what}.", n=x.previous.number, what=text),
            refs=citations.of("sitrep"),
        )
    ]
    return DocumentSection(
        id="evolution",
        title=_("Évolution depuis le point n° {n}", n=x.previous.number),
        aside=times.hm_dated(times.of(x.previous.as_of), x.at, x.lang),
        lines=(*lines, *_list_events(x, citations, x.previous.as_of)),
    )


def _list_events(x: SitrepFacts, citations: Citations, since: int) -> list[DocumentLine]:
    """List the newest decisions and events since then, oldest first, without repeated texts."""
    turns = [
        record
        for record in drop_repetitions(x.lines)
        if record.recorded_at > since and is_key_event(record)
    ]
    newest = {sentence(record, x.names, x.lang): record for record in turns}
    newest_events = sorted(newest.items(), key=lambda pair: pair[1].key)[-CHANGES_SHOWN:]
    return [
        DocumentLine(
            text=f"{times.hm_dated(times.of(r.recorded_at), x.at, x.lang)} {text}",
            refs=citations.key(r.key),
        )
        for text, r in newest_events
    ]


def write_sites_section(x: SitrepFacts, citations: Citations) -> DocumentSection:
    _ = x._
    by_pole: dict[str, Counter[SiteStatus]] = {}
    for site in x.sites:
        by_pole.setdefault(site.pole, Counter())[site.status] += 1
    order = [p for p in (*x.names.poles, "multi") if p in by_pole] + [
        p for p in by_pole if p not in x.names.poles and p != "multi"
    ]
    rows = []
    for pole in order:
        name = _("Plusieurs pôles") if pole == "multi" else x.names.pole_short(pole, x.lang)
        affected_ids = [
            s.id for s in x.sites if s.pole == pole and s.status is not SiteStatus.NORMAL
        ]
        rows.append(
            TableRow(
                cells=(name, *_format_counts(by_pole[pole])),
                refs=citations.of(*(f"site:{s}" for s in affected_ids[:3])),
            )
        )
    total: Counter[SiteStatus] = Counter(s.status for s in x.sites)
    rows.append(TableRow(cells=(_("Ensemble"), *_format_counts(total)), strong=True))
    silent = Counter(s.commune_name for s in x.sites if s.status is SiteStatus.UNKNOWN)
    note = ""
    if silent:
        where = ", ".join(
            f"{name} {n}" for name, n in sorted(silent.items(), key=lambda p: (-p[1], p[0]))[:6]
        )
        note = _(
            "Sans nouvelles : aucune information depuis que la zone est touchée. {where}.",
            where=where,
        )
    columns = (
        TableColumn(title=_("Pôle"), wide=True),
        *(TableColumn(title=_(label), right=True) for _status, label in _COLUMNS),
    )
    return DocumentSection(
        id="sites",
        title=_("Sites par état et par pôle"),
        aside=_.plural("{n} site", "{n} sites", len(x.sites)),
        map=True,
        table=Table(columns=columns, rows=tuple(rows), note=note),
    )


def _format_counts(counts: Counter[SiteStatus]) -> tuple[str, ...]:
    return tuple(str(counts[status]) if counts[status] else "–" for status, _label in _COLUMNS)
