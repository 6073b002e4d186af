"""IDFM PRIM: disruptions of the lines that serve the territory."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from schemas.catalogue.sources import LINE_OBJECT
from services.watch.connector import (
    POLL_DELAY,
    Bodies,
    FeedConnector,
    FeedKey,
    FeedRequest,
    FeedSpec,
    FetchVerdict,
    Look,
    Memory,
    Reading,
    build_end,
    build_post,
    is_outdated,
    read_stored_time,
)
from services.watch.line_names import HOST as LINES_HOST
from services.watch.line_names import REQUEST as LINES_REQUEST
from services.watch.line_names import (
    build_line_request,
    find_wrong_lines,
    is_list_due,
    is_named,
    keep_line_names,
)
from services.watch.parsing import (
    FeedDrift,
    LocalTime,
    StrictModel,
    check_clock,
    format_instant,
    format_local,
    parse_json,
    settle_local,
    validate_model,
)
from services.watch.watched import WatchedTerritory

HOST: Final = "prim.iledefrance-mobilites.fr"
LIFT: Final = "Ascenseur"
DISTURBED_AFTER: Final = timedelta(minutes=30)
OLDEST_UPDATE: Final = timedelta(days=30)
"""A disruption that nobody has updated for longer says nothing about now."""
NETWORK_FROM: Final = 3
NETWORK_UNTIL: Final = 2
PLAUSIBLE_SHARE: Final = 0.5
DECAY: Final = 0.98
"""Share of the usual size that stays per round: a short list becomes usual within two hours."""
BLOCKED, DISTURBED = 3, 2


class _Application(StrictModel):
    begin: LocalTime
    end: LocalTime


class _Disruption(StrictModel):
    id: str
    applicationPeriods: list[_Application] = Field(min_length=1)  # noqa: N815
    lastUpdate: LocalTime  # noqa: N815
    cause: Literal["PERTURBATION", "TRAVAUX", "INFORMATION"]
    severity: Literal["BLOQUANTE", "PERTURBEE", "INFORMATION"]
    title: str
    tags: list[str] = Field(default_factory=list)


class _Object(StrictModel):
    type: str
    id: str
    disruptionIds: list[str]  # noqa: N815


class _Line(StrictModel):
    id: str
    name: str | None = None
    shortName: str | None = None  # noqa: N815
    impactedObjects: list[_Object]  # noqa: N815


class _DisruptionDocument(StrictModel):
    disruptions: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    lastUpdatedDate: LocalTime  # noqa: N815


class IdfmDisruptions(FeedConnector):
    """Post a blocked line as information, three structural ones as a disruption of the network."""

    spec = FeedSpec(
        name="idfm-disruptions",
        title="Perturbations IDFM",
        hosts=(HOST, LINES_HOST),
        poll_s=180,
        heartbeat_s=2 * 3600,
        stale_after_s=1800,
        speaks_as="idfm",
        types=("info", "transport_disruption"),
        min_interval_s=90,
        max_bytes=12_000_000,
        key=FeedKey("apikey"),
    )

    def list_requests(self, territory: WatchedTerritory) -> Sequence[FeedRequest]:  # noqa: ARG002
        return (FeedRequest("main", f"https://{HOST}/marketplace/disruptions_bulk/disruptions/v2"),)

    def list_follow_ups(
        self, bodies: Bodies, memory: Memory, territory: WatchedTerritory
    ) -> Sequence[FeedRequest]:
        """Ask for IDFM's list of lines at the start and once a day."""
        at = self.read_time(bodies)
        is_due = at is not None and is_list_due(memory, territory, at)
        return (build_line_request(territory),) if is_due else ()

    def find_companions(self, file: Path) -> Mapping[str, Path]:
        """Find the list of lines beside a saved body."""
        list_file = file.parent / f"{LINES_REQUEST}.json"
        return {LINES_REQUEST: list_file} if list_file.exists() else {}

    def find_edition_time(self, bodies: Bodies) -> datetime | None:
        document = validate_model(_DisruptionDocument, parse_json(bodies["main"].content))
        return document.lastUpdatedDate

    def read(self, bodies: Bodies, look: Look) -> Reading:
        document = validate_model(_DisruptionDocument, parse_json(bodies["main"].content))
        edition_at = settle_local(document.lastUpdatedDate, look.now)
        check_clock(edition_at, look.now)
        reading = Reading(look.memory, edition=format_instant(edition_at), edition_at=edition_at)
        if is_outdated(edition_at, look, self.spec):
            reading.verdict = FetchVerdict.STALE
            return reading
        keep_line_names(bodies, look.territory, reading)
        is_full = [
            _is_plausible(len(document.disruptions), "usual", look.memory),
            _is_plausible(len(document.lines), "usual_lines", look.memory),
        ]
        if not all(is_full):
            reading.note_drift("disruptions, lines: fewer than half of the usual number")
            return reading.settle()
        wrong = find_wrong_lines(look.territory, reading)
        lines = _find_lines(document, look.territory, wrong, reading)
        disruptions = _read_disruptions(document, lines, look.now, reading)
        self._judge(disruptions, lines, look, reading)
        _judge_network(look, reading)
        reading.word = _write_word(look)
        return reading.settle()

    def _judge(
        self,
        disruptions: dict[str, _Disruption | None],
        lines: dict[str, list[str]],
        look: Look,
        reading: Reading,
    ) -> None:
        """Compare each disruption with the reports about it; null: it was not understood."""
        report_states: dict[str, dict[str, Any]] = look.memory.setdefault("said", {})
        earlier_sightings: dict[str, str] = look.memory.get("seen", {})
        sightings: dict[str, str] = {}
        for id, disruption in disruptions.items():
            if disruption is None:
                continue
            severity = _rate(disruption, lines[id], look)
            if severity == 0:
                continue
            if id in report_states:
                report_states[id].pop("missing", None)
                _update(report_states[id], disruption, severity, look, reading)
                continue
            first = sightings[id] = earlier_sightings.get(id, format_instant(look.now))
            if look.now - read_stored_time(first) < POLL_DELAY:
                reading.soon = True
            elif _announce(disruption, severity, lines[id], look, reading):
                del sightings[id]
        look.memory["seen"] = sightings
        for id in sorted(report_states):
            self._end(id, report_states, disruptions, lines, look, reading)

    def _end(
        self,
        id: str,
        report_states: dict[str, dict[str, Any]],
        disruptions: dict[str, _Disruption | None],
        lines: dict[str, list[str]],
        look: Look,
        reading: Reading,
    ) -> None:
        """Take back a disruption that is over, or was missing from two snapshots."""
        state = report_states[id]
        if id in disruptions:
            disruption = disruptions[id]
            if disruption is None or _rate(disruption, lines[id], look) > 0:
                return
        elif reading.verdict is FetchVerdict.DRIFT:
            return  # its line may be among those that were not understood
        else:
            missing = state.setdefault("missing", format_instant(look.now))
            over = read_stored_time(state["end"]) <= look.now
            if not over and look.now - read_stored_time(missing) < POLL_DELAY:
                reading.soon = True
                return
        assert reading.edition_at is not None
        rounds = look.memory.setdefault("rounds", {})
        rounds[id] = rounds.get(id, 0) + 1
        suffix = f"end-{rounds[id]}" if rounds[id] > 1 else "end"
        reading.posts.append(
            build_end(
                f"idfm:{id}:{suffix}",
                format_instant(reading.edition_at),
                state["alias"],
                f"{state['names']} : perturbation terminée (IDFM)",
                type="info",
                measure={"object": state["object"]},
            )
        )
        del report_states[id]


