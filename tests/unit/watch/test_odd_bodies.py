"""Bodies that are half right: doubled, emptied, renamed or mixed with foreign entries."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.watch.connector import FeedBody, FetchVerdict, Memory, find_connector
from services.watch.samples import read_fetch_times, try_feed
from tests.unit.watch.samples import (
    SAMPLES,
    load_bodies,
    load_document,
    make_bodies,
    read,
    watched_92,
)

MF, CRUES, HYDRO, IDFM = "meteofrance-vigilance", "vigicrues", "hydro-levels", "idfm-disruptions"
BISON, CERT, AIR = "bison-fute", "cert-fr", "airparif-episodes"
MF_AT, CRUES_AT, AIR_AT = "2027-01-12T15:06:00Z", "2027-01-25T09:12:00Z", "2027-07-19T10:30:00Z"


def find_domain(document: Any, echeance: str) -> dict[str, Any]:
    """Return the domain 92 of a period."""
    periods = {period["echeance"]: period for period in document["product"]["periods"]}
    domains = periods[echeance]["timelaps"]["domain_ids"]
    domain: dict[str, Any] = next(one for one in domains if one["domain_id"] == "92")
    return domain


@pytest.mark.parametrize("is_first", [True, False])
def test_a_domain_that_stands_twice_with_other_colours_is_drift(is_first: bool) -> None:
    document = load_document(MF, "warning.json")
    domain = find_domain(document, "J1")
    green = deepcopy(domain)
    for item in green["phenomenon_items"]:
        item |= {"phenomenon_max_color_id": 1, "timelaps_items": []}
    periods = {period["echeance"]: period for period in document["product"]["periods"]}
    domains = periods["J1"]["timelaps"]["domain_ids"]
    domains.insert(0 if is_first else len(domains), green)
    reading = read(MF, make_bodies(document), MF_AT)
    assert reading.verdict is FetchVerdict.DRIFT
    assert reading.posts == []


def test_an_equal_double_is_no_drift() -> None:
    document = load_document(MF, "warning.json")
    items = find_domain(document, "J1")["phenomenon_items"]
    items += deepcopy(items)
    reading = read(MF, make_bodies(document), MF_AT)
    assert reading.verdict is FetchVerdict.OK
    assert [p.body["phenomenon"] for p in reading.posts] == ["neige-verglas", "vent"]


def test_a_domain_without_phenomena_is_unknown_and_gives_no_sign_of_life() -> None:
    memory = read(MF, load_bodies(MF, "warning.json"), MF_AT).memory
    document = load_document(MF, "end.json")
    for echeance in ("J", "J1"):
        find_domain(document, echeance)["phenomenon_items"].clear()
    reading = read(MF, make_bodies(document), "2027-01-14T05:06:00Z", memory)
    assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])
    assert reading.memory["matters"]["5"]["colour"] == "orange"


def test_a_period_that_ends_before_it_begins_is_drift() -> None:
    document = load_document(MF, "warning.json")
    period = document["product"]["periods"][0]
    begin, end = period["begin_validity_time"], period["end_validity_time"]
    period |= {"begin_validity_time": end, "end_validity_time": begin}
    assert read(MF, make_bodies(document), MF_AT).verdict is FetchVerdict.DRIFT


def set_level(document: Any, section: str, level: Any) -> None:
    for feature in document["features"]:
        if feature["properties"]["CdEntCru"] == section:
            feature["properties"]["NivInfViCr"] = level


def test_a_section_that_is_not_understood_hides_no_orange_and_makes_no_yellow() -> None:
    """D121: a level of text in one section kept the orange of the other from the cell."""
    document = load_document(CRUES, "warning.json")
    set_level(document, "IF5", 5)
    set_level(document, "IF18", 2)
    reading = read(CRUES, make_bodies(document), CRUES_AT)
    assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])
    set_level(document, "IF18", 3)
    reading = read(CRUES, make_bodies(document), CRUES_AT)
    assert reading.verdict is FetchVerdict.DRIFT
    assert [p.body["colour"] for p in reading.posts] == ["orange"]


def test_a_section_that_is_not_understood_ends_no_orange() -> None:
    document = load_document(CRUES, "warning.json")
    set_level(document, "IF5", 1)
    set_level(document, "IF18", 3)
    memory = read(CRUES, make_bodies(document), CRUES_AT).memory
    assert memory["matter"]["colour"] == "orange"
    set_level(document, "IF5", 5)
    set_level(document, "IF18", 1)
    reading = read(CRUES, make_bodies(document), CRUES_AT, memory)
    assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])


def test_a_section_that_was_never_read_hides_no_orange_and_makes_no_yellow() -> None:
    document = load_document(CRUES, "warning.json")
    document["features"] = [
        feature for feature in document["features"] if feature["properties"]["CdEntCru"] != "IF5"
    ]
    assert read(CRUES, make_bodies(document), CRUES_AT).posts == []
    set_level(document, "IF18", 3)
    reading = read(CRUES, make_bodies(document), CRUES_AT)
    assert reading.verdict is FetchVerdict.DRIFT
    assert [p.body["colour"] for p in reading.posts] == ["orange"]


def test_metres_where_millimetres_were_are_drift() -> None:
    document = load_document(HYDRO, "warning.json")
    for row in document["data"]:
        row["resultat_obs"] /= 1000
    reading = read(HYDRO, make_bodies(document, "hubeau"), "2027-01-25T11:08:00Z")
    assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])


def block_line() -> Memory:
    """Return the memory after a line was reported as blocked."""
    memory: Memory = {}
    for at in ("2027-01-12T07:06:00Z", "2027-01-12T07:08:00Z"):
        memory = read(IDFM, load_bodies(IDFM, "warning.json"), at, memory).memory
    assert memory["said"]
    return memory


@pytest.mark.parametrize("spoil", ["empty", "unreadable", "renamed"])
def test_lines_that_are_not_understood_end_no_disruption(spoil: str) -> None:
    memory = block_line()
    document = load_document(IDFM, "warning.json")
    document["lastUpdatedDate"] = "20270112T081000"
    if spoil == "empty":
        document["lines"] = []
    for line in document["lines"]:
        if spoil == "unreadable":
            line["impactedObjects"] = None
        else:
            line["name"] = line["shortName"] = "Z"
    for at in ("2027-01-12T07:12:00Z", "2027-01-12T07:15:00Z"):
        reading = read(IDFM, make_bodies(document), at, memory)
        assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])
        memory = reading.memory


@pytest.mark.parametrize(
    ("code", "name", "short"),
    [
        ("C01383", "13", "13"),
        ("C01742", "RER A", "A"),
        ("C01742", "A", "A"),
        ("C01740", "L", "L"),
        ("C01736", "N", "N"),
        ("C01390", "T2", "T2"),
        ("C01371", "Métro 1", "1"),
    ],
)
def test_a_line_is_known_by_its_full_or_short_name(code: str, name: str, short: str) -> None:
    document = load_document(IDFM, "normal.json")
    line = {"id": f"line:IDFM:{code}", "name": name, "shortName": short, "impactedObjects": []}
    document["lines"].append(line)
    assert read(IDFM, make_bodies(document), "2027-01-12T06:42:00Z").verdict is FetchVerdict.OK


def test_a_situation_of_an_unknown_status_is_drift() -> None:
    content = load_bodies(BISON, "warning.xml")["main"].content
    bodies = {"main": FeedBody("main", content.replace(b">real<", b">Real<"))}
    reading = read(BISON, bodies, "2027-01-13T04:54:00Z")
    assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])


def test_an_announced_closure_is_called_announced() -> None:
    content = load_bodies(BISON, "warning.xml")["main"].content
    later = content.replace(
        b"<overallStartTime>2027-01-13T05:30", b"<overallStartTime>2027-01-14T05:30"
    )
    assert later != content
    reading = read(BISON, {"main": FeedBody("main", later)}, "2027-01-13T04:54:00Z")
    (post,) = (p for p in reading.posts if p.body["measure"]["object"] == "road:N118")
    assert post.body["headline"] == (
        "N118 Meudon : fermeture dans les deux sens annoncée, neige (DIR Île-de-France)"
    )
    assert post.body["effective"] == [{"from": "2027-01-14T04:30:00Z"}]


@pytest.mark.parametrize(
    "entry",
    [
        {
            "reference": "CERTFR-2027-AVI-0001",
            "last_revision_date": "2027-01-19T00:00:00.000000",
            "json_url": "/avis/CERTFR-2027-AVI-0001/json/",
        },
        {"reference": "CERTFR-2027-ALE-009"},
        None,
    ],
)
def test_a_foreign_entry_of_the_index_hides_no_alert(entry: Any) -> None:
    memory = read(CERT, load_bodies(CERT, "normal.json"), "2027-01-18T08:00:00Z").memory
    document = [entry, *load_document(CERT, "warning.json")]
    bodies = load_bodies(CERT, "warning.json") | make_bodies(document)
    reading = read(CERT, bodies, "2027-01-19T10:05:00Z", memory)
    assert reading.verdict is FetchVerdict.DRIFT
    assert [p.key for p in reading.posts] == ["certfr:CERTFR-2027-ALE-001:2027-01-19"]


def read_air(document: Any, memory: Memory | None = None) -> Any:
    bodies = load_bodies(AIR, "warning.json") | make_bodies(document)
    return read(AIR, bodies, AIR_AT, memory)


def test_an_unknown_pollutant_hides_no_other() -> None:
    document = load_document(AIR, "warning.json")
    document["demain"]["polluants"].append({"nom": "C6H6", "niveau": "ALERTE"})
    reading = read_air(document)
    assert reading.verdict is FetchVerdict.DRIFT
    assert [p.key for p in reading.posts] == ["airparif:2027-07-20:O3:INFORMATION"]


def test_a_pollutant_with_two_levels_is_not_reported() -> None:
    document = load_document(AIR, "warning.json")
    document["demain"]["polluants"].append({"nom": "O3", "niveau": "ALERTE"})
    reading = read_air(document)
    assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])


def test_an_active_day_without_pollutants_is_no_end() -> None:
    memory = read(AIR, load_bodies(AIR, "warning.json"), AIR_AT).memory
    document = load_document(AIR, "warning.json")
    document["demain"]["polluants"] = []
    reading = read_air(document, memory)
    assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])


def test_the_word_of_the_vigilance_begins_with_the_gravest_colour() -> None:
    assert (
        read(MF, load_bodies(MF, "warning.json"), MF_AT).word == "neige-verglas orange, vent jaune"
    )


def test_a_phenomenon_missing_from_tomorrow_ends_nothing() -> None:
    memory = read(MF, load_bodies(MF, "warning.json"), MF_AT).memory
    document = load_document(MF, "warning.json")
    document["product"]["update_time"] = "2027-01-12T18:00:00Z"
    for spoil in ("missing", "null"):
        domain = find_domain(document, "J1")
        items = [one for one in domain["phenomenon_items"] if one and one["phenomenon_id"] != "5"]
        domain["phenomenon_items"] = [*items, *([None] if spoil == "null" else [])]
        reading = read(MF, make_bodies(document), "2027-01-12T18:05:00Z", memory)
        verdict = FetchVerdict.DRIFT if spoil == "null" else FetchVerdict.OK
        assert (reading.verdict, reading.posts) == (verdict, [])


def test_a_domain_missing_from_today_ends_nothing() -> None:
    document = load_document(MF, "warning.json")
    today, tomorrow = find_domain(document, "J"), find_domain(document, "J1")
    grave = {"phenomenon_id": "5", "phenomenon_max_color_id": 3, "timelaps_items": []}
    calm = grave | {"phenomenon_max_color_id": 1}
    today["phenomenon_items"], tomorrow["phenomenon_items"] = [grave], [calm]
    memory = read(MF, make_bodies(document), MF_AT).memory
    document["product"]["update_time"] = "2027-01-12T18:00:00Z"
    del today["domain_id"]
    reading = read(MF, make_bodies(document), "2027-01-12T18:05:00Z", memory)
    assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])


@pytest.mark.parametrize(("phenomenon", "verdict"), [("4", "ok"), ("5", "drift")])
def test_only_floods_come_without_hours(phenomenon: str, verdict: str) -> None:
    document = load_document(MF, "warning.json")
    for item in find_domain(document, "J1")["phenomenon_items"]:
        item["phenomenon_max_color_id"], item["timelaps_items"] = 1, []
        if item["phenomenon_id"] == phenomenon:
            item["phenomenon_max_color_id"] = 2
            del item["timelaps_items"]
    reading = read(MF, make_bodies(document), MF_AT)
    assert reading.verdict == verdict
    assert [p.body["phenomenon"] for p in reading.posts] == ["crues"] * (verdict == "ok")


EDITIONS = [
    (MF, "warning.json", MF_AT, b"15:03:05Z", b"15:02:05Z"),
    (CRUES, "warning.json", CRUES_AT, b"09:06:00+00:00", b"09:04:00+00:00"),
    (IDFM, "warning.json", "2027-01-12T07:06:00Z", b"20270112T080400", b"20270112T080300"),
    ("rte-ecowatt", "end.json", "2027-01-20T06:16:00Z", b"T07:01:00+01:00", b"T07:00:00+01:00"),
    (BISON, "warning.xml", "2027-01-13T04:54:00Z", b"T05:50:00+01:00", b"T05:49:00+01:00"),
]


@pytest.mark.parametrize(("feed", "file", "at", "edition", "older"), EDITIONS)
def test_an_older_copy_after_a_newer_one_says_nothing(
    feed: str, file: str, at: str, edition: bytes, older: bytes
) -> None:
    content = load_bodies(feed, file)["main"].content
    memory = read(feed, load_bodies(feed, file), at).memory
    copy = content.replace(edition, older)
    assert copy != content
    later = datetime.fromisoformat(at) + timedelta(minutes=2)
    reading = read(feed, {"main": FeedBody("main", copy)}, later, memory)
    assert (reading.verdict, reading.posts) == (FetchVerdict.STALE, [])
    assert reading.memory == memory


def make_hourly_river(levels: list[float]) -> Any:
    """Return a body of Vigicrues with a reading each hour from 8 h on."""
    readings = [[f"2027-01-25T{8 + n:02}:00:00+00:00", metres] for n, metres in enumerate(levels)]
    serie = {"CdStationHydro": "F700000103", "GrdSerie": "H", "ObssHydro": readings}
    return make_bodies({"Serie": serie}, "vigicrues")


def test_a_river_that_rises_between_rare_readings_is_held_twice_and_then_reported() -> None:
    levels, memory, posts = [4.2], {}, []
    for hour, metres in enumerate((4.2, 4.7, 4.72, 4.74), start=8):
        levels = [*levels, metres] if hour > 8 else levels
        reading = read(HYDRO, make_hourly_river(levels), f"2027-01-25T{hour:02}:05:00Z", memory)
        memory = reading.memory
        posts += [(p.body["type"], p.body.get("certainty")) for p in reading.posts]
    hold = ("flood_level", "unconfirmed")
    assert posts == [("info", None), hold, hold, ("flood_level", None)]


def test_a_disruption_without_periods_ends_nothing() -> None:
    memory = block_line()
    document = load_document(IDFM, "warning.json")
    document["lastUpdatedDate"] = "20270112T081000"
    for disruption in document["disruptions"]:
        disruption["applicationPeriods"] = []
    reading = read(IDFM, make_bodies(document), "2027-01-12T07:12:00Z", memory)
    assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])


@pytest.mark.parametrize(
    ("codes", "objects"),
    [(["C01728"], []), (["C01743", "C01728"], ["line:IDFM:C01743"])],
)
def test_a_line_that_serves_no_commune_is_not_reported_by_itself(
    codes: list[str], objects: list[str]
) -> None:
    document = load_document(IDFM, "warning.json")
    line = document["lines"].pop()
    names = {"C01728": "RER D", "C01743": "RER B"}
    for code in codes:
        text = f"line:IDFM:{code}"
        impacted = [one | {"id": text} for one in line["impactedObjects"]]
        names_by_key = {"name": names[code], "shortName": names[code][-1]}
        document["lines"].append(line | names_by_key | {"id": text, "impactedObjects": impacted})
    memory: Memory = {}
    for at in ("2027-01-12T07:06:00Z", "2027-01-12T07:08:00Z"):
        reading = read(IDFM, make_bodies(document), at, memory)
        memory = reading.memory
    assert [p.body["measure"]["object"] for p in reading.posts] == objects


@pytest.mark.parametrize(
    ("at", "update"),
    [("2027-10-31T00:32:00Z", "00:20"), ("2027-10-31T01:32:00Z", "01:20")],
)
def test_the_hour_that_comes_twice_silences_no_feed(at: str, update: str) -> None:
    text = json.dumps(load_document(IDFM, "warning.json"))
    moved = (
        text.replace("20270112T080400", "20271031T023000")
        .replace("20270112T080200", "20271031T022000")
        .replace("20270112T075500", "20271031T011000")
        .replace("20270112T100000", "20271031T060000")
    )
    bodies, time = make_bodies(json.loads(moved)), datetime.fromisoformat(at)
    memory = read(IDFM, bodies, time).memory
    reading = read(IDFM, bodies, time + timedelta(minutes=2), memory)
    assert [p.body["occurred_at"] for p in reading.posts] == [f"2027-10-31T{update}:00Z"]


RTE, RTE_AT = "rte-ecowatt", "2027-01-19T16:16:00Z"


def test_a_day_of_ecowatt_that_stands_twice_with_a_difference_is_drift() -> None:
    document = load_document(RTE, "warning.json")
    red = next(one for one in document["signals"] if one["dvalue"] == 3)
    calm = [hour | {"hvalue": 1} for hour in red["values"]]
    document["signals"].append(red | {"dvalue": 1, "values": calm})
    reading = read(RTE, make_bodies(document), RTE_AT)
    assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])


def test_a_calm_day_with_hours_of_cuts_ends_nothing() -> None:
    memory = read(RTE, load_bodies(RTE, "warning.json"), RTE_AT).memory
    document = load_document(RTE, "warning.json")
    for signal in document["signals"]:
        signal |= {"dvalue": 1, "GenerationFichier": "2027-01-19T20:02:00+01:00"}
    reading = read(RTE, make_bodies(document), "2027-01-19T19:16:00Z", memory)
    assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])


@pytest.mark.parametrize("steps", [range(23), [n for n in range(24) if n != 2]])
def test_hours_of_a_short_day_are_those_of_the_clock(steps: Any) -> None:
    made, day = "2027-03-27T17:00:00+01:00", "2027-03-28T00:00:00+01:00"
    values = [{"pas": n, "hvalue": 3 if at == 8 else 1} for at, n in enumerate(steps)]
    signal = {"GenerationFichier": made, "jour": day, "dvalue": 3, "values": values}
    reading = read(RTE, make_bodies({"signals": [signal]}), "2027-03-27T16:10:00Z")
    (post,) = reading.posts
    assert post.body["effective"] == [
        {"from": "2027-03-28T07:00:00Z", "to": "2027-03-28T08:00:00Z"}
    ]
    assert "28/03, 9–10 h" in post.body["headline"]


def test_an_orange_day_that_passed_is_taken_back() -> None:
    document = load_document(RTE, "normal.json")
    memory = read(RTE, make_bodies(document), "2027-01-18T16:20:00Z").memory
    tense = deepcopy(document)
    for signal in tense["signals"]:
        signal["GenerationFichier"] = "2027-01-18T18:00:00+01:00"
    tense["signals"][0] |= {"dvalue": 2}
    tense["signals"][0]["values"][19]["hvalue"] = 2
    reading = read(RTE, make_bodies(tense), "2027-01-18T17:20:00Z", memory)
    (orange,) = reading.posts
    newer = load_document(RTE, "normal.json")
    del newer["signals"][0]
    for signal in newer["signals"]:
        signal["GenerationFichier"] = "2027-01-19T07:00:00+01:00"
    end = read(RTE, make_bodies(newer), "2027-01-19T06:20:00Z", reading.memory)
    (post,) = end.posts
    assert (post.body["type"], post.body["references"]) == ("info", [orange.key])


def read_road(content: bytes, memory: Memory | None, minute: int) -> tuple[list[Any], Memory]:
    """Read a file of Bison Futé twice; return the posts about N118."""
    bodies, posts = {"main": FeedBody("main", content)}, []
    for delay in (0, 2):
        at = datetime.fromisoformat("2027-01-13T04:54:00Z") + timedelta(minutes=minute + delay)
        reading = read(BISON, bodies, at, memory)
        memory = reading.memory
        posts += [p for p in reading.posts if p.key.startswith(f"{BISON}:EX-7")]
    return posts, memory or {}


CLOSED = load_bodies(BISON, "warning.xml")["main"].content
LATER = CLOSED.replace(b"<publicationTime>2027-01-13T05:50", b"<publicationTime>2027-01-13T06:00")
MEASURE_OPEN = {"name": "road_closed", "value": False, "object": "road:N118"}


def change_closure(content: bytes, old: bytes, new: bytes) -> bytes:
    """Change words in the second version of the record of the closure."""
    begin = content.index(b'id="EX-700-1"')
    end = content.index(b"</situationRecord>", begin)
    record = content[begin:end].replace(b'version="3"', b'version="4"')
    assert old in record
    return content[:begin] + record.replace(old, new) + content[end:]


def test_a_closure_beside_works_carries_no_measure() -> None:
    works = CLOSED.replace(b"WeatherRelatedRoadConditions", b"MaintenanceWorks")
    assert read_road(works, None, 0)[0] == []  # the first run takes works as known
    memory = read_road(load_bodies(BISON, "normal.xml")["main"].content, None, -6)[1]
    posts, _ = read_road(works, memory, 0)
    assert [p.body["measure"] for p in posts] == [{"object": "road:N118"}] * 2


@pytest.mark.parametrize("status", [b"planned", b"definedByValidityTimeSpec"])
def test_a_closure_that_is_not_called_active_carries_no_measure(status: bytes) -> None:
    posts, _ = read_road(CLOSED.replace(b">active<", b">" + status + b"<"), None, 0)
    assert [p.body["measure"] for p in posts] == [{"object": "road:N118"}]


def test_a_closure_without_news_for_a_month_is_not_believed() -> None:
    old = CLOSED.replace(
        b"<situationRecordVersionTime>2027-01", b"<situationRecordVersionTime>2026-10"
    )
    assert read_road(old, None, 0)[0] == []


def test_one_direction_open_again_takes_the_closure_back() -> None:
    memory = read_road(CLOSED, None, 0)[1]
    (end, rest), memory = read_road(change_closure(LATER, b">both<", b">positive<"), memory, 10)
    assert (end.body["msg_type"], end.body["measure"]) == ("Cancel", MEASURE_OPEN)
    assert rest.body["measure"] == {"object": "road:N118"}


def test_a_closure_that_is_less_certain_stands() -> None:
    memory = read_road(CLOSED, None, 0)[1]
    posts, _ = read_road(change_closure(LATER, b">certain<", b">probable<"), memory, 10)
    assert posts == []


def test_the_end_of_one_of_two_closures_opens_no_road() -> None:
    begin = CLOSED.index(b'<situation id="EX-700"')
    situation = CLOSED[begin : CLOSED.index(b"</situation>", begin) + len(b"</situation>")]
    other = situation.replace(b"EX-700", b"EX-701").replace(b"Meudon", b"Clamart")
    memory = read_road(CLOSED.replace(situation, situation + other), None, 0)[1]
    both = LATER.replace(situation, situation + other)
    (post,), memory = read_road(change_closure(both, b">active<", b">suspended<"), memory, 10)
    assert (post.body["msg_type"], "measure" in post.body) == ("Cancel", False)
    last = LATER.replace(situation, other.replace(b">active<", b">suspended<"))
    (post,), _ = read_road(last.replace(b'version="3"', b'version="5"'), memory, 20)
    assert post.body["measure"] == MEASURE_OPEN


def test_an_alert_of_the_rss_feed_without_its_item_is_reported_by_its_title() -> None:
    memory = read(CERT, load_bodies(CERT, "normal.json"), "2027-01-18T08:00:00Z").memory
    rss = b"""<rss version="2.0"><channel><item>
