"""A lying feed calls no person: spike, wrong station, colour out of range, clock of 2019."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.watch.connector import FeedBody, FetchVerdict, Memory, Reading, find_connector
from tests.unit.watch.samples import load_bodies, load_document, make_bodies, read

MF, CRUES, HYDRO = "meteofrance-vigilance", "vigicrues", "hydro-levels"
IDFM, RTE, BISON = "idfm-disruptions", "rte-ecowatt", "bison-fute"
DELAY = timedelta(seconds=61)


def rings(reading: Reading) -> list[dict[str, Any]]:
    """Return the posts that could call a person: confirmed, and more than an information."""
    return [
        p.body
        for p in reading.posts
        if p.body["type"] != "info"
        and p.body.get("certainty") != "unconfirmed"
        and p.body.get("msg_type") != "Cancel"
    ]


def find_phenomenon(document: Any, echeance: str, domain: str, phenomenon: str) -> Any:
    for period in document["product"]["periods"]:
        if period["echeance"] == echeance:
            for domain_entry in period["timelaps"]["domain_ids"]:
                if domain_entry["domain_id"] == domain:
                    for item in domain_entry["phenomenon_items"]:
                        if item["phenomenon_id"] == phenomenon:
                            return item
    raise LookupError(phenomenon)


@pytest.mark.parametrize("colour", [0, 5, -1, "3", 3.0, None, "orange"])
def test_a_colour_outside_the_list_is_drift_for_its_phenomenon_only(colour: Any) -> None:
    document = load_document(MF, "warning.json")
    find_phenomenon(document, "J1", "92", "5")["phenomenon_max_color_id"] = colour
    reading = read(MF, make_bodies(document), "2027-01-12T15:06:00Z")
    assert reading.verdict is FetchVerdict.DRIFT
    assert [p.body["phenomenon"] for p in reading.posts] == ["vent"]


@pytest.mark.parametrize("level", [0, 5, "rouge", None, 3.0])
def test_a_level_of_a_section_outside_the_list_is_drift(level: Any) -> None:
    document = load_document(CRUES, "warning.json")
    document["features"][0]["properties"]["NivInfViCr"] = level
    document["features"][1]["properties"]["NivInfViCr"] = 1
    reading = read(CRUES, make_bodies(document), "2027-01-25T09:12:00Z")
    assert reading.verdict is FetchVerdict.DRIFT
    assert reading.posts == []


@pytest.mark.parametrize("domain", ["92", "93"])
def test_a_missing_domain_ends_nothing(domain: str) -> None:
    memory = read(MF, load_bodies(MF, "warning.json"), "2027-01-12T15:06:00Z").memory
    document = load_document(MF, "end.json")
    for period in document["product"]["periods"]:
        for reading in period["timelaps"]["domain_ids"]:
            reading["domain_id"] = reading["domain_id"].replace(
                "92", "93" if domain == "92" else "94"
            )
    reading = read(MF, make_bodies(document), "2027-01-14T05:06:00Z", memory)
    assert reading.verdict is FetchVerdict.DRIFT
    assert reading.posts == []
    assert reading.memory["matters"]["5"]["colour"] == "orange"


def test_a_missing_section_ends_nothing() -> None:
    memory = read(CRUES, load_bodies(CRUES, "warning.json"), "2027-01-25T09:12:00Z").memory
    document = load_document(CRUES, "end.json")
    del document["features"][0]
    reading = read(CRUES, make_bodies(document), "2027-02-05T15:10:00Z", memory)
    assert reading.verdict is FetchVerdict.DRIFT
    assert reading.posts == []


def test_at_night_tomorrow_is_remembered() -> None:
    memory = read(MF, load_bodies(MF, "warning.json"), "2027-01-12T15:06:00Z").memory
    document = load_document(MF, "warning.json")
    document["product"]["periods"] = document["product"]["periods"][:1]
    document["product"]["update_time"] = "2027-01-12T21:00:00Z"
    reading = read(MF, make_bodies(document), "2027-01-12T21:05:00Z", memory)
    assert reading.verdict is FetchVerdict.OK
    assert reading.posts == []
    assert reading.memory["matters"]["5"]["colour"] == "orange"


def test_a_lower_colour_withdraws_the_alert_with_the_remaining_one() -> None:
    memory = read(MF, load_bodies(MF, "warning.json"), "2027-01-12T15:06:00Z").memory
    reading = read(MF, load_bodies(MF, "end.json"), "2027-01-14T05:06:00Z", memory)
    snow = next(p for p in reading.posts if p.body["phenomenon"] == "neige-verglas")
    assert snow.body["type"] == "weather_alert"
    assert snow.body["msg_type"] == "Cancel"
    assert snow.body["colour"] == "jaune"
    assert snow.body["references"] == ["mf-vigilance:92:5:20270112T150305Z"]


def paint(document: Any, colour: int, update: str) -> dict[str, FeedBody]:
    """Return the bodies of the snow warning in another colour and edition."""
    painted = deepcopy(document)
    item = find_phenomenon(painted, "J1", "92", "5")
    item["phenomenon_max_color_id"] = colour
    item["timelaps_items"][1]["color_id"] = colour
    painted["product"]["update_time"] = update
    return make_bodies(painted)


def test_red_needs_a_second_equal_fetch() -> None:
    document = load_document(MF, "warning.json")
    memory = read(MF, load_bodies(MF, "warning.json"), "2027-01-12T15:06:00Z").memory
    red, at = paint(document, 4, "2027-01-12T18:00:00Z"), datetime.fromisoformat
    first = read(MF, red, "2027-01-12T18:05:00Z", memory)
    assert (first.posts, first.soon) == ([], True)
    early = read(MF, red, "2027-01-12T18:05:30Z", first.memory)
    assert early.posts == []
    second = read(MF, red, at("2027-01-12T18:05:00Z") + DELAY, early.memory)
    (post,) = second.posts
    assert (post.body["colour"], post.body["severity"]) == ("rouge", 4)
    assert (post.body["msg_type"], post.body["references"]) == (
        "Update",
        ["mf-vigilance:92:5:20270112T150305Z"],
    )


def test_a_short_red_is_never_reported() -> None:
    document = load_document(MF, "warning.json")
    memory = read(MF, load_bodies(MF, "warning.json"), "2027-01-12T15:06:00Z").memory
    first = read(MF, paint(document, 4, "2027-01-12T18:00:00Z"), "2027-01-12T18:05:00Z", memory)
    back = read(
        MF, paint(document, 3, "2027-01-12T18:10:00Z"), "2027-01-12T18:11:00Z", first.memory
    )
    assert back.posts == []


def test_a_jump_to_red_is_held_for_ten_minutes_and_never_suppressed() -> None:
    memory = read(MF, load_bodies(MF, "warning-yellow.json"), "2027-01-11T15:05:00Z").memory
    red = paint(load_document(MF, "warning.json"), 4, "2027-01-12T15:03:05Z")
    reading = read(MF, red, "2027-01-12T15:06:00Z", memory)
    snow = [p for p in reading.posts if p.body["phenomenon"] == "neige-verglas"]
    assert [(p.body["certainty"], p.body["severity"]) for p in snow] == [("unconfirmed", 2)]
    assert rings(reading) == []
    later = read(MF, red, "2027-01-12T15:12:00Z", reading.memory)
    assert rings(later) == []
    confirmed = read(MF, red, "2027-01-12T15:16:01Z", later.memory)
    (post,) = confirmed.posts
    assert (post.body["severity"], post.body["msg_type"]) == (4, "Update")
    assert post.body["references"] == [snow[0].key]
    assert post.key != snow[0].key


def test_a_held_red_is_withdrawn_when_it_disappears() -> None:
    memory = read(MF, load_bodies(MF, "warning-yellow.json"), "2027-01-11T15:05:00Z").memory
    document = load_document(MF, "warning.json")
    reading = read(MF, paint(document, 4, "2027-01-12T15:03:05Z"), "2027-01-12T15:06:00Z", memory)
    back = read(MF, load_bodies(MF, "end.json"), "2027-01-14T05:06:00Z", reading.memory)
    ends = [p.body for p in back.posts if p.body["phenomenon"] == "neige-verglas"]
    assert [end["msg_type"] for end in ends] == ["Cancel"]
    assert ends[0]["references"] == ["mf-vigilance:92:5:20270112T150305Z"]


def test_a_second_source_confirms_a_jump_of_the_river() -> None:
    memory = read(CRUES, load_bodies(CRUES, "warning-yellow.json"), "2027-01-22T15:10:00Z").memory
    document = load_document(CRUES, "warning.json")
    document["features"][0]["properties"]["NivInfViCr"] = 4
    agrees = {MF: {"floods": {"at": "2027-01-25T09:00:00Z", "colours": {"75": 3}}}}
    first = read(CRUES, make_bodies(document), "2027-01-25T09:12:00Z", memory, agrees)
    assert rings(first) == []
    second = read(CRUES, make_bodies(document), "2027-01-25T09:13:01Z", first.memory, agrees)
    (post,) = second.posts
    assert (post.body["colour"], post.body["severity"]) == ("rouge", 4)


def make_river(readings: list[tuple[str, float]], station: str = "F700000103") -> Any:
    """Return a body of Hub'Eau with these readings, in metres."""
    rows = [
        {
            "code_station": station,
            "grandeur_hydro": "H",
            "date_obs": at,
            "resultat_obs": metres * 1000,
            "libelle_qualification_obs": "Non qualifiée",
        }
        for at, metres in reversed(readings)
    ]
    return make_bodies({"count": len(rows), "data": rows}, "hubeau")