def _is_plausible(count: int, name: str, memory: Memory) -> bool:
    """Return whether a list has at least half of its usual length, which is kept up to date."""
    usual = memory.get(name, count)
    memory[name] = max(count, round(usual * DECAY, 3))
    return count > 0 and count >= usual * PLAUSIBLE_SHARE


def _check_name(line: _Line, watched_name: str) -> None:
    """Compare the name of a line with that of the territory. Raises FeedDrift."""
    line_names = [name for name in (line.shortName, line.name) if name]
    if line_names and not is_named(watched_name, line_names):
        raise FeedDrift(f"line {line.id}: not named {watched_name}, see flux.yaml")


def _find_lines(
    document: _DisruptionDocument,
    territory: WatchedTerritory,
    wrong: Collection[str],
    reading: Reading,
) -> dict[str, list[str]]:
    """Return the watched lines of each disruption that is about a whole line."""
    lines_by_disruption: dict[str, list[str]] = {}
    for raw in document.lines:
        code = str(raw.get("id", "")).removeprefix(LINE_OBJECT)
        if code not in territory.lines.names or code in wrong:
            continue
        try:
            line = validate_model(_Line, raw)
            _check_name(line, territory.lines.names[code])
        except FeedDrift as fault:
            reading.note_drift(fault)
            continue
        for item in line.impactedObjects:
            if item.type != "line":
                continue
            if item.id != line.id:
                reading.note_drift(f"line {code}: impactedObjects name another line")
                continue
            for id in item.disruptionIds:
                codes = lines_by_disruption.setdefault(id, [])
                if code not in codes:
                    codes.append(code)
    return lines_by_disruption


