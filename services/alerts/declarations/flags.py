"""Flags: vigilance, rivers, roads, systems, kitchens and true/false declarations.

The newest report by `occurred_at` stands; an older one changes no value. Rules D3 and D7.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from schemas.alerts import FlagChanged, FlagRow, ReportRow
from schemas.base import Instant
from schemas.reports import Window
from schemas.words import EventType as T
from schemas.words import MsgType
from services.alerts import tasks
from services.alerts.causes.cause_lifecycle import all_open
from services.alerts.causes.restoration import (
    end_declared,
    end_supplier_failures,
    end_system_outages,
    takes_back_that,
)
from services.alerts.decision import Draft
from services.alerts.declarations.yellow_vigilance import digest_at
from services.alerts.reference.constants import (
    ALL_CLEAR,
    CLOSED_BY_POWER_PCT,
    RESTORED,
    TRANSIT_RUNS,
    TRANSIT_STOPS,
)
from services.alerts.reference.territory import flag_of_supplier
from services.alerts.reports.entitlement import is_service_wide
from services.alerts.reports.report_facts import (
    WITHDRAWN,
    all_over,
    as_number,
    as_truth,
    inside,
    is_confirmed,
    measure_name,
    named,
    objects_of,
    services_of,
    site_of,
    stands,
    takes_back,
)
from services.alerts.rows import changed, in_order

Value = bool | float | str
_DOWN_PCT: Final = CLOSED_BY_POWER_PCT
"""Loss from which a system is down, not degraded."""
_MEASURED: Final = ("colleges_served", "customers_cut", *RESTORED)
"""Measures that state a dependency by themselves, also in a Cancel. Rule D3."""
_AT_ONCE: Final = ("vigilance:", "flag:", "river:")
"""Flags in force as soon as they are declared, for whichever period.