CALM: Memory = {}
DAY = [("2027-01-20T09:15:00Z", 1.12), ("2027-01-20T09:30:00Z", 1.12)]


def test_a_spike_is_not_reported() -> None:
    reading = read(
        HYDRO, make_river([*DAY, ("2027-01-20T09:45:00Z", 6.80)]), "2027-01-20T09:55:00Z"
    )
    assert (reading.verdict, reading.posts) == (FetchVerdict.OK, [])


def test_a_jump_confirmed_by_two_more_readings_is_reported() -> None:
    high = [(f"2027-01-20T{at}:00Z", 2.40) for at in ("09:45", "10:00", "10:15")]
    memory = read(HYDRO, make_river(DAY), "2027-01-20T09:40:00Z").memory
    for n in (1, 2):
        reading = read(HYDRO, make_river([*DAY, *high[:n]]), "2027-01-20T10:05:00Z", memory)
        assert reading.posts == []
        memory = reading.memory
    reading = read(HYDRO, make_river([*DAY, *high]), "2027-01-20T10:20:00Z", memory)
    assert [p.body["measure"]["value"] for p in reading.posts] == [2.4]


@pytest.mark.parametrize("metres", [25.3, -0.4, 46.22])
def test_another_station_or_unit_is_drift(metres: float) -> None:
    reading = read(
        HYDRO, make_river([*DAY, ("2027-01-20T09:45:00Z", metres)]), "2027-01-20T09:55:00Z"
    )
    assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])


