"""Compare the history of a realm with `expectations.yaml` (docs/reference/rules.md, section 12).

The checks use only the facts of the three logs, by the row rule: the last row of each collection
and id counts. They need no read model, so they work for a realm on Kafka and for deciders composed
in memory.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.base import MINUTE_MS, PartFact, RowFact, message_class
from schemas.wire import join_part
from services.runtime.log.transaction import FactRecord
from services.simulation.expectations import find_faults
from services.territory.source import (
    YamlInvalid,
    find_line,
    is_too_large,
    read_yaml,
    to_plain_value,
)

Check = dict[str, Any]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Verdict of one expectation; `got` describes the actual value for people."""

    id: str
    ok: bool
    got: str
    why: str


@dataclass
class RealmHistory:
    """Facts of one realm in time order, with the rows as known at a given minute."""

    start: int
    """T+0, ms UTC."""
    facts: list[FactRecord]
    sites: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Static part of each site (kind, pôle), from the reference data."""

    def __post_init__(self) -> None:
        # Stable sort: facts of one service keep their log order.
        self.facts.sort(key=lambda f: f.at)
        self._until: float = float("-inf")
        self._next = 0
        self._rows: dict[str, dict[str, Row]] = {}
        self._parts: dict[str, dict[str, Row]] = {}

    def minute(self, at: int) -> float:
        """Convert a time to minutes since T+0."""
        return (at - self.start) / MINUTE_MS

    def up_to(self, at_min: float) -> Iterable[FactRecord]:
        """Return the facts known at T + `at_min`."""
        end = self.start + at_min * MINUTE_MS
        return (f for f in self.facts if f.at <= end)

    def rows(self, collection: str, at_min: float) -> dict[str, Row]:
        """Return the rows of a collection as known at T + `at_min`.

        Ask in ascending order: an earlier time rebuilds the rows from the start.
        """
        if at_min < self._until:
            self._next, self._rows, self._parts = 0, {}, {}
        self._until = at_min
        end = self.start + at_min * MINUTE_MS
        while self._next < len(self.facts) and self.facts[self._next].at <= end:
            fact = self.facts[self._next]
            cls = message_class(fact.type)
            if issubclass(cls, RowFact):
                self._put(cls, fact.data["row"])
            self._next += 1
        return self._rows.get(collection, {})

    def _put(self, cls: type[RowFact], row: Row) -> None:
        """Keep a row, joined with the fields of its part."""
        if issubclass(cls, PartFact):
            self._parts.setdefault(cls.part_of, {})[row["id"]] = row
            whole = self._rows.setdefault(cls.part_of, {})
            whole[row["id"]] = join_part(whole[row["id"]], row)
        else:
            part = self._parts.get(cls.collection, {}).get(row["id"])
            self._rows.setdefault(cls.collection, {})[row["id"]] = join_part(row, part)

    def list_facts(self, name: str, at_min: float) -> list[FactRecord]:
        return [f for f in self.up_to(at_min) if f.name == name]


def _is_within_bounds(value: float | None, check: Check) -> bool:
    low, high = check["between"]
    return value is not None and bool(low - 1e-9 <= value <= high + 1e-9)


def _is_count_in_bounds(count: int, check: Check) -> bool:
    return bool(check.get("min", 0) <= count <= check.get("max", 10**9))


def _find_report(h: RealmHistory, event: str, at_min: float) -> Row | None:
    return next((r for r in h.rows("reports", at_min).values() if r["alias"] == event), None)


def _find_incident(h: RealmHistory, event: str, at_min: float) -> Row | None:
    report = _find_report(h, event, at_min)
    incidents = h.rows("incidents", at_min)
    incident = incidents.get(report["incident"]) if report and report["incident"] else None
    while incident and incident["merged_into"]:
        incident = incidents.get(incident["merged_into"])
    return incident


def _check_level(h: RealmHistory, c: Check) -> tuple[bool, str]:
    row = h.rows("levels", c["at_min"]).get("territory")
    level = row["level"] if row else 0
    return _is_count_in_bounds(level, c), f"N{level}"


def _check_level_first(h: RealmHistory, c: Check) -> tuple[bool, str]:
    changes = [
        f for f in h.list_facts("LevelChanged", c["at_min"]) if f.data["row"]["id"] == "territory"
    ]
    first = next((h.minute(f.at) for f in changes if f.data["row"]["level"] >= c["level"]), None)
    return _is_within_bounds(first, c), "never" if first is None else f"T+{first:g}"


def _check_level_not_lowered(h: RealmHistory, c: Check) -> tuple[bool, str]:
    levels = [
        f.data["row"]["level"]
        for f in h.list_facts("LevelChanged", c["at_min"])
        if f.data["row"]["id"] == "territory"
    ]
    return levels == sorted(levels), " ".join(f"N{n}" for n in levels)


def _check_proposal_n4(h: RealmHistory, c: Check) -> tuple[bool, str]:
    changes = [
        f for f in h.list_facts("LevelChanged", c["at_min"]) if f.data["row"]["id"] == "territory"
    ]
    first = next((h.minute(f.at) for f in changes if f.data["row"]["proposed"] == 4), None)
    return _is_within_bounds(first, c), "never" if first is None else f"T+{first:g}"


def _check_incident_count(h: RealmHistory, c: Check) -> tuple[bool, str]:
    live = [
        r
        for r in h.rows("incidents", c["at_min"]).values()
        if r["state"] in ("open", "acknowledged")
    ]
    return _is_count_in_bounds(
        len(live), c
    ), f"{len(live)}: {' '.join(sorted(r['key'] for r in live))}"


def _check_incident_members(h: RealmHistory, c: Check) -> tuple[bool, str]:
    incident = _find_incident(h, c["of_event"], c["at_min"])
    if incident is None:
        return False, "no incident"
    return _is_count_in_bounds(len(incident["members"]), c), str(len(incident["members"]))


def _check_incident_includes(h: RealmHistory, c: Check) -> tuple[bool, str]:
    incident = _find_incident(h, c["of_event"], c["at_min"])
    missing = [s for s in c["sites"] if not incident or s not in incident["members"]]
    return not missing, f"missing {missing}" if missing else "all"


def _check_same_incident(h: RealmHistory, c: Check) -> tuple[bool, str]:
    incident_by_event = {
        e: (i["id"] if (i := _find_incident(h, e, c["at_min"])) else None) for e in c["events"]
    }
    same = len(set(incident_by_event.values())) == 1 and None not in incident_by_event.values()
    return same == c.get("value", True), " ".join(
        f"{e}:{(i or 'none')[:8]}" for e, i in incident_by_event.items()
    )


def _check_site_status(h: RealmHistory, c: Check) -> tuple[bool, str]:
    row = h.rows("sites", c["at_min"]).get(c["site"])
    status = row["status"] if row else "normal"
    return status in c["in"], status


def _check_sites_count(h: RealmHistory, c: Check) -> tuple[bool, str]:
    def is_counted(row: Row) -> bool:
        site = h.sites.get(row["id"], {})
        return (
            row["status"] in c["status"]
            and c.get("site_kind", site.get("kind")) == site.get("kind")
            and c.get("pole", site.get("pole")) == site.get("pole")
        )

    count = sum(is_counted(r) for r in h.rows("sites", c["at_min"]).values())
    return _is_count_in_bounds(count, c), str(count)


def _check_unknown_sites(h: RealmHistory, c: Check) -> tuple[bool, str]:
    unknown = {i for i, r in h.rows("sites", c["at_min"]).items() if r["status"] == "unknown"}
    missing, extra = set(c.get("includes", ())) - unknown, set(c.get("excludes", ())) & unknown
    return (
        _is_count_in_bounds(len(unknown), c) and not missing and not extra,
        f"{len(unknown)}, missing {sorted(missing)}, wrongly {sorted(extra)}",
    )


def _list_proposals(h: RealmHistory, c: Check) -> list[tuple[float, int]]:
    proposal_facts = [
        f
        for f in h.list_facts("PlanChanged", c["at_min"])
        if f.data["row"]["id"] == c["plan"] and f.data["change"] in ("proposed", "raised")
    ]
    return [
        (h.minute(f.at), max(f.data["row"]["level"], f.data["row"]["proposed_level"] or 0))
        for f in proposal_facts
    ]


def _list_renewed_proposals(h: RealmHistory, c: Check) -> list[tuple[float, int]]:
    """Return (minute, level) of each proposal after the plan was refused or postponed.

    Rule D49.
    """
    changes = [
        f for f in h.list_facts("PlanChanged", c["at_min"]) if f.data["row"]["id"] == c["plan"]
    ]
    put_off = next(
        (n for n, f in enumerate(changes) if f.data["change"] in ("refused", "postponed")),
        len(changes),
    )
    returns = [
        f for f in changes[put_off:] if f.data["change"] in ("proposed", "returned", "raised")
    ]
    return [
        (h.minute(f.at), max(f.data["row"]["level"], f.data["row"]["proposed_level"] or 0))
        for f in returns
    ]


def _check_plan_proposed(h: RealmHistory, c: Check) -> tuple[bool, str]:
    proposals = _list_renewed_proposals(h, c) if c.get("again") else _list_proposals(h, c)
    first = next((at for at, level in proposals if "level" not in c or level >= c["level"]), None)
    return _is_within_bounds(first, c), f"{proposals}"


def _check_plan_not_proposed(h: RealmHistory, c: Check) -> tuple[bool, str]:
    matching_proposals = [
        (at, level)
        for at, level in _list_proposals(h, c)
        if "level" not in c or level >= c["level"]
    ]
    return not matching_proposals, f"{matching_proposals}"


def _check_clock(h: RealmHistory, c: Check) -> tuple[bool, str]:
    clock = _find_local_rto(h, c) if c.get("site") else _find_territory_rto(h, c)
    state = clock["state"] if clock else "never"
    return state in c["state"], state


def _find_territory_rto(h: RealmHistory, c: Check) -> dict[str, Any] | None:
    row = h.rows("activities", c["at_min"]).get(c["activity"])
    return row["rto"] if row else None


def _find_local_rto(h: RealmHistory, c: Check) -> dict[str, Any] | None:
    row = h.rows("local_clocks", c["at_min"]).get(f"{c['activity']}/{c['site']}")
    return next((k for k in row["clocks"] if k["base"] == "rto"), None) if row else None


def _check_alarm(h: RealmHistory, c: Check) -> tuple[bool, str]:
    alarm_minutes = [
        h.minute(r["raised_at"])
        for r in h.rows("alarms", c["at_min"]).values()
        if (r["activity"], r["base"], r["pct"], r["site"])
        == (c["activity"], c["base"], c["pct"], c.get("site"))
    ]
    if c.get("never"):
        return not alarm_minutes, f"{alarm_minutes}"
    return bool(alarm_minutes) and _is_within_bounds(min(alarm_minutes), c), f"{alarm_minutes}"


def _check_notification(h: RealmHistory, c: Check) -> tuple[bool, str]:
    planned_facts = [
        f
        for f in h.list_facts("NotificationPlanned", c["at_min"])
        if f.data["level"] == c["level"] and f.data["wave"] == c["wave"]
    ]
    first = min((h.minute(f.at) for f in planned_facts), default=None)
    return _is_within_bounds(
        first, c
    ), "never" if first is None else f"T+{first:g}, {len(planned_facts)} persons"


def _check_not_confirmed(h: RealmHistory, c: Check) -> tuple[bool, str]:
    report = _find_report(h, c["event"], c["at_min"])
    if report is None:
        return False, "no such report"
    is_unconfirmed = report["confirmation"] in ("rumour", "unconfirmed", "denied")
    rows = h.rows("reports", c["at_min"]).values()
    beside = [
        r for r in rows if r["incident"] == report["incident"] and r["confirmation"] == "confirmed"
    ]
    may_stand = report["incident"] is None or (
        report["certainty"] == "unconfirmed" and bool(beside)
    )
    return is_unconfirmed and may_stand, f"{report['confirmation']}, incident {report['incident']}"


def _check_duplicate(h: RealmHistory, c: Check) -> tuple[bool, str]:
    report, first = _find_report(h, c["event"], c["at_min"]), _find_report(h, c["of"], c["at_min"])
    if report is None or first is None:
        return False, "no such report"
    return report["state"] == "duplicate" and report["of"] == first[
        "id"
    ], f"{report['state']} of {report['of']}"


def _check_headcount(h: RealmHistory, c: Check) -> tuple[bool, str]:
    counts = [
        r
        for r in h.rows("reports", c["at_min"]).values()
        if r["site"] == c["site"]
        and r["measure"]
        and r["measure"]["name"] == "headcount_found"
        and r["state"] != "refused"
    ]
    if not counts:
        return False, "no count"
    newest = max(counts, key=lambda r: (r["occurred_at"], r["recorded_at"]))["measure"]
    return (newest["value"], newest["value_of"]) == (c["found"], c["of"]), "/".join(
        _format_count(newest[name]) for name in ("value", "value_of")
    )


def _format_count(value: Any) -> str:
    """Format a number of people; "?" if the report gives none or gives text."""
    return f"{value:g}" if isinstance(value, int | float) else "?"


def _check_acknowledged(h: RealmHistory, c: Check) -> tuple[bool, str]:
    """Judge when a person first took charge of the incident of an event."""
    incident = _find_incident(h, c["event"], c["at_min"])
    if incident is None:
        return False, "no incident"
    changes = h.list_facts("IncidentChanged", c["at_min"])
    rows = [(f.at, f.data["row"]) for f in changes if f.data["row"]["id"] == incident["id"]]
    first = next((h.minute(at) for at, row in rows if row["acknowledged_by"]), None)
    return _is_within_bounds(first, c), _format_minute(first)


def _check_plan_decided(h: RealmHistory, c: Check) -> tuple[bool, str]:
    row = h.rows("plans", c["at_min"]).get(c["plan"])
    changes = [f.data["row"] for f in h.list_facts("PlanChanged", c["at_min"])]
    decisions = [r["decided_at"] for r in changes if r["id"] == c["plan"] and r["decided_at"]]
    first = h.minute(decisions[0]) if decisions else None
    state = row["state"] if row else "never proposed"
    return _is_within_bounds(first, c), f"{_format_minute(first)}, {state}"


def _check_card_done(h: RealmHistory, c: Check) -> tuple[bool, str]:
    """Judge when a card was first done; of the cards of sites, one is enough."""
    plans = [f.data["row"] for f in h.list_facts("PlanChanged", c["at_min"])]
    cards = [(p["id"], card["id"], card) for p in plans for card in p["cards"]]
    site_cards = [f.data["row"] for f in h.list_facts("SiteCardChanged", c["at_min"])]
    cards += [(row["plan"], row["card"], row) for row in site_cards]
    done_changes = [
        h.minute(card["at"])
        for plan, id, card in cards
        if (plan, id) == (c["plan"], c["card"]) and card["state"] == "done" and card["at"]
    ]
    first = min(done_changes, default=None)
    return _is_within_bounds(first, c), _format_minute(first)


def _format_minute(minute: float | None) -> str:
    return "never" if minute is None else f"T+{minute:g}"


KINDS: dict[str, Callable[[RealmHistory, Check], tuple[bool, str]]] = {
    "level": _check_level,
    "level_first": _check_level_first,
    "level_not_lowered": _check_level_not_lowered,
    "proposal_n4": _check_proposal_n4,
    "incident_count": _check_incident_count,
    "incident_members": _check_incident_members,
    "incident_includes": _check_incident_includes,
    "same_incident": _check_same_incident,
    "site_status": _check_site_status,
    "sites_count": _check_sites_count,
    "unknown_sites": _check_unknown_sites,
    "plan_proposed": _check_plan_proposed,
    "plan_not_proposed": _check_plan_not_proposed,
    "clock": _check_clock,
    "alarm": _check_alarm,
    "notification": _check_notification,
    "not_confirmed": _check_not_confirmed,
    "duplicate": _check_duplicate,
    "headcount": _check_headcount,
    "acknowledged": _check_acknowledged,
    "plan_decided": _check_plan_decided,
    "card_done": _check_card_done,
}
"""Kind of expectation → function that judges it."""


class ChecksInvalid(ValueError):
    """Signal an expectations file that cannot be judged.

    Each line of the message names a place and the reason.
    """


def load_checks(path: Path, scenario_id: str) -> list[Check]:
    """Load the expectations of a scenario by ascending `at_min`.

    Raises ChecksInvalid and OSError.
    """
    try:
        document = read_yaml(path)
    except YamlInvalid as error:
        raise ChecksInvalid(f"{path}:{error.line}: {error}") from error
    scenarios = document.get("scenarios") if isinstance(document, dict) else None
    if not isinstance(scenarios, dict) or not isinstance(scenarios.get(scenario_id), list):
        raise ChecksInvalid(
            f"{path}: no list of expectations for {scenario_id!r} under `scenarios:`"
        )
    checks = scenarios[scenario_id]
    wrong = [
        f"{path}:{find_line(checks, n)}: {what}"
        for n, check in enumerate(checks)
        for what in _list_faults(check)
    ]
    if wrong:
        raise ChecksInvalid("\n".join(wrong))
    return sorted(map(to_plain_value, checks), key=lambda c: float(c["at_min"]))


def _list_faults(check: Any) -> list[str]:
    """List the faults of an expectation, except an unknown kind, which fails when it is judged."""
    if not isinstance(check, dict) or is_too_large(check):
        return ["an expectation is a mapping: id, at_min, kind"]
    return [what for name, what in find_faults(to_plain_value(check)) if name != "kind"]


def run_checks(history: RealmHistory, checks: list[Check]) -> list[CheckResult]:
    """Judge each check and return the results in the same order.

    An unknown kind fails; it is never skipped.
    """
    results = []
    for check in checks:
        judge = KINDS.get(check["kind"])
        ok, observation = (
            judge(history, check) if judge else (False, f"unknown kind {check['kind']!r}")
        )
        results.append(CheckResult(check["id"], ok, observation, check.get("why", "")))
    return results
