"""Flags: vigilance, rivers, roads, systems, kitchens and true/false declarations.

The newest report by `occurred_at` stands; an older one changes no value. Rules D3 and D7.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from schemas.alerts import FlagChanged, FlagRow, ReportRow
from schemas.base import Instant, copy_with
from schemas.reports import Window
from schemas.words import EventType as T
from schemas.words import MsgType
from services.alerts.causes.cause_lifecycle import list_open_causes
from services.alerts.causes.restoration import (
    end_revoked_declarations,
    end_supplier_failures,
    end_system_outages,
    is_revoked_by,
)
from services.alerts.decision import AlertsDecision, cancel_task, open_task, sort_by_id
from services.alerts.declarations.declared_values import FlagValue, list_declarations
from services.alerts.declarations.yellow_vigilance import YELLOW, compute_digest_time
from services.alerts.reference.territory import (
    ALL_CLEAR_MEASURE,
    COLOURS,
    RESTORED_MEASURE,
)
from services.alerts.reports.report_facts import (
    WITHDRAWN,
    are_windows_over,
    get_measure_name,
    is_confirmed,
    is_inside,
    is_revocation,
    is_standing,
    list_communes,
    list_named,
    list_objects,
    parse_truth,
    serves_all,
)

_IMMEDIATE_PREFIXES: Final = ("vigilance:", "flag:", "river:")
"""Flags in force as soon as they are declared, for whichever period.