def test_a_wrong_station_is_drift() -> None:
    reading = read(HYDRO, make_river(DAY, "F704000101"), "2027-01-20T09:55:00Z")
    assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])


def test_one_reading_over_a_threshold_is_held_and_the_next_confirms_it() -> None:
    rising = [("2027-01-25T10:30:00Z", 4.30), ("2027-01-25T10:45:00Z", 4.70)]
    reading = read(HYDRO, make_river(rising), "2027-01-25T10:50:00Z")
    (post,) = reading.posts
    assert (post.body["certainty"], post.body["severity"]) == ("unconfirmed", 2)
    more = [*rising, ("2027-01-25T11:00:00Z", 4.72)]
    confirmed = read(HYDRO, make_river(more), "2027-01-25T11:05:00Z", reading.memory)
    (update_post,) = confirmed.posts
    assert (update_post.body["type"], update_post.body["msg_type"]) == ("flood_level", "Update")
    assert update_post.body["references"] == [post.key]


def test_both_sources_give_one_alias() -> None:
    one = read(HYDRO, load_bodies(HYDRO, "warning.json"), "2027-01-25T11:08:00Z")
    other = read(HYDRO, load_bodies(HYDRO, "vigicrues-observations.json"), "2027-01-25T11:08:00Z")
    both = load_bodies(HYDRO, "warning.json") | load_bodies(HYDRO, "vigicrues-observations.json")
    joined = read(HYDRO, both, "2027-01-25T11:08:00Z")
    assert (
        [p.key for p in one.posts] == [p.key for p in other.posts] == [p.key for p in joined.posts]
    )
    again = read(HYDRO, both, "2027-01-25T11:10:00Z", joined.memory)
    assert (again.verdict, again.posts) == (FetchVerdict.UNCHANGED, [])


