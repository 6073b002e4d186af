"""Compare the lines of `flux.yaml` with IDFM's own list, `referentiel-des-lignes`. Pure.

Public lists of line ids are often wrong, and a wrong id gives a line the news of another. So the
list is fetched at the start and once a day; a line that it names otherwise is left out.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from services.watch.connector import Bodies, FeedRequest, Memory, Reading, read_stored_time
from services.watch.parsing import (
    BodyRefused,
    FeedDrift,
    StrictModel,
    format_instant,
    parse_json,
    validate_model,
)
from services.watch.watched import WatchedTerritory

HOST: Final = "data.iledefrance-mobilites.fr"
REQUEST: Final = "lignes"
ACTIVE: Final = "active"
FETCHED_EVERY: Final = timedelta(days=1)
RETRIED_AFTER: Final = timedelta(hours=1)
MOST_RECORDS: Final = 100
"""Most records of one answer."""
PLAUSIBLE_SHARE: Final = 0.5
_PATH: Final = "/api/explore/v2.1/catalog/datasets/referentiel-des-lignes/records"
_FIELDS: Final = ("id_line", "name_line", "shortname_line", "transportmode", "status")
_MODES: Final = {"M": "metro", "T": "tram"}
"""First letter of a name such as `M13` → mode; every other line is a railway."""


class _LineRecord(StrictModel):
    id_line: str
    name_line: str
    shortname_line: str | None = None
    transportmode: str
    status: str


class _LineDocument(StrictModel):
    total_count: int
    results: list[dict[str, Any]]


def is_named(watched_name: str, line_names: Collection[str | None]) -> bool:
    """Return whether one of the given names is that of `flux.yaml`: `A` and `RER A` are one."""
    short = watched_name.rsplit(maxsplit=1)[-1].casefold()
    expected = {short, short.removeprefix("m"), watched_name.casefold()}
    return any(name is not None and name.casefold() in expected for name in line_names)


def build_line_request(territory: WatchedTerritory) -> FeedRequest:
    """Return the request for the records of the watched lines."""
    codes = ",".join(f'"{code}"' for code in sorted(territory.lines.names))
    query = urlencode(
        {"select": ",".join(_FIELDS), "where": f"id_line in ({codes})", "limit": MOST_RECORDS}
    )
    return FeedRequest(REQUEST, f"https://{HOST}{_PATH}?{query}", optional=True)


def is_list_due(memory: Memory, territory: WatchedTerritory, at: datetime) -> bool:
    """Return whether the list should be fetched: at the start, daily, and for a new line."""
    request_time = memory.get("lines_asked")
    if request_time is not None and at - read_stored_time(request_time) < RETRIED_AFTER:
        return False
    stored_list = memory.get("line_names")
    if stored_list is None or at - read_stored_time(stored_list["at"]) >= FETCHED_EVERY:
        return True
    return not territory.lines.names.keys() <= stored_list["records"].keys()


def keep_line_names(bodies: Bodies, territory: WatchedTerritory, reading: Reading) -> None:
    """Keep the list in the memory if it came; one that was not understood is drift."""
    assert reading.edition_at is not None
    memory, at = reading.memory, reading.edition_at
    if REQUEST not in bodies:
        if is_list_due(memory, territory, at):
            memory["lines_asked"] = format_instant(at)
        return
    try:
        records = _read_records(parse_json(bodies[REQUEST].content), territory)
    except (BodyRefused, FeedDrift) as fault:
        memory["lines_asked"] = format_instant(at)
        reading.note_drift(f"{REQUEST}: {fault}")
        return
    memory.pop("lines_asked", None)
    memory["line_names"] = {"at": format_instant(at), "records": records}


def find_wrong_lines(territory: WatchedTerritory, reading: Reading) -> frozenset[str]:
    """Return the watched lines that IDFM names otherwise or does not have; each is drift."""
    records = reading.memory.get("line_names", {}).get("records", {})
    wrong = set()
    for code, name in territory.lines.names.items():
        if code in records and (fault := _find_fault(name, records[code])):
            reading.note_drift(f"line {code}: {fault}, see flux.yaml")
            wrong.add(code)
    return frozenset(wrong)


def _read_records(document: Any, territory: WatchedTerritory) -> dict[str, Any]:
    """Return code → record; null for a line that the whole list lacks. Raises FeedDrift."""
    line_document = validate_model(_LineDocument, document)
    records: dict[str, Any] = {}
    for code, record in _iterate_records(line_document):
        if code not in territory.lines.names:
            continue
        if records.get(code, record) != record:
            raise FeedDrift("id_line: twice")
        records[code] = record
    if len(records) < PLAUSIBLE_SHARE * len(territory.lines.names):
        raise FeedDrift("results: fewer than half of the lines")
    if line_document.total_count <= len(line_document.results):
        records = dict.fromkeys(territory.lines.names) | records
    return records


def _iterate_records(document: _LineDocument) -> Iterator[tuple[str, dict[str, Any]]]:
    for raw in document.results:
        record = validate_model(_LineRecord, raw)
        yield record.id_line, record.model_dump(exclude={"id_line"})


def _find_fault(name: str, record: dict[str, Any] | None) -> str:
    """Return the fault of a line; empty if there is none."""
    if record is None:
        return "not in the list of IDFM"
    if not is_named(name, (record["name_line"], record["shortname_line"])):
        return f"not named {name} by IDFM"
    if record["transportmode"] != _MODES.get(name[:1], "rail"):
        return f"{name} has another mode"
    return "" if record["status"] == ACTIVE else f"{name} is not active"