def _read_disruptions(
    document: _DisruptionDocument, lines: dict[str, list[str]], now: datetime, reading: Reading
) -> dict[str, _Disruption | None]:
    """Return the disruptions of watched lines by id; null for one that was not understood."""
    disruptions: dict[str, _Disruption | None] = {}
    for raw in document.disruptions:
        id = raw.get("id")
        if not isinstance(id, str) or id not in lines:
            continue
        try:
            disruption = validate_model(_Disruption, raw)
            update = settle_local(disruption.lastUpdate, now)
            disruption = disruption.model_copy(update={"lastUpdate": update})
            _check_times(disruption, now)
            if disruptions.get(id, disruption) != disruption:
                raise FeedDrift("disruptions: one id twice with a difference")
            disruptions[id] = disruption
        except FeedDrift as fault:
            disruptions[id] = None
            reading.note_drift(fault)
    for id, stored_disruption in disruptions.items():
        if stored_disruption is not None and _is_forgotten(stored_disruption, now):
            disruptions[id] = None
            reading.faults.append(f"{id[:40]}: not updated for a month")
    return disruptions


def _check_times(disruption: _Disruption, now: datetime) -> None:
    """Refuse a clock ahead and a period that ends before it begins. Raises FeedDrift."""
    check_clock(disruption.lastUpdate, now)
    if any(period.end < period.begin for period in disruption.applicationPeriods):
        raise FeedDrift("applicationPeriods: end before begin")


def _is_forgotten(disruption: _Disruption, now: datetime) -> bool:
    """Return whether an unplanned disruption is too old to be believed; the last word stands."""
    is_unplanned = disruption.cause == "PERTURBATION"
    return is_unplanned and now - disruption.lastUpdate > OLDEST_UPDATE


def _find_current(disruption: _Disruption, now: datetime) -> _Application | None:
    current = [p for p in disruption.applicationPeriods if p.begin <= now < p.end]
    return max(current, key=lambda period: period.end, default=None)


def _rate(disruption: _Disruption, codes: list[str], look: Look) -> int:
    """Return the severity to report, 0 for no news."""
    current = _find_current(disruption, look.now)
    if current is None or disruption.cause != "PERTURBATION" or LIFT in disruption.tags:
        return 0
    if not _list_reported(codes, look):
        return 0
    if disruption.severity == "BLOQUANTE":
        return BLOCKED
    structural = any(code in look.territory.lines.structural for code in codes)
    if disruption.severity == "PERTURBEE" and structural:
        begin = min(p.begin for p in disruption.applicationPeriods if p.end > look.now)
        return DISTURBED if look.now - begin >= DISTURBED_AFTER else 0
    return 0


def _list_reported(codes: list[str], look: Look) -> list[str]:
    """Return the lines that are reported by themselves; the others only enter a text."""
    return [code for code in codes if code not in look.territory.lines.text]