def test_one_missing_source_does_not_hide_the_other() -> None:
    bodies = load_bodies(HYDRO, "warning.json") | {"vigicrues": FeedBody("vigicrues", b'{"Ser')}
    reading = read(HYDRO, bodies, "2027-01-25T11:08:00Z")
    assert [p.body["measure"]["value"] for p in reading.posts] == [4.62]


def test_epoch_dates_and_copies_of_the_site_are_read() -> None:
    pairs = [[1769338800000, 1.1], [1769339700000, 1.11]]
    document = {"Serie": {"CdStationHydro": "F700000103", "GrdSerie": "H", "ObssHydro": pairs}}
    at = datetime.fromtimestamp(1769339700, tz=datetime.now().astimezone().tzinfo)
    reading = read(HYDRO, make_bodies(document, "vigicrues"), at + timedelta(minutes=5))
    assert [p.body["measure"]["value"] for p in reading.posts] == [1.11]
    copied = load_document(HYDRO, "normal.json")
    copied["data"] += [row | {"code_station": None} for row in copied["data"]]
    assert read(HYDRO, make_bodies(copied, "hubeau"), "2027-01-20T09:55:00Z").posts


@pytest.mark.parametrize("feed", [MF, CRUES, HYDRO, IDFM, RTE, BISON])
def test_a_clock_of_2019_is_not_reported(feed: str) -> None:
    suffix = "xml" if feed == BISON else "json"
    bodies = {
        name: FeedBody(name, body.content.replace(b"2027", b"2019"))
        for name, body in load_bodies(feed, f"warning.{suffix}").items()
    }
    reading = read(feed, bodies, "2027-01-13T05:00:00Z")
    assert (reading.verdict, reading.posts) == (FetchVerdict.STALE, [])


@pytest.mark.parametrize("feed", [MF, CRUES, HYDRO, IDFM, RTE, BISON])
def test_a_clock_of_the_future_is_drift(feed: str) -> None:
    suffix = "xml" if feed == BISON else "json"
    reading = read(feed, load_bodies(feed, f"warning.{suffix}"), "2026-01-13T05:00:00Z")
    assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])


@pytest.mark.parametrize(
    ("feed", "document"),
    [
        (MF, {"product": {"update_time": "2027-01-12T15:03:05Z", "periods": []}}),
        (
            CRUES,
            {
                "RefInfoVigiCru": "12012027_16",
                "DtHrInfoVigiCru": "2027-01-12T15:03:05+00:00",
                "features": [],
            },
        ),
        (HYDRO, {"count": 0, "data": []}),
        (IDFM, {"disruptions": [], "lines": [], "lastUpdatedDate": "20270112T160000"}),
        (RTE, {"signals": []}),
        ("cert-fr", []),
        ("airparif-episodes", {}),
    ],
)
def test_an_empty_body_is_not_green(feed: str, document: Any) -> None:
    name = find_connector(feed).name_body(json.dumps(document).encode())
    reading = read(feed, make_bodies(document, name), "2027-01-12T15:06:00Z")
    assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])


def test_an_exercise_on_the_road_is_dropped() -> None:
    body = load_bodies(BISON, "warning.xml")["main"]
    content = body.content.replace(
        b"<informationStatus>real<", b"<informationStatus>securityExercise<"
    )
    bodies = {"main": FeedBody("main", content)}
    reading = read(BISON, bodies, "2027-01-13T04:54:00Z")
    again = read(BISON, bodies, "2027-01-13T04:56:00Z", reading.memory)
    assert (reading.verdict, reading.posts, again.posts) == (FetchVerdict.OK, [], [])


@pytest.mark.parametrize(
    ("word", "other"),
    [
        (b">both<", b">positive<"),
        (b">certain<", b">probable<"),
        (b">mainCarriageway<", b">slipRoads<"),
    ],
)
def test_a_partial_or_uncertain_closure_carries_no_measure(word: bytes, other: bytes) -> None:
    content = load_bodies(BISON, "warning.xml")["main"].content.replace(word, other)
    bodies = {"main": FeedBody("main", content)}
    first = read(BISON, bodies, "2027-01-13T04:54:00Z")
    again = read(BISON, bodies, "2027-01-13T04:56:00Z", first.memory)
    posts = [*first.posts, *again.posts]
    assert any(p.body["measure"]["object"] == "road:N118" for p in posts)
    assert not any("value" in p.body["measure"] for p in posts)