An announced failure begins later. Rule D9, planned events.
"""
_DEPENDENCY_PREFIXES: Final = ("system:", "network:", "kitchen:", "supplier:")
"""Flags that causes set to down; they are up again when the last such cause has ended."""
_MAX_REPORTS: Final = 5
"""Reports that a flag names: the first and the newest ones."""
_DEFAULT_VALUES: Final[dict[str, FlagValue]] = {
    "vigilance": "vert",
    "flag": False,
    "road": False,
    "river": 0.0,
    "forecast": "",
    "measure": "",
}
"""Value of a flag without a declaration; for a dependency it is `up`."""


ENDS_IN_PART: Final = "ends_in_part"
"""Flag of a report that ends a declaration for less than it was declared for. Rule D3."""


def apply_declarations(draft: AlertsDecision, row: ReportRow, incident: str | None) -> ReportRow:
    """Apply a confirmed report's declarations beyond its own site, and return the report.

    A report from an unknown area declares nothing: it may be about another territory. One that ends
    a declaration in part is flagged, so that its sender knows why the rest stays.
    """
    if "area_unknown" in row.flags:
        return row
    ends_in_part = False
    withdrawn = _list_referenced_declarations(draft, row) if row.msg_type is MsgType.CANCEL else ()
    for id, value in list_declarations(draft, row):
        if row.type is T.INFO and _is_above_yellow(draft, id):
            continue
        if (id, value) in withdrawn or (
            value == _get_harmless_value(id) and _is_held_by_other_report(draft, row, id, withdrawn)
        ):
            continue
        if _revoke_in_part(draft, row, id, value):
            ends_in_part = True
        else:
            _set_flag(draft, id, value, row, incident)
    _end_restored_causes(draft, row)
    flags = tuple(flag for flag in row.flags if flag != ENDS_IN_PART)
    flags = (*flags, ENDS_IN_PART) if ends_in_part else flags
    return row if flags == row.flags else copy_with(row, {"flags": flags})


def are_declarations_in_force(draft: AlertsDecision, row: ReportRow) -> bool:
    """Return whether all declarations of the report hold now and without an end."""
    flags = [(draft.state.flags.get(id), value) for id, value in list_declarations(draft, row)]
    return all(
        f is not None and f.value == value and f.effective_from is None and f.until is None
        for f, value in flags
    )


def _is_held_by_other_report(
    draft: AlertsDecision, row: ReportRow, id: str, withdrawn: tuple[tuple[str, FlagValue], ...]
) -> bool:
    """Return whether another report keeps a flag that a Cancel with references would clear.

    The Cancel is about the reports that it names (rule D3). An older report keeps the flag only as
    long as its own period lasts.
    """
    flag, values = draft.state.flags.get(id), [value for about, value in withdrawn if about == id]
    if flag is None or not values or flag.value == _get_harmless_value(id):
        return False
    newest = max(r.occurred_at for r in draft.find_reports(row.references))
    others = (
        r for r in draft.find_reports(flag.reports) if r.id not in row.references and is_standing(r)
    )
    measures = draft.territory.measures
    relays = measures.relays if id.startswith("vigilance:") and measures is not None else ()
    if row.source not in relays:  # a relay repeats the colour of its publisher (D76)
        others = (r for r in others if r.source not in relays or r.occurred_at > row.occurred_at)
    return any(
        flag.value in values
        or r.occurred_at >= newest
        or (r.effective and not are_windows_over(r.effective, draft.now))
        for r in others
    )


def _revoke_in_part(draft: AlertsDecision, row: ReportRow, id: str, value: FlagValue) -> bool:
    """Revoke a declaration for some places or objects only, and return whether any of it is left.

    Declarations of other places or objects, and later ones, stay. Rules D3 and D7.
    """
    flag = draft.state.flags.get(id)
    if (
        flag is None
        or value != _get_harmless_value(id)
        or flag.value == value
        or not is_revocation(row, draft.state.rules.flag_names)
    ):
        return False
    declarations = [r for r in draft.find_reports(flag.reports) if is_standing(r)]
    earlier = list_revocations(draft, id)
    remaining = [
        r
        for r in declarations
        if r.occurred_at > row.occurred_at or not is_revoked_by(draft, row, r, earlier)
    ]
    if not remaining:
        return False
    if len(remaining) < len(declarations):
        values = {
            "reports": tuple(r.id for r in remaining),
            "since": min(r.occurred_at for r in remaining),
            "speaks_of": _find_declared_start(remaining, draft.now),
        }
        draft.emit(FlagChanged(row=copy_with(flag, values)))
    end_revoked_declarations(draft, row, earlier)
    return True


def list_revocations(draft: AlertsDecision, id: str) -> list[ReportRow]:
    """Return the reports in force that revoke a flag, perhaps for some communes only.

    Walks over all reports: revocations are rare.
    """
    names = draft.state.rules.flag_names
    return [
        r
        for r in draft.state.reports.values()
        if is_revocation(r, names)
        and f"flag:{get_measure_name(r)}" == id
        and is_confirmed(r)
        and is_standing(r)
        and "area_unknown" not in r.flags
    ]


def list_reports_in_force(draft: AlertsDecision) -> list[str]:
    """Return the reports of declarations in force, and those that end a part of one.

    However old they are, a later end or withdrawal is read against them. Rule D3.
    """
    flags = [f for f in draft.state.flags.values() if f.value != _get_harmless_value(f.id)]
    ids = {report for flag in flags for report in flag.reports}
    for flag in flags:
        if flag.id.startswith("flag:"):
            ids |= {r.id for r in list_revocations(draft, flag.id) if r.occurred_at >= flag.since}
    return sorted(id for id in ids if id in draft.state.reports)


def _outlives_revocations(
    draft: AlertsDecision, old: FlagRow, value: FlagValue, row: ReportRow
) -> bool:
    """Return whether a late declaration holds still: later reports revoked only a part of it."""
    if not old.id.startswith("flag:") or value == old.value or value == _get_harmless_value(old.id):
        return False
    return not _is_revoked(draft, row, list_revocations(draft, old.id))


def _is_revoked(
    draft: AlertsDecision, declaration: ReportRow, revocations: Sequence[ReportRow]
) -> bool:
    """Return whether revocations of the same time or later end a declaration together."""
    later = [r for r in revocations if r.occurred_at >= declaration.occurred_at]
    return any(is_revoked_by(draft, r, declaration, later) for r in later)


def _list_unrevoked(draft: AlertsDecision, id: str) -> list[ReportRow]:
    """Return the declarations of a flag that no later report revokes wholly, oldest first.

    Walks over all reports.
    """
    if not id.startswith("flag:"):
        return []
    harmless, revocations = _get_harmless_value(id), list_revocations(draft, id)
    declarations = (
        draft.state.reports[report]
        for _, _, report, value in sorted(_list_declared_values(draft, id))
        if value != harmless
    )
    return [r for r in declarations if is_standing(r) and not _is_revoked(draft, r, revocations)]


def is_declared(draft: AlertsDecision, report: ReportRow) -> bool:
    """Return whether a report declares something true that no later report has revoked wholly.

    Walks over all reports.
    """
    flag = draft.state.flags.get(f"flag:{get_measure_name(report)}")
    return (
        flag is not None
        and flag.value is not _get_harmless_value(flag.id)
        and report in _list_unrevoked(draft, flag.id)
    )


def _list_referenced_declarations(
    draft: AlertsDecision, row: ReportRow
) -> tuple[tuple[str, FlagValue], ...]:
    """Return the declarations of the reports that a Cancel names.

    The Cancel may repeat them without effect.
    """
    rows = (draft.state.reports[r] for r in row.references if r in draft.state.reports)
    return tuple(declaration for r in rows for declaration in list_declarations(draft, r))


def _is_above_yellow(draft: AlertsDecision, id: str) -> bool:
    """Return whether a vigilance is orange or red: an information does not lower it."""
    flag = draft.state.flags.get(id) if id.startswith("vigilance:") else None
    return flag is not None and flag.value in COLOURS[COLOURS.index(YELLOW) + 1 :]


def _set_flag(
    draft: AlertsDecision, id: str, value: FlagValue, row: ReportRow, incident: str | None
) -> None:
    old = draft.state.flags.get(id)
    is_late = old is not None and row.occurred_at < _find_newest_report_time(draft, old)
    if old is not None and is_late and not _outlives_revocations(draft, old, value, row):
        if _is_hit_supplier(old) and not row.effective:
            _settle_supplier(draft, old, (row.occurred_at, row.recorded_at, row.id, value))
        else:
            _correct_start(draft, old, value, row)
        return
    at_once = id.startswith(_IMMEDIATE_PREFIXES)
    windows, speaks_of = (
        () if at_once else row.effective,
        _find_declared_start([row], draft.now) if at_once else None,
    )
    if are_windows_over(windows, draft.now):
        return
    effective_from = None if is_inside(windows, draft.now) else _find_next_start(windows, draft.now)
    until = None if effective_from is not None else _find_current_end(windows, draft.now)
    if effective_from is not None and value == _get_harmless_value(id):
        return  # up again once that is reported, not once it is announced (D9)
    if old is not None and effective_from is None and _keeps_share(id, old.value, value):
        value = old.value
    if old is not None and effective_from is None and _is_contradiction(draft, row, value, old):
        stands, other = (
            (row.id, old.reports[0])
            if value != _get_harmless_value(id)
            else (old.reports[0], row.id)
        )
        open_task(
            draft,
            "contested",
            report=stands,
            incident=draft.incident_of(stands) or incident,
            candidates=(other,),
        )
        if stands != row.id:
            return
    is_planned = draft.state.hushed.get(row.id) == "maintenance"
    if old is not None and (old.value, old.effective_from) == (value, effective_from):
        if row.id not in old.reports:
            reports = (*old.reports[: _MAX_REPORTS - 1], row.id)
            later = None if until is None or old.until is None else max(until, old.until)
            values = {
                "reports": reports,
                "until": later,
                "maintenance": old.maintenance and is_planned,
            }
            if at_once:
                values["speaks_of"] = (
                    _find_declared_start([*draft.find_reports(old.reports), row], draft.now)
                    or old.speaks_of
                )
                values["digest_at"] = compute_digest_time(draft, value)
            draft.emit(FlagChanged(row=copy_with(old, values)))
        return
    if old is not None and id.startswith("river:"):
        incident = incident or old.incident
    for report in old.reports if old is not None else ():
        cancel_task(draft, "contested", report, "newer_word")
    parts = _list_parts(draft, old, value, row)
    draft.emit(
        FlagChanged(
            row=FlagRow(
                id=id,
                value=value,
                since=parts[-1].occurred_at,
                effective_from=effective_from,
                until=until,
                speaks_of=speaks_of,
                incident=incident,
                reports=tuple(r.id for r in parts[-_MAX_REPORTS:]),
                maintenance=is_planned,
                digest_at=compute_digest_time(draft, value)
                if id.startswith("vigilance:")
                else None,
            )
        )
    )


def _list_parts(
    draft: AlertsDecision, old: FlagRow | None, value: FlagValue, row: ReportRow
) -> list[ReportRow]:
    """Return the reports that give a flag its new value, oldest first: several end it in parts."""
    if (
        old is None
        or not old.id.startswith("flag:")
        or value != _get_harmless_value(old.id)
        or not list_communes(row, draft.territory)
        or not is_revocation(row, draft.state.rules.flag_names)
    ):
        return [row]
    earlier = (
        r
        for r in list_revocations(draft, old.id)
        if r.id != row.id and r.occurred_at >= old.since and list_communes(r, draft.territory)
    )
    return sorted((*earlier, row), key=lambda r: (r.occurred_at, r.recorded_at, r.id))


def _correct_start(draft: AlertsDecision, old: FlagRow, value: FlagValue, row: ReportRow) -> None:
    """Correct the beginning of a flag's value by a late report.

    The value began earlier than known, or it was different in between. Walks over all reports: late
    reports are rare. Rule D7, late reports.
    """
    lasts = (
        old.value != _get_harmless_value(old.id)
        and old.effective_from is None
        and old.until is None
    )
    if not lasts or (row.effective and not old.id.startswith(_IMMEDIATE_PREFIXES)):
        return
    values: dict[str, object] = {}
    if (
        value == old.value
        and row.occurred_at < old.since
        and not _had_other_value(draft, old, row.occurred_at)
    ):
        is_planned = draft.state.hushed.get(row.id) == "maintenance"
        values = {
            "since": row.occurred_at,
            "reports": (row.id, *old.reports[1 - _MAX_REPORTS :]),
            "maintenance": old.maintenance and is_planned,
        }
    elif value != old.value and row.occurred_at > old.since:
        returns = [
            (at, id)
            for at, _recorded_at, id, declared_value in _list_declared_values(draft, old.id)
            if declared_value == old.value and at > row.occurred_at
        ]
        if returns:
            later = tuple(
                r.id for r in draft.find_reports(old.reports) if r.occurred_at > row.occurred_at
            )
            values = {"since": min(returns)[0], "reports": later or (min(returns)[1],)}
    if values:
        draft.emit(FlagChanged(row=copy_with(old, values)))


def _is_hit_supplier(flag: FlagRow) -> bool:
    return flag.id.startswith("supplier:") and flag.value != "up" and flag.effective_from is None


def _keeps_share(id: str, share: FlagValue, value: FlagValue) -> bool:
    """Return whether a share that a supplier stated stands beside a failure without a number."""
    has_share = not isinstance(share, str) and share < 100
    return id.startswith("supplier:") and value == "down" and has_share


def _settle_supplier(
    draft: AlertsDecision, flag: FlagRow, *late: tuple[Instant, Instant, str, FlagValue]
) -> None:
    """Set a supplier that is hit by all reports about it, in the order of their times.

    Walks over all reports. Rules D3, D7 and D40.
    """
    causes = [cause for cause in draft.state.causes.values() if flag.id in list_objects(cause)]
    open_since = min(
        (cause.since for cause in causes if cause.lifted_at is None), default=draft.now
    )
    ends = [
        (cause.lifted_at, cause.lifted_at, "", "up")
        for cause in causes
        if cause.lifted_at is not None and cause.lifted_at <= open_since
    ]
    declarations = {*_list_declared_values(draft, flag.id), *late, *ends}
    value: FlagValue = "up"
    since, reports = flag.since, list[str]()
    for at, _recorded_at, report, declared in sorted(declarations, key=lambda one: one[:3]):
        if reports and (declared == value or _keeps_share(flag.id, value, declared)):
            reports.append(report)
        else:
            value, since, reports = declared, at, [report]
    if value != "up":
        values = {"value": value, "since": since, "reports": tuple(reports[:_MAX_REPORTS])}
        draft.emit(FlagChanged(row=copy_with(flag, values)))


def _had_other_value(draft: AlertsDecision, flag: FlagRow, after: Instant) -> bool:
    """Return whether the flag had another value, or its cause had ended, since that time."""
    changes = (
        at
        for at, _recorded_at, _id, value in _list_declared_values(draft, flag.id)
        if value != flag.value
    )
    name = flag.id.replace("kitchen:", "supplier:")
    ends = (
        c.lifted_at
        for c in draft.state.causes.values()
        if c.lifted_at is not None and name in list_objects(c)
    )
    return any(after < at <= flag.since for at in (*changes, *ends))


def _find_next_start(windows: Iterable[Window], now: Instant) -> Instant | None:
    return min((w.start for w in windows if w.start > now), default=None)


def _find_current_end(windows: Iterable[Window], now: Instant) -> Instant | None:
    """Return the end of the current window; None when there is none, or it is open."""
    ends = [w.end for w in windows if w.start <= now and (w.end is None or now < w.end)]
    return None if not ends or None in ends else max(e for e in ends if e is not None)


def _find_declared_start(rows: Iterable[ReportRow], now: Instant) -> Instant | None:
    """Return the start of the period that these reports declare.

    The nearest of several that is not over counts, else the last. Replaced and withdrawn reports do
    not count.
    """
    periods = [r.effective for r in rows if r.effective and is_standing(r)]
    ahead = [w for windows in periods for w in windows if w.end is None or w.end > now]
    if ahead:
        return min(w.start for w in ahead)
    return max((windows[-1].start for windows in periods), default=None)


def _is_contradiction(
    draft: AlertsDecision, row: ReportRow, value: FlagValue, old: FlagRow
) -> bool:
    """Return whether another source reports the opposite for the very same time. Rule D5."""
    if (
        old.effective_from is not None
        or value == old.value
        or _get_harmless_value(old.id) not in (value, old.value)
    ):
        return False
    reports = draft.find_reports(old.reports)
    return (
        bool(reports)
        and row.occurred_at == _find_newest_report_time(draft, old)
        and all(r.source != row.source for r in reports)
    )


def _get_harmless_value(id: str) -> FlagValue:
    """Return the value of a flag that is less grave than any other."""
    return (
        True
        if id == f"flag:{ALL_CLEAR_MEASURE}"
        else _DEFAULT_VALUES.get(id.partition(":")[0], "up")
    )


def _find_newest_report_time(draft: AlertsDecision, row: FlagRow) -> Instant:
    """Return the time of the newest report of a flag.

    A repetition confirms the value, so an older report does not change it. Rule D7, late reports.
    """
    return max((r.occurred_at for r in draft.find_reports(row.reports)), default=row.since)


def withdraw_declarations(draft: AlertsDecision, report: str) -> None:
    """Remove a cancelled or denied report from the flags; other reports give their value.

    Walks over all reports when no other report gave the same value. Rule D3, cancellations.
    """
    cancel_task(draft, "contested", report, "withdrawn")
    withdrawn = draft.state.reports.get(report)
    revoked_flag = (
        f"flag:{get_measure_name(withdrawn)}"
        if withdrawn is not None and is_revocation(withdrawn, draft.state.rules.flag_names)
        else None
    )
    flags = (f for f in draft.state.flags.values() if report in f.reports or f.id == revoked_flag)
    for row in sort_by_id(flags):
        others = draft.find_reports(i for i in row.reports if i != report)
        if row.id == revoked_flag and (unrevoked := _list_unrevoked(draft, row.id)):
            _declare_again(draft, row, unrevoked)
        elif report not in row.reports:
            continue
        elif others and _is_hit_supplier(row):
            _settle_supplier(draft, row)
        elif others:
            values = {
                "reports": tuple(r.id for r in others),
                "since": min(r.occurred_at for r in others),
                "speaks_of": None,
            }
            if row.id.startswith(_IMMEDIATE_PREFIXES):
                values["speaks_of"] = _find_declared_start(others, draft.now) or row.speaks_of
            draft.emit(FlagChanged(row=copy_with(row, values)))
        else:
            _restore_earlier_value(draft, row)


def _declare_again(draft: AlertsDecision, row: FlagRow, unrevoked: Sequence[ReportRow]) -> None:
    """Set a flag by the declarations that nothing revokes, because a revocation was withdrawn."""
    reports = (
        unrevoked
        if len(unrevoked) <= _MAX_REPORTS
        else (unrevoked[0], *unrevoked[1 - _MAX_REPORTS :])
    )
    hushed = draft.state.hushed
    draft.emit(
        FlagChanged(
            row=FlagRow(
                id=row.id,
                value=not _get_harmless_value(row.id),
                since=unrevoked[0].occurred_at,
                speaks_of=_find_declared_start(unrevoked, draft.now),
                incident=draft.incident_of(unrevoked[0].id),
                reports=tuple(r.id for r in reports),
                maintenance=all(hushed.get(r.id) == "maintenance" for r in unrevoked),
            )
        )
    )


def _list_declared_values(
    draft: AlertsDecision, flag: str
) -> list[tuple[Instant, Instant, str, FlagValue]]:
    """Return (occurred_at, recorded_at, report, value) of all confirmed reports on a flag.

    Walks over all reports.
    """
    return [
        (r.occurred_at, r.recorded_at, r.id, value)
        for r in draft.state.reports.values()
        if r.confirmation == "confirmed"
        and "cancelled" not in r.flags
        and "area_unknown" not in r.flags
        for id, value in _list_own_declarations(draft, r)
        if id == flag
    ]


def _list_own_declarations(draft: AlertsDecision, row: ReportRow) -> list[tuple[str, FlagValue]]:
    """Return the declarations of a report without those that a Cancel repeats to withdraw them."""
    repeated = _list_referenced_declarations(draft, row) if row.msg_type is MsgType.CANCEL else ()
    return [made for made in list_declarations(draft, row) if made not in repeated]


def _restore_earlier_value(draft: AlertsDecision, row: FlagRow) -> None:
    declarations = _list_declared_values(draft, row.id)
    if not declarations:
        nothing = _DEFAULT_VALUES.get(row.id.partition(":")[0], "up")
        draft.emit(
            FlagChanged(
                row=copy_with(
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
    since, _recorded_at, report, value = max(declarations, key=lambda s: s[:3])
    is_planned = draft.state.hushed.get(report) == "maintenance"
    speaks_of = (
        _find_declared_start([draft.state.reports[report]], draft.now)
        if row.id.startswith(_IMMEDIATE_PREFIXES)
        else None
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
                maintenance=is_planned,
            )
        )
    )


def move_flags(draft: AlertsDecision, reports: Collection[str], into: str) -> None:
    """Move the flags that only these reports declare to another incident. Rule D25, split."""
    moved_flags = (
        f for f in draft.state.flags.values() if f.reports and all(r in reports for r in f.reports)
    )
    for row in sort_by_id(moved_flags):
        draft.emit(FlagChanged(row=copy_with(row, {"incident": into})))


def restore_dependencies(draft: AlertsDecision) -> None:
    """Set dependencies up again after their causes have ended.

    Another open cause keeps them down.
    """
    ended_causes, draft.ended = [draft.state.causes[c] for c in draft.ended], []
    for cause in ended_causes:
        if cause.lifted_at is None:
            continue
        flags = (
            f
            for f in draft.state.flags.values()
            if f.id.startswith(_DEPENDENCY_PREFIXES)
            and f.value != "up"
            and _is_declared_by(f, cause.reports)
        )
        for row in sort_by_id(flags):
            holding = _list_reports_holding(draft, row.id)
            if holding and _is_hit_supplier(row):
                _settle_supplier(draft, row)
            elif holding:
                draft.emit(FlagChanged(row=copy_with(row, {"reports": holding[:_MAX_REPORTS]})))
            elif cause.lifted_at >= row.since:
                values = {
                    "value": "up",
                    "since": cause.lifted_at,
                    "effective_from": None,
                    "reports": _resolve_ending_report(draft, cause.lifted_by),
                }
                draft.emit(FlagChanged(row=copy_with(row, values)))


def _is_declared_by(row: FlagRow, reports: Iterable[str]) -> bool:
    return not frozenset(row.reports).isdisjoint(reports)


def _list_reports_holding(draft: AlertsDecision, id: str) -> tuple[str, ...]:
    """Return the first report of each open cause that keeps a dependency down.

    Walks over the open causes: call it only when one of them has ended.
    """
    name = id.replace("kitchen:", "supplier:")
    about = (c for c in list_open_causes(draft) if name in list_objects(c))
    return tuple(c.reports[0] for c in sorted(about, key=lambda c: (c.since, c.id)))


def _resolve_ending_report(draft: AlertsDecision, by: str | None) -> tuple[str, ...]:
    report = (by or "").removeprefix(WITHDRAWN)
    return (report,) if report in draft.state.reports else ()


def _end_restored_causes(draft: AlertsDecision, row: ReportRow) -> None:
    """End the causes that a restoration names, or that a revoked declaration had opened."""
    m, name = row.measure, get_measure_name(row)
    if m is None or "planned" in row.flags:
        return
    if name == RESTORED_MEASURE and parse_truth(m.value):
        end_system_outages(draft, row)
    if serves_all(row):
        for supplier in list_named(row, "supplier:"):
            end_supplier_failures(draft, supplier, row)
    flag = draft.state.flags.get(f"flag:{name}")
    if (
        flag is not None
        and flag.value is _get_harmless_value(flag.id)
        and is_revocation(row, draft.state.rules.flag_names)
    ):
        end_revoked_declarations(draft, row, list_revocations(draft, flag.id))


def on_flag_due(draft: AlertsDecision, id: str) -> None:
    """Apply a due flag: an announced value comes into force, or its window ends.

    After a window the flag waits for the next one, or is over. Rule D9, planned events.
    """
    row, now = draft.state.flags[id], draft.now
    reports = [
        r for r in draft.find_reports(row.reports) if is_confirmed(r) and "cancelled" not in r.flags
    ]
    speaking = [r for r in reports if is_inside(r.effective, now)]
    values: dict[str, object] = {"effective_from": None, "until": _find_last_end(speaking, now)}
    if row.effective_from is not None:
        values["since"] = max(row.since, row.effective_from)
    elif not speaking:
        values["effective_from"] = _find_next_start((w for r in reports for w in r.effective), now)
        if values["effective_from"] is None:
            values |= {"value": _get_harmless_value(id), "since": row.until or now}
    draft.emit(FlagChanged(row=copy_with(row, values)))
    draft.concerned.update(i for i in (draft.resolve_incident(row.incident),) if i is not None)


def _find_last_end(rows: Iterable[ReportRow], now: Instant) -> Instant | None:
    """Return the latest end of these reports' current windows; None when one has no end."""
    ends = [_find_current_end(r.effective, now) for r in rows]
    return None if not ends or None in ends else max(e for e in ends if e is not None)
