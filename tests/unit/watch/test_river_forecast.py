"""The forecast of the river: reported once, and never one that lies."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.reports import Measure
from services.console.hazards.river import parse_forecast
from services.intake.reports.redaction import LogRedactor
from services.watch.connector import FeedBody, FetchVerdict, Memory, Reading
from services.watch.feeds.hydro_levels import FORECAST
from services.watch.parsing import BodyRefused, FeedDrift
from services.watch.river_forecast import read_forecast
from tests.unit.watch.samples import load_bodies, load_document, make_bodies, read

HYDRO, CODE = "hydro-levels", "F700000103"
AT = datetime(2027, 1, 25, 11, 8, tzinfo=UTC)
WRITTEN = "previsions-rising.json"


def read_with(document: Any, memory: Memory | None = None, at: datetime = AT) -> Reading:
    bodies = load_bodies(HYDRO, "rising.json") | make_bodies(document, FORECAST)
    return read(HYDRO, bodies, at, memory)


def list_forecasts(reading: Reading) -> list[dict[str, Any]]:
    return [p.body for p in reading.posts if p.body["measure"].get("name") == "river_forecast"]


def test_a_forecast_is_an_information_that_the_hazard_clock_reads() -> None:
    reading = read_with(load_document(HYDRO, WRITTEN))
    (forecast_report,) = list_forecasts(reading)
    assert (forecast_report["type"], forecast_report["severity"]) == ("info", 1)
    assert (
        Measure.model_validate(forecast_report["measure"]).value
        == forecast_report["measure"]["value"]
    )
    logged = LogRedactor(b"key").clean("92", forecast_report, None).message
    assert logged["measure"] == forecast_report["measure"], "the log keeps it as it is"
    points = parse_forecast(forecast_report["measure"]["value"], round(AT.timestamp() * 1000))
    assert len(points) == 8
    assert (points[0].likely, points[-1].high) == (4.85, 6.6)
    assert "prévu 5,98–6,60 m le 27/01" in reading.word


def test_an_equal_forecast_is_reported_once_and_a_newer_one_again() -> None:
    document = load_document(HYDRO, WRITTEN)
    first = read_with(document)
    later = read_with(document, first.memory, AT + timedelta(minutes=5))
    assert list_forecasts(later) == []
    document["Simul"]["DtProdSimul"] = "2027-01-25T11:00:00+00:00"
    assert len(list_forecasts(read_with(document, later.memory, AT + timedelta(minutes=6)))) == 1


def test_a_low_river_has_no_forecast_to_report() -> None:
    document = load_document(HYDRO, WRITTEN)
    for point in document["Simul"]["Prevs"]:
        point |= {"ResMinPrev": 1.1, "ResMoyPrev": 1.2, "ResMaxPrev": 1.3}
    assert list_forecasts(read_with(document)) == []


def test_a_station_without_a_forecast_is_no_fault() -> None:
    reading = read_with({"error_msg": "Pas de prévision", "code": 400})
    assert (reading.verdict, reading.faults) == (FetchVerdict.OK, [])


LIES: dict[str, dict[str, Any]] = {
    "wrong station": {"CdStationHydro": "F704000101"},
    "flow": {"GrdSimul": "Q"},
    "clock of 2019": {"DtProdSimul": "2019-01-25T10:00:00+00:00"},
    "clock of the future": {"DtProdSimul": "2031-01-25T10:00:00+00:00"},
    "no clock": {"DtProdSimul": None},
    "no points": {"Prevs": []},
}


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_a_false_forecast_is_not_reported_and_the_reading_stands(lie: str) -> None:
    document = load_document(HYDRO, WRITTEN)
    document["Simul"] |= LIES[lie]
    reading = read_with(document)
    assert list_forecasts(reading) == []
    assert reading.verdict is FetchVerdict.OK
    assert [p.body["type"] for p in reading.posts] == ["flood_level"]


@pytest.mark.parametrize(
    "change",
    [
        {"ResMoyPrev": 9.4},
        {"ResMaxPrev": 25.3},
        {"ResMinPrev": -1.0},
        {"ResMoyPrev": 4620.0},
        {"ResMinPrev": 6.0, "ResMaxPrev": 5.0},
        {"ResMoyPrev": None},
        {"ResMoyPrev": "4.9"},
        {"ResMoyPrev": True},
        {"DtPrev": "2027-05-25T10:00:00+00:00"},
        {"DtPrev": "2027-01-25T10:00:00"},
        {"DtPrev": 1800000000},
    ],
    ids=str,
)
def test_a_point_that_is_not_understood_spoils_the_forecast(change: dict[str, Any]) -> None:
    document = deepcopy(load_document(HYDRO, WRITTEN))
    document["Simul"]["Prevs"][3] |= change
    reading = read_with(document)
    assert list_forecasts(reading) == []
    assert reading.faults


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"<html>", b'{"Simul": []}'])
def test_another_body_is_no_forecast(content: bytes) -> None:
    with pytest.raises((BodyRefused, FeedDrift)):
        read_forecast(content, CODE, AT)
    bodies = load_bodies(HYDRO, "rising.json") | {FORECAST: FeedBody(FORECAST, content)}
    assert list_forecasts(read(HYDRO, bodies, AT)) == []