def test_an_entity_bomb_is_refused() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    for feed in (BISON, "cert-fr"):
        reading = read(feed, {"main": FeedBody("main", bomb)}, "2027-01-13T04:54:00Z")
        assert (reading.verdict, reading.posts) == (FetchVerdict.REFUSED, [])


def test_a_list_cut_in_half_ends_nothing() -> None:
    memory: Memory = {}
    for at in ("2027-01-12T07:06:00Z", "2027-01-12T07:08:00Z"):
        memory = read(IDFM, load_bodies(IDFM, "warning.json"), at, memory).memory
    assert memory["said"]
    document = load_document(IDFM, "end.json")
    document["disruptions"] = document["disruptions"][:1]
    document["lastUpdatedDate"] = "20270112T081000"
    for at in ("2027-01-12T07:12:00Z", "2027-01-12T07:15:00Z"):
        reading = read(IDFM, make_bodies(document), at, memory)
        assert (reading.verdict, reading.posts) == (FetchVerdict.DRIFT, [])
        memory = reading.memory


def test_a_disruption_missing_twice_is_over() -> None:
    memory: Memory = {}
    for at in ("2027-01-12T07:06:00Z", "2027-01-12T07:08:00Z"):
        memory = read(IDFM, load_bodies(IDFM, "warning.json"), at, memory).memory
    document = load_document(IDFM, "end.json")
    document["lastUpdatedDate"] = "20270112T081000"
    first = read(IDFM, make_bodies(document), "2027-01-12T07:12:00Z", memory)
    assert first.posts == []
    second = read(IDFM, make_bodies(document), "2027-01-12T07:15:00Z", first.memory)
    assert [p.body["msg_type"] for p in second.posts] == ["Cancel"]


def block_lines(codes: list[str]) -> Any:
    """Return a body of IDFM in which these lines are blocked."""
    document = load_document(IDFM, "normal.json")
    for n, code in enumerate(codes):
        disruption = deepcopy(document["disruptions"][2]) | {
            "id": f"9000000{n}",
            "title": f"Ligne {n} interrompue",
        }
        document["disruptions"].append(disruption)
        line = f"line:IDFM:{code}"
        impacted = {"type": "line", "id": line, "disruptionIds": [disruption["id"]]}
        document["lines"].append({"id": line, "impactedObjects": [impacted]})
    return make_bodies(document)


def test_three_structural_lines_are_one_disruption_of_the_network() -> None:
    memory: Memory = {}
    three = block_lines(["C01742", "C01743", "C01383"])
    for at in ("2027-01-12T06:42:00Z", "2027-01-12T06:45:00Z"):
        reading = read(IDFM, three, at, memory)
        memory = reading.memory
    network = [p.body for p in reading.posts if p.body["type"] == "transport_disruption"]
    assert [body["severity"] for body in network] == [3]
    assert network[0]["measure"]["object"] == "line:IDFM:C01383|line:IDFM:C01742|line:IDFM:C01743"
    one = block_lines(["C01742"])
    for at in ("2027-01-12T06:48:00Z", "2027-01-12T06:51:00Z"):
        reading = read(IDFM, one, at, memory)
        memory = reading.memory
    ends = [p.body for p in reading.posts if p.body["type"] == "transport_disruption"]
    assert [body["msg_type"] for body in ends] == ["Cancel"]


@pytest.mark.parametrize("count", [23, 25])
def test_days_of_23_and_25_hours_are_read(count: int) -> None:
    day = {23: "2027-03-28T00:00:00+01:00", 25: "2027-10-31T00:00:00+02:00"}[count]
    hours = [{"pas": n, "hvalue": 3 if n == 5 else 1} for n in range(count)]
    signal = {"GenerationFichier": day, "jour": day, "dvalue": 3, "message": "", "values": hours}
    reading = read(RTE, make_bodies({"signals": [signal]}), day)
    begin = datetime.fromisoformat(day) + timedelta(hours=5)
    window = reading.posts[0].body["effective"][0]
    assert datetime.fromisoformat(window["from"]) == begin
    wrong = signal | {"jour": "2027-03-29T00:00:00+02:00", "GenerationFichier": day}
    assert read(RTE, make_bodies({"signals": [wrong]}), day).verdict is FetchVerdict.DRIFT


