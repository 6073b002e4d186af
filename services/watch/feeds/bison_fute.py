"""Bison Futé: events on the roads of the DIR (DATEX II in a SOAP envelope)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, Final

from lxml import etree

from services.watch.connector import (
    POLL_DELAY,
    Bodies,
    FeedConnector,
    FeedRequest,
    FeedSpec,
    FetchVerdict,
    Look,
    Reading,
    build_end,
    build_post,
    is_outdated,
    read_stored_time,
)
from services.watch.parsing import (
    BodyRefused,
    FeedDrift,
    check_clock,
    format_instant,
    parse_instant,
)
from services.watch.watched import WatchedTerritory

HOST: Final = "tipi.bison-fute.gouv.fr"
NAMESPACE: Final = "http://datex2.eu/schema/2/2_0"
TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"
_D: Final = f"{{{NAMESPACE}}}"
PLAUSIBLE_SHARE: Final = 0.5
DECAY: Final = 0.98
MANAGEMENT: Final = "RoadOrCarriagewayOrLaneManagement"
WORKS: Final = frozenset({"MaintenanceWorks", "ConstructionWorks"})
CAUSES: Final = frozenset(
    {"WeatherRelatedRoadConditions", "NonWeatherRelatedRoadConditions", "PoorEnvironmentConditions"}
)
"""Conditions: beside a closure they only say why."""
KINDS: Final = {
    "Accident": "accident",
    "AbnormalTraffic": "trafic anormal",
    "VehicleObstruction": "véhicule en panne",
    "GeneralObstruction": "obstacle",
    "EnvironmentalObstruction": "obstacle",
    "InfrastructureDamageObstruction": "chaussée dégradée",
    "AnimalPresenceObstruction": "animaux",
    "EquipmentOrSystemFault": "panne d’équipement",
    "DisturbanceActivity": "manifestation",
    "AuthorityOperation": "intervention",
    "PublicEvent": "événement",
    "WeatherRelatedRoadConditions": "chaussée difficile",
    "NonWeatherRelatedRoadConditions": "chaussée difficile",
    "PoorEnvironmentConditions": "conditions difficiles",
    "ReroutingManagement": "déviation",
    "SpeedManagement": "vitesse limitée",
    "GeneralNetworkManagement": "gestion du trafic",
    "GeneralInstructionOrMessageToRoadUsers": "consigne",
    "RoadsideServiceDisruption": "service indisponible",
    "MaintenanceWorks": "travaux",
    "ConstructionWorks": "travaux",
    MANAGEMENT: "circulation modifiée",
}
"""Record types of DATEX II 2 that are known. Another one on a watched road is drift."""
CONDITIONS: Final = {
    "snowOnTheRoad": "neige",
    "freshSnow": "neige",
    "packedSnow": "neige",
    "snowDrifts": "neige",
    "ice": "verglas",
    "blackIce": "verglas",
    "freezingRain": "verglas",
    "icyPatches": "verglas",
    "floodingOnTheRoad": "inondation",
    "flooding": "inondation",
}
REAL: Final = "real"
PRETENDED: Final = frozenset({"test", "exercise", "securityExercise", "technicalExercise"})
"""Situations that did not happen: they are left out."""
OLDEST_RECORD: Final = timedelta(days=30)
"""A record that nobody has updated for longer says nothing about now."""
STATUSES: Final = frozenset({"active", "suspended", "definedByValidityTimeSpec", "planned"})


@dataclass(frozen=True, slots=True)
class _Record:
    """One record of a situation, with the fields that are used."""

    id: str
    version: str
    kind: str
    made_at: datetime
    status: str
    start: datetime
    end: datetime | None
    road: str
    place: str
    operator: str
    is_closed: bool
    whole: bool
    """True for the main carriageway in both directions."""
    is_located: bool
    """True if the carriageway and the direction are given."""
    is_planned: bool
    """True for works, and for a closure beside works."""
    certain: bool
    cause: str = ""

    def closes_road(self, now: datetime) -> bool:
        """Return whether the whole road is closed now, for certain and not for works."""
        return (
            self.is_closed
            and self.whole
            and self.certain
            and not self.is_planned
            and self.status == "active"
            and self.start <= now
        )


@dataclass(slots=True)
class _Publication:
    time: datetime | None = None
    count: int = 0
    records: list[_Record] | None = None
    present: set[str] | None = None
    faults: list[str] | None = None


class BisonFute(FeedConnector):
    """Post events of the watched roads as information; a full closure carries its measure."""

    spec = FeedSpec(
        name="bison-fute",
        title="Bison Futé, routes nationales",
        hosts=(HOST,),
        poll_s=360,
        heartbeat_s=4 * 3600,
        stale_after_s=2 * 3600,
        speaks_as="dirif",
        types=("info",),
        max_bytes=20_000_000,
    )

    def list_requests(self, territory: WatchedTerritory) -> Sequence[FeedRequest]:  # noqa: ARG002
        path = "/bison-fute-ouvert/publicationsDIR/Evenementiel-DIR/grt/RRN/content.xml"
        return (FeedRequest("main", f"https://{HOST}{path}"),)

    def find_edition_time(self, bodies: Bodies) -> datetime | None:
        for element in _iterate(bodies["main"].content, ("publicationTime",)):
            return _read_time(element.text)
        return None

    def read(self, bodies: Bodies, look: Look) -> Reading:
        publication = _read_publication(bodies["main"].content, look.territory)
        if publication.time is None:
            raise FeedDrift("publicationTime: missing")
        check_clock(publication.time, look.now)
        at = format_instant(publication.time)
        reading = Reading(look.memory, edition=at, edition_at=publication.time)
        if is_outdated(publication.time, look, self.spec):
            reading.verdict = FetchVerdict.STALE
            return reading
        for fault in publication.faults or ():
            reading.note_drift(fault)
        if publication.count == 0:
            reading.note_drift("situation: none")
            return reading.settle()
        usual = look.memory.get("usual", publication.count)
        look.memory["usual"] = max(publication.count, round(usual * DECAY, 3))
        is_full = publication.count >= usual * PLAUSIBLE_SHARE
        if not is_full:
            reading.note_drift("situation: fewer than half of the usual number")
        self._judge(publication, look, reading, is_full=is_full)
        reading.word = _write_word(look)
        return reading.settle()

    def _judge(
        self, publication: _Publication, look: Look, reading: Reading, *, is_full: bool
    ) -> None:
        """Compare the records of watched roads with the reports about them."""
        first = "said" not in look.memory
        report_states: dict[str, dict[str, Any]] = look.memory.setdefault("said", {})
        earlier_sightings: dict[str, str] = look.memory.get("seen", {})
        sightings: dict[str, str] = {}
        for record in publication.records or ():
            state = report_states.get(record.id)
            if _is_over(record, look.now):
                if state is not None:
                    _end_over(record, state, look, reading)
                continue
            if state is not None:
                state.pop("missing", None)
            if first and record.is_planned:
                report_states[record.id] = {"baseline": True}
                continue
            if state is None and look.now - record.made_at > OLDEST_RECORD:
                continue
            if state is not None and state.get("baseline"):
                continue
            is_closure = (
                record.closes_road(look.now) and record.road in look.territory.roads.closures
            )
            if state is not None and state["closed"] and not is_closure:
                if record.whole or not record.is_located:
                    continue  # no sign that a direction is open again: the last word stands
                _end_closure(record, state, look, reading)
                continue
            if is_closure and not (state or {}).get("closed"):
                first_seen = sightings[record.id] = earlier_sightings.get(
                    record.id, format_instant(look.now)
                )
                if look.now - read_stored_time(first_seen) < POLL_DELAY:
                    reading.soon = True
                    continue
            _post_record(record, is_closure, look, reading)
        look.memory["seen"] = sightings
        present = publication.present or set()
        for id in sorted(set(report_states) - present):
            _end_missing(id, look, reading, is_full=is_full)


def _iterate(content: bytes, names: tuple[str, ...]) -> Iterator[Any]:
    """Yield elements as they end. Raises BodyRefused for anything but plain XML."""
    if b"<!DOCTYPE" in content[:4096].upper() or b"<!ENTITY" in content.upper():
        raise BodyRefused("a document type is declared")
    try:
        context = etree.iterparse(
            BytesIO(content),
            events=("end",),
            tag=[f"{_D}{name}" for name in names],
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            huge_tree=False,
        )
        for _, element in context:
            if element.getroottree().docinfo.doctype:
                raise BodyRefused("a document type is declared")
            yield element
    except (etree.XMLSyntaxError, etree.LxmlError, ValueError) as error:
        raise BodyRefused("not XML") from error


def _read_publication(content: bytes, territory: WatchedTerritory) -> _Publication:
    """Read the whole file. Raises BodyRefused."""
    publication = _Publication(records=[], present=set(), faults=[])
    assert publication.records is not None
    assert publication.present is not None
    assert publication.faults is not None
    for element in _iterate(content, ("publicationTime", "situation")):
        if element.tag == f"{_D}publicationTime":
            publication.time = publication.time or _read_time(element.text)
            continue
        publication.count += 1
        status = _find_text(element, "headerInformation/informationStatus")
        records = element.findall(f"{_D}situationRecord")
        has_works = any(_find_kind(raw) in WORKS for raw in records)
        all_records: list[_Record] = []
        for raw in records:
            publication.present.add(str(raw.get("id")))
            if status in PRETENDED or not _is_watched(raw, territory):
                continue
            try:
                if status != REAL:
                    raise FeedDrift("informationStatus: unknown")
                all_records.append(_read_record(raw, has_works=has_works))
            except FeedDrift as fault:
                publication.faults.append(str(fault))
        publication.records += _drop_conditions(all_records, records)
        element.clear()
    return publication


def _is_watched(raw: Any, territory: WatchedTerritory) -> bool:
    operator = _find_text(raw, "source/sourceIdentification")
    return _find_road(raw) in territory.roads.names and territory.roads.operator in operator


def _find_road(raw: Any) -> str:
    element = raw.find(f".//{_D}roadNumber")
    return (element.text or "").strip() if element is not None else ""


def _drop_conditions(records: list[_Record], raws: list[Any]) -> list[_Record]:
    """Leave conditions out beside a closure, which then says why."""
    if not any(record.is_closed for record in records):
        return records
    words = (CONDITIONS.get(_find_text(raw, "weatherRelatedRoadConditionType"), "") for raw in raws)
    cause = next((word for word in words if word), "")
    return [_replace_cause(record, cause) for record in records if record.kind not in CAUSES]


def _replace_cause(record: _Record, cause: str) -> _Record:
    values = {name: getattr(record, name) for name in _Record.__slots__}
    return _Record(**(values | {"cause": cause}))


def _find_kind(raw: Any) -> str:
    return (raw.get(TYPE) or "").rpartition(":")[2]


def _read_record(raw: Any, *, has_works: bool) -> _Record:
    """Return one record. Raises FeedDrift for a value outside its list."""
    kind = _find_kind(raw)
    if kind not in KINDS:
        raise FeedDrift("situationRecord: unknown type")
    id, version = raw.get("id"), raw.get("version")
    status = _find_text(raw, "validity/validityStatus")
    if not id or not version or status not in STATUSES:
        raise FeedDrift("situationRecord: id, version or validityStatus")
    times = "validity/validityTimeSpecification"
    end = _find_text(raw, f"{times}/overallEndTime")
    road = raw.find(f".//{_D}roadName")
    operator = _find_text(raw, "source/sourceIdentification")
    management = _find_text(raw, "roadOrCarriagewayOrLaneManagementType")
    carriageways = {e.text for e in raw.iter(f"{_D}carriageway")}
    directions = {e.text for e in raw.iter(f"{_D}directionRelativeOnLinearSection")}
    return _Record(
        id=id,
        version=version,
        kind=kind,
        made_at=_read_time(_find_text(raw, "situationRecordVersionTime")),
        status=status,
        start=_read_time(_find_text(raw, f"{times}/overallStartTime")),
        end=_read_time(end) if end else None,
        road=_find_road(raw),
        place=((road.text or "") if road is not None else "").strip(),
        operator=operator.rpartition("/")[2].strip(),
        is_closed=kind == MANAGEMENT and management in ("roadClosed", "carriagewayClosures"),
        whole=carriageways == {"mainCarriageway"}
        and (directions == {"both"} or directions == {"positive", "negative"})
        and management == "roadClosed",
        is_located=bool(carriageways and directions),
        is_planned=kind in WORKS or (kind == MANAGEMENT and (has_works or _is_planned(raw))),
        certain=_find_text(raw, "probabilityOfOccurrence") == "certain",
    )


def _is_planned(raw: Any) -> bool:
    """Return whether the record belongs to planned works."""
    cause = _find_text(raw, "cause/causeType").lower()
    return "maintenance" in cause or "works" in cause or "planned" in cause


def _find_text(element: Any, path: str) -> str:
    child = element.find("/".join(f"{_D}{part}" for part in path.split("/")))
    return (child.text or "").strip() if child is not None else ""


def _read_time(text: Any) -> datetime:
    try:
        return parse_instant((text or "").strip())
    except ValueError as error:
        raise FeedDrift("time: unreadable") from error


def _is_over(record: _Record, now: datetime) -> bool:
    return record.status == "suspended" or (record.end is not None and record.end <= now)


def _post_record(record: _Record, is_closure: bool, look: Look, reading: Reading) -> None:
    """Post a new record, or one with new content."""
    state = look.memory["said"].get(record.id)
    headline = _write_headline(record, is_closure, is_announced=record.start > look.now)
    severity = 3 if record.is_closed else 1 if record.kind in WORKS else 2
    summary = [headline, severity, is_closure]
    if state is not None and (state["summary"] == summary or state["version"] == record.version):
        return
    zone = look.territory.communes.get(record.place)
    measure: dict[str, Any] = {"object": f"road:{record.road}"}
    if is_closure:
        measure = {"name": "road_closed", "value": True, **measure}
    rounds = look.memory.get("rounds", {}).get(record.id, 0)
    alias = f"bison-fute:{record.id}:{record.version}"
    alias += f":{rounds + 1}" if rounds and state is None else ""
    effective = None
    if record.start > look.now:
        effective = {"from": format_instant(record.start)}
        effective |= {"to": format_instant(record.end)} if record.end else {}
    reading.posts.append(
        build_post(
            alias,
            format_instant(record.made_at),
            type="info",
            severity=severity,
            msg_type="Update" if state else None,
            references=[state["alias"]] if state else None,
            zone=[zone] if zone and not is_closure else None,
            measure=measure,
            effective=[effective] if effective else None,
            estimated_end=format_instant(record.end)
            if record.end and record.start <= look.now
            else None,
            headline=headline,
        )
    )
    look.memory["said"][record.id] = {
        "alias": alias,
        "version": record.version,
        "summary": summary,
        "closed": is_closure,
        "road": record.road,
        "name": f"{record.road} {record.place}".strip(),
        "operator": record.operator,
    }


def _write_headline(record: _Record, is_closure: bool, *, is_announced: bool) -> str:
    place = f"{record.road} {record.place}".strip()
    cause = f", {record.cause}" if record.cause else ""
    if record.is_closed and is_announced:
        extent = "dans les deux sens" if record.whole else "partielle"
        return f"{place} : fermeture {extent} annoncée{cause} ({record.operator})"
    if is_closure:
        return f"{record.road} fermée dans les deux sens{cause} ({record.operator})"
    if record.is_closed:
        return f"{place} : fermeture partielle{cause} ({record.operator})"
    return f"{place} : {KINDS[record.kind]}{cause} ({record.operator})"


def _end_closure(record: _Record, state: dict[str, Any], look: Look, reading: Reading) -> None:
    """Take a closure back that is only partial now; the remaining part is reported as new."""
    if record.version == state["version"]:
        return
    headline = f"{record.road} : un sens rouvert ({record.operator})"
    _post_end(
        record.id, f"{record.version}-open", format_instant(record.made_at), headline, look, reading
    )


def _end_over(record: _Record, state: dict[str, Any], look: Look, reading: Reading) -> None:
    """Take a record back that is suspended or over."""
    if state.get("baseline"):
        del look.memory["said"][record.id]
        return
    key = record.version if record.version != state["version"] else _name_end(record.id, look)
    over = record.made_at if record.version != state["version"] else record.end or record.made_at
    is_open = state["closed"] and not _is_closed_elsewhere(record.road, look, but=record.id)
    word = f"{record.road} rouverte" if is_open else f"{state['name']} : fin de l’événement"
    _post_end(record.id, key, format_instant(over), f"{word} ({record.operator})", look, reading)


def _end_missing(id: str, look: Look, reading: Reading, *, is_full: bool) -> None:
    """Take a record back that two full files in a row do not have."""
    state = look.memory["said"][id]
    if not is_full:
        return
    missing = state.setdefault("missing", format_instant(look.now))
    if look.now - read_stored_time(missing) < POLL_DELAY:
        reading.soon = True
        return
    if state.get("baseline"):
        del look.memory["said"][id]
        return
    assert reading.edition_at is not None
    at = format_instant(reading.edition_at)
    _post_end(id, _name_end(id, look), at, f"{state['name']} : annonce retirée", look, reading)


def _name_end(id: str, look: Look) -> str:
    rounds = look.memory.get("rounds", {}).get(id, 0)
    return f"end-{rounds + 1}" if rounds else "end"


def _post_end(id: str, key: str, at: str, headline: str, look: Look, reading: Reading) -> None:
    state = look.memory["said"].pop(id)
    measure = None
    if state["closed"] and not _is_closed_elsewhere(state["road"], look, but=id):
        measure = {"name": "road_closed", "value": False, "object": f"road:{state['road']}"}
    reading.posts.append(
        build_end(
            f"bison-fute:{id}:{key}", at, state["alias"], headline, type="info", measure=measure
        )
    )
    rounds = look.memory.setdefault("rounds", {})
    rounds[id] = rounds.get(id, 0) + 1


def _is_closed_elsewhere(road: str, look: Look, but: str) -> bool:
    """Return whether another report than that of a record says that the road is closed."""
    report_states = look.memory["said"].items()
    return any(s.get("closed") and s["road"] == road and id != but for id, s in report_states)


def _write_word(look: Look) -> str:
    report_states = look.memory.get("said", {}).values()
    closed_roads = sorted({state["road"] for state in report_states if state.get("closed")})
    count = sum("alias" in state for state in report_states)
    if closed_roads:
        return f"fermées : {', '.join(closed_roads)} ; {count} événements"
    return f"{count} événements" if count > 1 else f"{count} événement"


CONNECTOR = BisonFute()