An announced failure begins later. Rule D9, planned events.
"""
_HOLDING: Final = ("system:", "network:", "kitchen:", "supplier:")
"""Flags that causes set to down; they are up again when the last such cause has ended."""
_SHOWN: Final = 5
"""Reports that a flag names: the first and the newest ones."""
_NOTHING_SAID: Final[dict[str, Value]] = {
    "vigilance": "vert",
    "flag": False,
    "road": False,
    "river": 0.0,
}
"""Value of a flag without a declaration; for a dependency it is `up`."""


def declare(draft: Draft, row: ReportRow, incident: str | None) -> None:
    """Apply a confirmed report's declarations beyond its own site.

    A report from an unknown area declares nothing: it may be about another territory.
    """
    if "area_unknown" in row.flags:
        return
    withdrawn = _said_before(draft, row) if row.msg_type is MsgType.CANCEL else ()
    for id, value in _declared(draft, row):
        if (id, value) in withdrawn or (
            value == _mild(id) and _held_by_another(draft, row, id, withdrawn)
        ):
            continue
        if not _taken_back_in_part(draft, row, id, value):
            _put(draft, id, value, row, incident)
    _restore(draft, row)


def hold_already(draft: Draft, row: ReportRow) -> bool:
    """Return whether all declarations of the report hold now and without an end."""
    flags = [(draft.state.flags.get(id), value) for id, value in _declared(draft, row)]
    return all(
        f is not None and f.value == value and f.effective_from is None and f.until is None
        for f, value in flags
    )


def _held_by_another(
    draft: Draft, row: ReportRow, id: str, withdrawn: tuple[tuple[str, Value], ...]
) -> bool:
    """Return whether another report keeps a flag that a Cancel with references would clear.

    The Cancel is about the reports that it names (rule D3). An older report keeps the flag only as
    long as its own period lasts.
    """
    flag, said = draft.state.flags.get(id), [value for about, value in withdrawn if about == id]
    if flag is None or not said or flag.value == _mild(id):
        return False
    newest = max(r.occurred_at for r in draft.told(row.references))
    others = (r for r in draft.told(flag.reports) if r.id not in row.references and stands(r))
    return any(
        flag.value in said
        or r.occurred_at >= newest
        or (r.effective and not all_over(r.effective, draft.now))
        for r in others
    )


def _taken_back_in_part(draft: Draft, row: ReportRow, id: str, value: Value) -> bool:
    """Revoke a declaration for some places or objects only, and return whether any of it is left.

    Declarations of other places or objects, and later ones, stay. Rules D3 and D7.
    """
    flag = draft.state.flags.get(id)
    if (
        flag is None
        or value != _mild(id)
        or flag.value == value
        or not takes_back(row, draft.state.rules.flag_names)
    ):
        return False
    told = [r for r in draft.told(flag.reports) if stands(r)]
    left = [
        r for r in told if r.occurred_at > row.occurred_at or not takes_back_that(draft, row, r)
    ]
    if not left:
        return False
    if len(left) < len(told):
        values = {
            "reports": tuple(r.id for r in left),
            "since": min(r.occurred_at for r in left),
            "speaks_of": _next_day(left, draft.now),
        }
        draft.emit(FlagChanged(row=changed(flag, values)))
    end_declared(draft, row)
    return True


def _said_before(draft: Draft, row: ReportRow) -> tuple[tuple[str, Value], ...]:
    """Return the declarations of the reports that a Cancel names.

    The Cancel may repeat them without effect.
    """
    told = (draft.state.reports[r] for r in row.references if r in draft.state.reports)
    return tuple(said for r in told for said in _declared(draft, r))


def _declared(draft: Draft, row: ReportRow) -> Iterator[tuple[str, Value]]:
    name, m = measure_name(row), row.measure
    if row.type is T.WEATHER_ALERT and row.phenomenon and row.colour:
        yield f"vigilance:{row.phenomenon}", row.colour
    if m is not None and name == "river_level" and (level := as_number(m.value)) is not None:
        for station in named(row, "station:"):
            yield f"river:{station}", level
    if m is not None and name in draft.state.rules.flag_names:
        yield f"flag:{name}", as_truth(m.value)
    if m is not None and name == "road_closed":
        for road in named(row, "road:"):
            yield f"road:{road}", as_truth(m.value)
    if row.msg_type is not MsgType.CANCEL:
        yield from _dependencies(draft, row)
    elif m is not None and name in _MEASURED:
        yield from (said for said in _dependencies(draft, row) if m.value is not None)


def _dependencies(draft: Draft, row: ReportRow) -> Iterator[tuple[str, Value]]:
    """Yield the state of systems, networks, kitchens and suppliers.

    A state is down, degraded, up, or the share that is served.
    """
    name, m = measure_name(row), row.measure
    if takes_back(row, draft.state.rules.flag_names):
        return
    if row.type is T.TRANSPORT_DISRUPTION and _is_the_network(row):
        if row.severity >= TRANSIT_STOPS:
            yield "network:transit", "down"
        elif row.severity <= TRANSIT_RUNS and _is_of_the_same(draft, row, "network:transit"):
            yield "network:transit", "up"
    for supplier in named(row, "supplier:"):
        id = flag_of_supplier(supplier, draft.territory)
        if row.type is T.SUPPLIER_FAILURE:
            lost = 100.0 if row.capacity_lost_pct is None else row.capacity_lost_pct
            yield id, "down" if lost >= 100 else 100.0 - lost
        elif (
            m is not None
            and name == "colleges_served"
            and m.value_of
            and (served := as_number(m.value)) is not None
        ):
            yield id, "up" if served >= m.value_of else round(100 * served / m.value_of, 1)
        elif row.type is T.REOPENING:
            yield id, "up"
    if m is not None and name in RESTORED:
        yield from ((thing, "up" if as_truth(m.value) else "down") for thing in services_of(row))
        return
    for system in named(row, "system:"):
        if (
            system != "*"
            and row.type in (T.OUTAGE_IT, T.OUTAGE_TELECOM)
            and is_service_wide(row, draft.territory)
            and row.held is None
        ):
            yield (
                f"system:{system}",
                "down" if (row.capacity_lost_pct or 0.0) >= _DOWN_PCT else "degraded",
            )
    for network in named(row, "network:"):
        if m is not None and name == "customers_cut" and (cut := as_number(m.value)) is not None:
            yield f"network:{network}", "down" if cut > 0 else "up"
        elif row.type in (T.OUTAGE_IT, T.OUTAGE_TELECOM, T.OUTAGE_WATER):
            yield (
                f"network:{network}",
                "down" if (row.capacity_lost_pct or 0.0) >= _DOWN_PCT else "degraded",
            )


def _is_the_network(row: ReportRow) -> bool:
    """Return whether a report is about public transport as a whole, not about a road or a place."""
    return site_of(row) is None and row.commune is None and not row.zone and not named(row, "road:")


def _is_of_the_same(draft: Draft, row: ReportRow, id: str) -> bool:
    """Return whether a report is about the same object as one that set the flag to down.

    Only such a report sets it up again. Rule D76, entitled sources.
    """
    flag = draft.state.flags.get(id)
    return flag is not None and any(
        objects_of(told) == objects_of(row) for told in draft.told(flag.reports)
    )


def _put(draft: Draft, id: str, value: Value, row: ReportRow, incident: str | None) -> None:
    old = draft.state.flags.get(id)
    if old is not None and row.occurred_at < _newest_word(draft, old):
        _say_since_when(draft, old, value, row)
        return
    at_once = id.startswith(_AT_ONCE)
    windows, speaks_of = (
        () if at_once else row.effective,
        _next_day([row], draft.now) if at_once else None,
    )
    if all_over(windows, draft.now):
        return
    effective_from = None if inside(windows, draft.now) else _next(windows, draft.now)
    until = None if effective_from is not None else _end(windows, draft.now)
    if effective_from is not None and value == _mild(id):
        return  # up again once that is reported, not once it is announced (D9)
    if old is not None and effective_from is None and _contradicts(draft, row, value, old):
        stands, other = (row.id, old.reports[0]) if value != _mild(id) else (old.reports[0], row.id)
        tasks.ask(
            draft,
            "contested",
            report=stands,
            incident=draft.incident_of(stands) or incident,
            candidates=(other,),
        )
        if stands != row.id:
            return
    planned = draft.state.hushed.get(row.id) == "maintenance"
    if old is not None and (old.value, old.effective_from) == (value, effective_from):
        if row.id not in old.reports:
            reports = (*old.reports[: _SHOWN - 1], row.id)
            later = None if until is None or old.until is None else max(until, old.until)
            values = {
                "reports": reports,
                "until": later,
                "maintenance": old.maintenance and planned,
            }
            if at_once:
                values["speaks_of"] = (
                    _next_day([*draft.told(old.reports), row], draft.now) or old.speaks_of
                )
                values["digest_at"] = digest_at(draft, value)
            draft.emit(FlagChanged(row=changed(old, values)))
        return
    if old is not None and id.startswith("river:"):
        incident = incident or old.incident
    for report in old.reports if old is not None else ():
        tasks.void(draft, "contested", report, "newer_word")
    draft.emit(
        FlagChanged(
            row=FlagRow(
                id=id,
                value=value,
                since=row.occurred_at,
                effective_from=effective_from,
                until=until,
                speaks_of=speaks_of,
                incident=incident,
                reports=(row.id,),
                maintenance=planned,
                digest_at=digest_at(draft, value) if id.startswith("vigilance:") else None,
            )
        )
    )


def _say_since_when(draft: Draft, old: FlagRow, value: Value, row: ReportRow) -> None:
    """Correct the beginning of a flag's value by a late report.

    The value began earlier than known, or it was different in between. Walks over all reports: late
    reports are rare. Rule D7, late reports.
    """
    lasts = old.value != _mild(old.id) and old.effective_from is None and old.until is None
    if not lasts or (row.effective and not old.id.startswith(_AT_ONCE)):
        return
    values: dict[str, object] = {}
    if (
        value == old.value
        and row.occurred_at < old.since
        and not _was_otherwise(draft, old, row.occurred_at)
    ):
        planned = draft.state.hushed.get(row.id) == "maintenance"
        values = {
            "since": row.occurred_at,
            "reports": (row.id, *old.reports[1 - _SHOWN :]),
            "maintenance": old.maintenance and planned,
        }
    elif value != old.value and row.occurred_at > old.since:
        again = [
            (at, id)
            for at, _recorded, id, said in _said(draft, old.id)
            if said == old.value and at > row.occurred_at
        ]
        if again:
            left = tuple(r.id for r in draft.told(old.reports) if r.occurred_at > row.occurred_at)
            values = {"since": min(again)[0], "reports": left or (min(again)[1],)}
    if values:
        draft.emit(FlagChanged(row=changed(old, values)))


def _was_otherwise(draft: Draft, flag: FlagRow, after: Instant) -> bool:
    """Return whether the flag had another value, or its cause had ended, since that time."""
    said = (at for at, _recorded, _id, value in _said(draft, flag.id) if value != flag.value)
    name = flag.id.replace("kitchen:", "supplier:")
    ended = (
        c.lifted_at
        for c in draft.state.causes.values()
        if c.lifted_at is not None and name in objects_of(c)
    )
    return any(after < at <= flag.since for at in (*said, *ended))


def _next(windows: Iterable[Window], now: Instant) -> Instant | None:
    return min((w.start for w in windows if w.start > now), default=None)


def _end(windows: Iterable[Window], now: Instant) -> Instant | None:
    """Return the end of the current window; None when there is none, or it is open."""
    ends = [w.end for w in windows if w.start <= now and (w.end is None or now < w.end)]
    return None if not ends or None in ends else max(e for e in ends if e is not None)


def _next_day(rows: Iterable[ReportRow], now: Instant) -> Instant | None:
    """Return the start of the period that these reports declare.

    Of several the nearest that is not over counts, else the last. Replaced and withdrawn reports do
    not count.
    """
    said = [r.effective for r in rows if r.effective and stands(r)]
    ahead = [w for windows in said for w in windows if w.end is None or w.end > now]
    if ahead:
        return min(w.start for w in ahead)
    return max((windows[-1].start for windows in said), default=None)


def _contradicts(draft: Draft, row: ReportRow, value: Value, old: FlagRow) -> bool:
    """Return whether another source reports the opposite for the very same time. Rule D5."""
    if (
        old.effective_from is not None
        or value == old.value
        or _mild(old.id) not in (value, old.value)
    ):
        return False
    told = draft.told(old.reports)
    return (
        bool(told)
        and row.occurred_at == _newest_word(draft, old)
        and all(r.source != row.source for r in told)
    )


def _mild(id: str) -> Value:
    """Return the value of a flag that is less grave than any other."""
    return True if id == f"flag:{ALL_CLEAR}" else _NOTHING_SAID.get(id.partition(":")[0], "up")


def _newest_word(draft: Draft, row: FlagRow) -> Instant:
    """Return the time of the newest report of a flag.

    A repetition confirms the value, so an older report does not change it. Rule D7, late reports.
    """
    return max((r.occurred_at for r in draft.told(row.reports)), default=row.since)


def withdraw(draft: Draft, report: str) -> None:
    """Remove a cancelled or denied report from the flags; other reports give their value.

    Walks over all reports when no other report gave the same value. Rule D3, cancellations.
    """
    tasks.void(draft, "contested", report, "withdrawn")
    for row in in_order(f for f in draft.state.flags.values() if report in f.reports):
        left = draft.told(i for i in row.reports if i != report)
        if left:
            values = {
                "reports": tuple(r.id for r in left),
                "since": min(r.occurred_at for r in left),
                "speaks_of": None,
            }
            if row.id.startswith(_AT_ONCE):
                values["speaks_of"] = _next_day(left, draft.now) or row.speaks_of
            draft.emit(FlagChanged(row=changed(row, values)))
        else:
            _fall_back(draft, row)


def _said(draft: Draft, flag: str) -> list[tuple[Instant, Instant, str, Value]]:
    """Return (occurred_at, recorded_at, report, value) of all confirmed reports on a flag.

    Walks over all reports.
    """
    return [
        (r.occurred_at, r.recorded_at, r.id, value)
        for r in draft.state.reports.values()
        if r.confirmation == "confirmed"
        and "cancelled" not in r.flags
        and "area_unknown" not in r.flags
        for id, value in _declared(draft, r)
        if id == flag
    ]


def _fall_back(draft: Draft, row: FlagRow) -> None:
    said = _said(draft, row.id)
    if not said:
        nothing = _NOTHING_SAID.get(row.id.partition(":")[0], "up")
        draft.emit(
            FlagChanged(
                row=changed(
                    row,
                    {
                        "value": nothing,
                        "effective_from": None,
                        "speaks_of": None,
                        "reports": (),
                        "maintenance": False,
                    },
                )
            )
        )
        return
    since, _recorded, report, value = max(said, key=lambda s: s[:3])
    planned = draft.state.hushed.get(report) == "maintenance"
    speaks_of = (
        _next_day([draft.state.reports[report]], draft.now) if row.id.startswith(_AT_ONCE) else None
    )
    draft.emit(
        FlagChanged(
            row=FlagRow(
                id=row.id,
                value=value,
                since=since,
                speaks_of=speaks_of,
                incident=draft.incident_of(report),
                reports=(report,),
                maintenance=planned,
            )
        )
    )


def follow(draft: Draft) -> None:
    """Set dependencies up again after their causes have ended.

    Another open cause keeps them down.
    """
    ended, draft.ended = [draft.state.causes[c] for c in draft.ended], []
    for cause in ended:
        if cause.lifted_at is None:
            continue
        said = (
            f
            for f in draft.state.flags.values()
            if f.id.startswith(_HOLDING) and f.value != "up" and _says(f, cause.reports)
        )
        for row in in_order(said):
            left = _held_by(draft, row.id)
            if left:
                draft.emit(FlagChanged(row=changed(row, {"reports": left[:_SHOWN]})))
            elif cause.lifted_at >= row.since:
                values = {
                    "value": "up",
                    "since": cause.lifted_at,
                    "effective_from": None,
                    "reports": _by(draft, cause.lifted_by),
                }
                draft.emit(FlagChanged(row=changed(row, values)))


def _says(row: FlagRow, reports: Iterable[str]) -> bool:
    return not frozenset(row.reports).isdisjoint(reports)


def _held_by(draft: Draft, id: str) -> tuple[str, ...]:
    """Return the first report of each open cause that keeps a dependency down.

    Walks over the open causes: call it only when one of them has ended.
    """
    name = id.replace("kitchen:", "supplier:")
    about = (c for c in all_open(draft) if name in objects_of(c))
    return tuple(c.reports[0] for c in sorted(about, key=lambda c: (c.since, c.id)))


def _by(draft: Draft, by: str | None) -> tuple[str, ...]:
    report = (by or "").removeprefix(WITHDRAWN)
    return (report,) if report in draft.state.reports else ()


def _restore(draft: Draft, row: ReportRow) -> None:
    """End the causes that a restoration names, or that a revoked declaration had opened."""
    m, name = row.measure, measure_name(row)
    if m is None or "planned" in row.flags:
        return
    if name == "system_restored" and as_truth(m.value):
        end_system_outages(draft, row)
    if name == "colleges_served" and m.value_of and (as_number(m.value) or 0.0) >= m.value_of:
        for supplier in named(row, "supplier:"):
            end_supplier_failures(draft, supplier, row)
    flag = draft.state.flags.get(f"flag:{name}")
    if (
        flag is not None
        and flag.value is _mild(flag.id)
        and takes_back(row, draft.state.rules.flag_names)
    ):
        end_declared(draft, row)


def turn(draft: Draft, id: str) -> None:
    """Apply a due flag: an announced value comes into force, or its window ends.

    After a window the flag waits for the next one, or is over. Rule D9, planned events.
    """
    row, now = draft.state.flags[id], draft.now
    told = [r for r in draft.told(row.reports) if is_confirmed(r) and "cancelled" not in r.flags]
    speaking = [r for r in told if inside(r.effective, now)]
    values: dict[str, object] = {"effective_from": None, "until": _last(speaking, now)}
    if row.effective_from is not None:
        values["since"] = max(row.since, row.effective_from)
    elif not speaking:
        values["effective_from"] = _next((w for r in told for w in r.effective), now)
        if values["effective_from"] is None:
            values |= {"value": _mild(id), "since": row.until or now}
    draft.emit(FlagChanged(row=changed(row, values)))


def _last(rows: Iterable[ReportRow], now: Instant) -> Instant | None:
    """Return the latest end of these reports' current windows; None when one has no end."""
    ends = [_end(r.effective, now) for r in rows]
    return None if not ends or None in ends else max(e for e in ends if e is not None)