def test_a_red_day_calls_no_person() -> None:
    reading = read(RTE, load_bodies(RTE, "warning.json"), "2027-01-19T16:16:00Z")
    assert rings(reading) == []


def test_the_rss_feed_stands_in_for_the_index() -> None:
    memory = read("cert-fr", load_bodies("cert-fr", "normal.json"), "2027-01-18T08:00:00Z").memory
    rss = b"""<?xml version="1.0"?><rss version="2.0"><channel><item>
<title>CERTFR-2027-ALE-001</title>
<link>https://www.cert.ssi.gouv.fr/alerte/CERTFR-2027-ALE-001/</link>
<pubDate>Tue, 19 Jan 2027 09:00:00 +0000</pubDate></item></channel></rss>"""
    bodies = load_bodies("cert-fr", "warning.json") | {"main": FeedBody("main", rss)}
    reading = read("cert-fr", bodies, "2027-01-19T10:05:00Z", memory)
    assert [p.key for p in reading.posts] == ["certfr:CERTFR-2027-ALE-001:2027-01-19"]
    assert reading.posts[0].body["measure"] == {"object": "system:reseau"}


def test_an_unused_product_is_severity_one() -> None:
    memory = read("cert-fr", load_bodies("cert-fr", "normal.json"), "2027-01-18T08:00:00Z").memory
    bodies = load_bodies("cert-fr", "warning.json")
    name = "item:CERTFR-2027-ALE-001"
    other = bodies[name].content.replace(b"VPN Gateway", b"Tableur")
    reading = read(
        "cert-fr", bodies | {name: FeedBody(name, other)}, "2027-01-19T10:05:00Z", memory
    )
    assert reading.posts[0].body["severity"] == 1
    assert "measure" not in reading.posts[0].body


def test_air_without_fresh_indices_is_not_reported() -> None:
    bodies = load_bodies("airparif-episodes", "warning.json")
    reading = read("airparif-episodes", bodies, "2027-07-22T10:30:00Z")
    assert (reading.verdict, reading.posts) == (FetchVerdict.STALE, [])
    alone = {"main": bodies["main"]}
    assert read("airparif-episodes", alone, "2027-07-19T10:30:00Z").verdict is FetchVerdict.DRIFT


def test_an_episode_ends_on_a_fresh_pair() -> None:
    bodies = load_bodies("airparif-episodes", "warning.json")
    memory = read("airparif-episodes", bodies, "2027-07-19T10:30:00Z").memory
    reading = read(
        "airparif-episodes",
        load_bodies("airparif-episodes", "end.json"),
        "2027-07-20T10:30:00Z",
        memory,
    )
    assert [p.body["msg_type"] for p in reading.posts] == ["Cancel"]
    assert reading.posts[0].body["references"] == ["airparif:2027-07-20:O3:INFORMATION"]


def test_an_alert_of_2019_is_no_news_for_an_index_of_2026() -> None:
    memory = read("cert-fr", load_bodies("cert-fr", "normal.json"), "2027-01-18T08:00:00Z").memory
    document = load_document("cert-fr", "warning.json")
    document[0]["last_revision_date"] = "2019-01-01T00:00:00.000000"
    bodies = load_bodies("cert-fr", "warning.json") | make_bodies(document)
    reading = read("cert-fr", bodies, "2027-01-19T10:05:00Z", memory)
    assert reading.verdict is FetchVerdict.DRIFT
    assert reading.posts == []


def read_lines_twice(bodies: dict[str, FeedBody]) -> list[Reading]:
    first = read(IDFM, bodies, "2027-01-12T06:42:00Z")
    return [first, read(IDFM, bodies, "2027-01-12T06:45:00Z", first.memory)]