<title>Vuln\xc3\xa9rabilit\xc3\xa9 dans Exemplia VPN (19 janvier 2027)</title>
<link>https://www.cert.ssi.gouv.fr/alerte/CERTFR-2027-ALE-001/</link>
<pubDate>Tue, 19 Jan 2027 09:00:00 +0000</pubDate></item></channel></rss>"""
    bodies = {"main": FeedBody("main", rss)}
    reading = read(CERT, bodies, "2027-01-19T10:05:00Z", memory)
    (title,) = reading.posts
    assert title.body["headline"] == "CERTFR-2027-ALE-001 : vulnérabilité dans Exemplia VPN"
    assert (title.body["severity"], "measure" in title.body) == (1, False)
    assert read(CERT, bodies, "2027-01-19T11:05:00Z", reading.memory).posts == []
    item = read(CERT, load_bodies(CERT, "warning.json"), "2027-01-19T12:05:00Z", reading.memory)
    (post,) = item.posts
    assert (post.body["severity"], post.body["references"]) == (3, [title.key])
    assert post.key != title.key


def test_a_level_that_comes_back_in_an_episode_has_an_alias_of_its_own() -> None:
    document, memory, keys = load_document(AIR, "warning.json"), None, []
    for level in ("INFORMATION", "ALERTE", "INFORMATION", "ALERTE"):
        document["demain"]["polluants"][0]["niveau"] = level
        reading = read_air(document, memory)
        memory = reading.memory
        keys += [p.key for p in reading.posts]
    assert len(set(keys)) == 4


def test_a_huge_body_is_refused(tmp_path: Path) -> None:
    connector, file = find_connector(AIR), tmp_path / "body.json"
    file.write_bytes(b'{"actif": false}' + b" " * connector.spec.max_bytes)
    outcome = try_feed(connector, file, (), datetime.fromisoformat(AIR_AT), watched_92())
    assert outcome.verdict is FetchVerdict.REFUSED


def test_a_body_without_a_time_is_read_when_it_was_fetched(tmp_path: Path) -> None:
    folder = tmp_path / AIR
    shutil.copytree(SAMPLES / AIR, folder)
    indices = (folder / "indices-fresh.json").read_text().replace("2027-07-2", "2027-07-3")
    (folder / "indices-end.json").write_text(indices.replace("2027-07-30", "2027-07-21"))
    at = datetime.fromisoformat("2027-07-21T10:30:00Z")
    before = [folder / "normal.json", folder / "warning.json"]
    outcome = try_feed(find_connector(AIR), folder / "end.json", before, at, watched_92())
    (post,) = outcome.posts
    assert post.body["references"] == ["airparif:2027-07-20:O3:INFORMATION"]


@pytest.mark.parametrize("content", [None, b"{", b'{"file": "a"}', b'[{"file": "a"}]', b"[1]"])
def test_a_trial_needs_no_file_of_fetch_times(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "expected.json").write_bytes(content)
    assert read_fetch_times(tmp_path) == {}
