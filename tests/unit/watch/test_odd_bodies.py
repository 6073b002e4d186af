"""Bodies that are half right: doubled, emptied, renamed or mixed with foreign entries."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from services.watch.connector import FeedBody, FetchVerdict, Memory
from tests.unit.watch.samples import load_bodies, load_document, make_bodies, read

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


@pytest.mark.parametrize("other", [2, 3])
def test_a_river_with_one_odd_section_is_one_matter_that_is_not_understood(other: int) -> None:
    document = load_document(CRUES, "warning.json")
    set_level(document, "IF5", 5)
    set_level(document, "IF18", other)
    reading = read(CRUES, make_bodies(document), CRUES_AT)
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