def spoil_lines(spoil: str) -> dict[str, FeedBody]:
    """Return a body in which three structural lines are blocked, with one lie."""
    document = json.loads(block_lines(["C01742", "C01743", "C01383"])["main"].content)
    if spoil == "one id twice":
        copies = [one | {"severity": "INFORMATION"} for one in document["disruptions"]]
        document["disruptions"] = [*copies, *document["disruptions"]]
    for disruption in document["disruptions"]:
        if spoil == "clock of 2019":
            disruption["lastUpdate"] = "20190101T000000"
        elif spoil == "clock of 2099":
            disruption["lastUpdate"] = "20990101T000000"
        elif spoil == "period backwards":
            period = disruption["applicationPeriods"][0]
            period["begin"], period["end"] = period["end"], period["begin"]
    for line in document["lines"] if spoil == "another line" else ():
        for impacted in line["impactedObjects"]:
            impacted["id"] = "line:IDFM:C01999"
    return make_bodies(document)


@pytest.mark.parametrize(
    "spoil",
    ["one id twice", "clock of 2019", "clock of 2099", "period backwards", "another line"],
)
def test_a_lie_about_lines_is_no_disruption_of_the_network(spoil: str) -> None:
    readings = read_lines_twice(spoil_lines(spoil))
    assert [post.key for reading in readings for post in reading.posts] == []
    assert all(reading.faults for reading in readings)


def test_the_same_disruption_twice_is_one() -> None:
    document = json.loads(block_lines(["C01742"])["main"].content)
    document["disruptions"] += deepcopy(document["disruptions"])
    document["lines"] += deepcopy(document["lines"])
    readings = read_lines_twice(make_bodies(document))
    blocked = [p.body for reading in readings for p in reading.posts]
    assert [body["measure"]["object"] for body in blocked] == ["line:IDFM:C01742"]


def test_an_old_disruption_keeps_the_feed_alive_and_the_last_word() -> None:
    reading = read(IDFM, spoil_lines("clock of 2019"), "2027-01-12T06:42:00Z")
    assert reading.verdict is FetchVerdict.OK


def test_a_row_that_stands_twice_is_no_second_source() -> None:
    rising = [("2027-01-25T10:30:00Z", 4.60), ("2027-01-25T10:45:00Z", 4.62)]
    memory = read(HYDRO, make_river(rising), "2027-01-25T10:50:00Z").memory
    jump = ("2027-01-25T11:00:00Z", 5.05)
    reading = read(HYDRO, make_river([*rising, jump, jump]), "2027-01-25T11:05:00Z", memory)
    (post,) = reading.posts
    assert (post.body["certainty"], post.body["severity"]) == ("unconfirmed", 2)
    assert rings(reading) == []


def test_an_orange_that_begins_earlier_than_announced_is_reported_again() -> None:
    """The hour of a hazard clock is the begin: a later one would be too late (D124)."""
    memory = read(MF, load_bodies(MF, "warning.json"), "2027-01-12T15:06:00Z").memory
    document = load_document(MF, "warning.json")
    item = find_phenomenon(document, "J1", "92", "5")
    item["timelaps_items"][1]["begin_time"] = "2027-01-13T01:00:00Z"
    document["product"]["update_time"] = "2027-01-12T18:00:00Z"
    reading = read(MF, make_bodies(document), "2027-01-12T18:05:00Z", memory)
    (post,) = reading.posts
    assert post.body["msg_type"] == "Update"
    assert post.body["references"] == ["mf-vigilance:92:5:20270112T150305Z"]
    assert post.body["effective"][0]["from"] == "2027-01-13T01:00:00Z"
    again = read(MF, make_bodies(document), "2027-01-12T18:15:00Z", reading.memory)
    assert again.posts == []


def test_the_reading_that_counts_answers_for_all_that_were_held() -> None:
    """Both stayed unconfirmed for good but the newest."""
    memory: Memory = {}
    posts: list[dict[str, Any]] = []
    for hour, level in enumerate((3.0, 4.4, 4.65, 5.05, 5.2)):
        document = {
            "Serie": {
                "CdStationHydro": "F700000103",
                "GrdSerie": "H",
                "ObssHydro": [[f"2027-01-25T0{hour + 1}:00:00Z", level]],
            }
        }
        bodies = {"vigicrues": FeedBody("vigicrues", json.dumps(document).encode())}
        reading = read(HYDRO, bodies, f"2027-01-25T0{hour + 1}:05:00Z", memory)
        memory = reading.memory
        posts += [post.body for post in reading.posts]
    aliases = [p["alias"] for p in posts if p.get("certainty") == "unconfirmed"]
    (update,) = [p for p in posts if p.get("msg_type") == "Update"]
    assert len(aliases) == 2
    assert update["references"] == aliases
