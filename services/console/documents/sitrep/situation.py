"""Sections about essentials, levels with their reasons, changes and sites."""

from __future__ import annotations

from collections import Counter
from typing import Final

from schemas.words import ActivityState, SiteStatus
from services.console.continuity.clocks import short_activity
from services.console.documents.document import Cited, Column, Line, Row, Section, Table
from services.console.documents.facts import Facts, figures
from services.console.documents.sitrep.counts import none, people
from services.console.documents.telling import is_turn, told_once
from services.console.i18n import N_
from services.console.incidents.page import is_decided, level_of
from services.console.resources import Reason
from services.console.texts import line as sentence
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import short
from services.console.texts.reasons import said
from services.console.web import times

INCIDENTS_SHOWN: Final = 4
CHANGES_SHOWN: Final = 8
DOWN_SHOWN: Final = 3
VULNERABLE_SHOWN: Final = 4
"""Number of sites, and of activities, in the line about vulnerable people."""
DEPENDENT: Final = 2
"""Least `vulnerable_public` at which vulnerable people depend on a site or activity. Rule D82."""
SHOWN: Final = (SiteStatus.EVACUATED, SiteStatus.SHELTERING, SiteStatus.CLOSED, SiteStatus.DEGRADED)
_COLUMNS: Final = (
    (SiteStatus.EVACUATED, N_("Évac.")),
    (SiteStatus.SHELTERING, N_("Conf.")),
    (SiteStatus.CLOSED, N_("Fermés")),
    (SiteStatus.DEGRADED, N_("Dégr.")),
    (SiteStatus.UNKNOWN, N_("Sans nouv.")),
    (SiteStatus.NORMAL, N_("Normal")),
)
_COUNTED: Final = {
    "incidents:open": N_("incidents ouverts"),
    "sites:evacuated": N_("sites évacués"),
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


def essential(x: Facts, cited: Cited) -> Section:
    _, lang = x._, x.lang
    lines: list[Line] = []
    for i in x.incidents[:INCIDENTS_SHOWN]:
        parts = [
            _("{title}, depuis {at}", title=i.title, at=times.hm_dated(i.opened_at, x.at, lang))
        ]
        parts.append(_.plural("{n} site", "{n} sites", i.members))
        if i.customers_cut:
            parts.append(_("{n} clients coupés", n=w.number(i.customers_cut, lang)))
        if i.persons_concerned:
            parts.append(_("{n} personnes concernées", n=people(i.persons_concerned, lang)))
        end = (
            _("rétablissement annoncé à {at}", at=times.hm_dated(i.estimated_end, x.at, lang))
            if i.estimated_end
            else _("heure de rétablissement non annoncée")
        )
        reported = i.why[0].reports[:1] if i.why else []
        lines.append(
            Line(
                text=", ".join(parts) + _("\u00a0; ") + f"{end}.",
                refs=cited.of(f"incident:{i.id}:opened", *(f"report:{r}" for r in reported)),
            )
        )
        if i.danger:
            lines.append(
                Line(
                    text=_("Des personnes peuvent être en danger : {title}.", title=i.title),
                    strong=True,
                    refs=cited.of(f"incident:{i.id}"),
                )
            )
    if len(x.incidents) > INCIDENTS_SHOWN:
        lines.append(
            Line(
                text=_.plural(
                    "et {n} autre incident ouvert.",
                    "et {n} autres incidents ouverts.",
                    len(x.incidents) - INCIDENTS_SHOWN,
                )
            )
        )
    if not x.incidents:
        lines.append(Line(text=_("Aucun incident ouvert.")))
    lines += _site_line(x, cited)
    interrupted = [a for a in x.activities if a.state is ActivityState.INTERRUPTED]
    if interrupted:
        breaches = sum(a.forecast_breach_at is not None for a in x.activities)
        vital = sum(a.criticality == 1 for a in interrupted)
        text = _.plural("{n} activité interrompue", "{n} activités interrompues", len(interrupted))
        text += ", " + _("dont {n} de criticité 1", n=vital) + _("\u00a0; ")
        text += _.plural("{n} rupture de DMIA prévue.", "{n} ruptures de DMIA prévues.", breaches)
        first = sorted(interrupted, key=lambda a: (a.criticality, -a.vulnerable_public, a.id))
        lines.append(Line(text=text, refs=cited.of(*(f"activity:{a.id}" for a in first[:3]))))
    lines += _vulnerable(x, cited)
    down = [
        f
        for f in x.flags
        if f.id.startswith(("system:", "kitchen:", "supplier:")) and f.value in ("down", "degraded")
    ]
    for flag in down[:DOWN_SHOWN]:
        what = world.thing(flag.id.partition(":")[2], _)
        text = _(
            "{what} : {state} depuis {at}.",
            what=what[:1].upper() + what[1:],
            state=w.word(world.DEPENDENCY, str(flag.value), _),
            at=times.hm_dated(flag.since, x.at, lang),
        )
        lines.append(Line(text=text, refs=cited.of(f"flag:{flag.id}")))
    if (more := len(down) - DOWN_SHOWN) > 0:
        lines.append(
            Line(
                text=_.plural(
                    "et {n} autre système ou fournisseur.",
                    "et {n} autres systèmes ou fournisseurs.",
                    more,
                )
            )
        )
    return Section(id="essential", title=_("L’essentiel"), lines=tuple(lines))


def _vulnerable(x: Facts, cited: Cited) -> list[Line]:
    """Name the affected sites and activities of vulnerable people, most dependent first.

    Rule D82, solidarity.
    """
    _ = x._
    out = [
        s
        for s in x.sites
        if s.vulnerable_public >= DEPENDENT and s.status in (*SHOWN[:3], SiteStatus.UNKNOWN)
    ]
    stopped = [
        a
        for a in x.activities
        if a.vulnerable_public >= DEPENDENT and a.state is ActivityState.INTERRUPTED
    ]
    if not out and not stopped:
        return []
    sites = [
        short(s.name)
        for s in sorted(
            out,
            key=lambda s: (
                -s.vulnerable_public,
                SHOWN.index(s.status) if s.status in SHOWN else 9,
                s.id,
            ),
        )
    ]
    works = [
        short_activity(a.name)
        for a in sorted(stopped, key=lambda a: (-a.vulnerable_public, a.criticality, a.id))
    ]
    told = [*sites[:VULNERABLE_SHOWN], *works[:VULNERABLE_SHOWN]]
    text = _("Publics vulnérables touchés : {names}", names=", ".join(told))
    if more := len(sites) + len(works) - len(told):
        text += _.plural(" et {n} autre", " et {n} autres", more)
    return [
        Line(
            text=f"{text}.", strong=True, refs=cited.of(*(f"activity:{a.id}" for a in stopped[:3]))
        )
    ]


def _site_line(x: Facts, cited: Cited) -> list[Line]:
    _, counts = x._, Counter(s.status for s in x.sites)
    evacuated, sheltering, closed, degraded = (counts[s] for s in SHOWN)
    told = (
        (evacuated, _.plural("{n} site évacué", "{n} sites évacués", evacuated), ""),
        (
            sheltering,
            _.plural("{n} site confiné", "{n} sites confinés", sheltering),
            _.plural("{n} confiné", "{n} confinés", sheltering),
        ),
        (closed, _.plural("{n} site fermé", "{n} sites fermés", closed), ""),
        (
            degraded,
            _.plural("{n} site dégradé", "{n} sites dégradés", degraded),
            _.plural("{n} dégradé", "{n} dégradés", degraded),
        ),
    )
    parts: list[str] = []
    for n, whole, brief in told:
        if n:
            parts.append(brief if parts and brief else whole)
    found = (
        [Line(text=", ".join(parts) + ".", refs=cited.of(*(f"status:{s}" for s in SHOWN)))]
        if parts
        else []
    )
    if counts[SiteStatus.UNKNOWN]:
        text = _.plural(
            "{n} site sans nouvelles : ni ouvert ni fermé.",
            "{n} sites sans nouvelles : ni ouverts ni fermés.",
            counts[SiteStatus.UNKNOWN],
        )
        found.append(Line(text=text, strong=True, refs=cited.of("status:unknown")))
    return found


def levels(x: Facts, cited: Cited) -> Section:
    _ = x._
    lines: list[Line] = []
    seen: set[int] = set()
    highest = max((i.level for i in x.incidents), default=0)
    gravest = [reason for i in x.incidents if i.level == highest for reason in i.why]
    for reason in sorted([*gravest, *x.level.why], key=lambda reason: level_of(reason) or 0):
        level = level_of(reason)
        if (
            level is None
            or level in seen
            or "refused" in reason.args
            or not (reason.metric or is_decided(reason))
        ):
            continue
        seen.add(level)
        lines.append(
            Line(
                text=_why(x, reason, level),
                strong=level == x.level.level,
                refs=cited.of(*(f"report:{r}" for r in reason.reports[:2])),
            )
        )
    if not lines and x.level.since is not None:
        text = "; ".join(r.text for r in x.level.why[:2]) or _("décidé")
        lines.append(
            Line(
                text=_(
                    "N{level}, {at} ({why})",
                    level=x.level.level,
                    at=times.hm_dated(x.level.since, x.at, x.lang),
                    why=text,
                ),
                refs=cited.of("level:territory"),
            )
        )
    if x.level.proposed is not None:
        lines.append(
            Line(
                text=_(
                    "N{level} est proposé, à décider : {why}.",
                    level=x.level.proposed,
                    why="; ".join(r.text for r in x.level.proposed_why[:2]),
                ),
                mark="todo",
                refs=cited.of("level:territory"),
            )
        )
    pilots = (
        [w.role_name(p, None, x.names, _) for p in x.rule.pilots]
        if x.rule and x.level.level
        else []
    )
    return Section(
        id="level",
        title=_("Niveau et raisons"),
        aside=_("pilote : {who}", who=" / ".join(pilots)) if pilots else "",
        lines=tuple(lines) or none(x),
    )


def _why(x: Facts, reason: Reason, level: int) -> str:
    told = said(reason, x.names, x.lang).text
    words = x.reasons.get(str(reason.args.get("reason", "")), "")
    if words:
        told = x._("{what} : {why}", what=told, why=words)
    if reason.at is None:
        return x._("N{level} ({why})", level=level, why=told)
    return x._(
        "N{level}, {at} ({why})", level=level, at=times.hm_dated(reason.at, x.at, x.lang), why=told
    )


def evolution(x: Facts, cited: Cited) -> Section:
    _ = x._
    if x.previous is None:
        return Section(
            id="evolution",
            title=_("Évolution"),
            lines=(Line(text=_("Premier point : pas de comparaison.")), *_told(x, cited, 0)),
        )
    now, then = figures(x), x.previous.counts
    moved = []
    for name, label in _COUNTED.items():
        before, after = then.get(name, 0), now.get(name, 0)
        if before != after:
            moved.append(
                _("{what} : {before} → {after}", what=_(label), before=before, after=after)
            )
    if x.previous.level != x.level.level:
        moved.insert(
            0, _("niveau N{before} → N{after}", before=x.previous.level, after=x.level.level)
        )
    text = ", ".join(moved) if moved else _("aucun compte n’a changé")
    lines = [
        Line(
            text=_("Depuis le point n° {n} : {what}.", n=x.previous.number, what=text),
            refs=cited.of("sitrep"),
        )
    ]
    return Section(
        id="evolution",
        title=_("Évolution depuis le point n° {n}", n=x.previous.number),
        aside=times.hm_dated(times.of(x.previous.as_of), x.at, x.lang),
        lines=(*lines, *_told(x, cited, x.previous.as_of)),
    )


def _told(x: Facts, cited: Cited, since: int) -> list[Line]:
    """List the newest decisions and events since then, oldest first, without repeated texts."""
    turns = [
        record for record in told_once(x.lines) if record.recorded_at > since and is_turn(record)
    ]
    newest = {sentence(record, x.names, x.lang): record for record in turns}
    shown = sorted(newest.items(), key=lambda pair: pair[1].key)[-CHANGES_SHOWN:]
    return [
        Line(
            text=f"{times.hm_dated(times.of(r.recorded_at), x.at, x.lang)} {text}",
            refs=cited.key(r.key),
        )
        for text, r in shown
    ]


def sites(x: Facts, cited: Cited) -> Section:
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
        touched = [s.id for s in x.sites if s.pole == pole and s.status is not SiteStatus.NORMAL]
        rows.append(
            Row(
                cells=(name, *_cells(by_pole[pole])),
                refs=cited.of(*(f"site:{s}" for s in touched[:3])),
            )
        )
    total: Counter[SiteStatus] = Counter(s.status for s in x.sites)
    rows.append(Row(cells=(_("Ensemble"), *_cells(total)), strong=True))
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
        Column(title=_("Pôle"), wide=True),
        *(Column(title=_(label), right=True) for _status, label in _COLUMNS),
    )
    return Section(
        id="sites",
        title=_("Sites par état et par pôle"),
        aside=_.plural("{n} site", "{n} sites", len(x.sites)),
        map=True,
        table=Table(columns=columns, rows=tuple(rows), note=note),
    )


def _cells(counts: Counter[SiteStatus]) -> tuple[str, ...]:
    return tuple(str(counts[status]) if counts[status] else "–" for status, _label in _COLUMNS)