def _announce(
    disruption: _Disruption, severity: int, codes: list[str], look: Look, reading: Reading
) -> bool:
    """Post a disruption that is new; return True."""
    current = _find_current(disruption, look.now)
    assert current is not None
    state = {
        "object": "|".join(f"{LINE_OBJECT}{code}" for code in _list_reported(codes, look)),
        "codes": codes,
        "names": ", ".join(look.territory.lines.names[code] for code in codes),
    }
    rounds = look.memory.get("rounds", {}).get(disruption.id, 0)
    suffix = f":{rounds + 1}" if rounds else ""
    _post(state, disruption, severity, suffix, None, look, reading)
    look.memory["said"][disruption.id] = state
    return True


def _update(
    state: dict[str, Any], disruption: _Disruption, severity: int, look: Look, reading: Reading
) -> None:
    """Post a change: another severity, another end or another title."""
    current = _find_current(disruption, look.now)
    assert current is not None
    has_changed = (severity, format_instant(current.end), disruption.title) != (
        state["severity"],
        state["end"],
        state["title"],
    )
    if has_changed and state["updated"] != format_instant(disruption.lastUpdate):
        _post(state, disruption, severity, "", state["alias"], look, reading)


def _post(
    state: dict[str, Any],
    disruption: _Disruption,
    severity: int,
    suffix: str,
    reference: str | None,
    look: Look,
    reading: Reading,
) -> None:
    current = _find_current(disruption, look.now)
    assert current is not None
    alias = f"idfm:{disruption.id}:{format_local(disruption.lastUpdate)}{suffix}"
    reading.posts.append(
        build_post(
            alias,
            format_instant(disruption.lastUpdate),
            type="info",
            severity=severity,
            msg_type="Update" if reference else None,
            references=[reference] if reference else None,
            measure={"object": state["object"]},
            estimated_end=format_instant(current.end),
            headline=f"{disruption.title[:1000]} (IDFM)",
        )
    )
    state |= {
        "alias": alias,
        "severity": severity,
        "end": format_instant(current.end),
        "title": disruption.title,
        "updated": format_instant(disruption.lastUpdate),
    }


def _judge_network(look: Look, reading: Reading) -> None:
    """Post one disruption of the network while three structural lines are blocked."""
    assert reading.edition_at is not None
    structural = look.territory.lines.structural
    blocked_lines = sorted(
        {
            code
            for state in look.memory.get("said", {}).values()
            if state["severity"] == BLOCKED
            for code in state["codes"]
            if code in structural
        }
    )
    network: Memory | None = look.memory.get("network")
    at = format_instant(reading.edition_at)
    alias = f"idfm:{look.territory.code}:network:{format_local(reading.edition_at)}"
    if network is None and len(blocked_lines) < NETWORK_FROM:
        return
    if network is not None and network["lines"] == blocked_lines:
        return
    reference = network["alias"] if network else None
    if len(blocked_lines) < NETWORK_UNTIL:
        assert reference is not None
        headline = "Réseau ferré : reprise (IDFM)"
        reading.posts.append(build_end(alias, at, reference, headline, type="transport_disruption"))
        del look.memory["network"]
        return
    names = ", ".join(look.territory.lines.names[code] for code in blocked_lines)
    reading.posts.append(
        build_post(
            alias,
            at,
            type="transport_disruption",
            severity=3,
            msg_type="Update" if reference else None,
            references=[reference] if reference else None,
            measure={"object": "|".join(f"{LINE_OBJECT}{code}" for code in blocked_lines)},
            headline=f"Trafic interrompu sur {len(blocked_lines)} lignes : {names} (IDFM)",
        )
    )
    look.memory["network"] = {"alias": alias, "lines": blocked_lines}


def _write_word(look: Look) -> str:
    names = sorted(state["names"] for state in look.memory.get("said", {}).values())
    return ", ".join(names) or "aucune ligne interrompue"


CONNECTOR = IdfmDisruptions()
