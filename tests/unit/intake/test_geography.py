"""A geometry stands for its communes and sites; a report with only a drawing is kept (D8)."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.intake.reports.geography import LOOK_S, TerritoryMap, build_circle, build_polygon
from services.intake.reports.native import parse_report, prepare_report
from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import create_principal
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Scope
from tests.shipped import FOLDER
from tests.unit.intake.conftest import Door, report

HERE = TerritoryMap(FOLDER)
AROUND = "POLYGON((2.2275 48.8948, 2.2305 48.8948, 2.2305 48.8958, 2.2275 48.8958, 2.2275 48.8948))"
"""Around the headquarters in Nanterre."""
PARIS = {
    "type": "Polygon",
    "coordinates": [[[2.33, 48.84], [2.37, 48.84], [2.37, 48.87], [2.33, 48.87], [2.33, 48.84]]],
}


def claimed(**changes: Any) -> Any:
    body = report(site_id=None, **changes)
    return prepare_report(
        parse_report(orjson.dumps(body)), create_principal(Role.ADMIN), "92", lambda _, r: r, HERE
    )


def test_an_area_covers_its_communes_and_sites() -> None:
    near = HERE.within([build_circle((48.8953, 2.2289), 0.2)])
    assert (near.communes, near.sites, near.whole) == (("92050",), ("cen-1",), False)
    assert HERE.within([build_circle((48.8953, 2.2289), 0)]).communes == ("92050",)
    both = HERE.within([build_circle((48.8953, 2.2289), 0.2), build_circle((48.7478, 2.2968), 0.3)])
    assert set(both.communes) == {"92050", "92002"}
    everything = HERE.within([build_polygon([(48, 2), (48, 3), (49, 3), (49, 2), (48, 2)])])
    assert (everything.whole, everything.zone, len(everything.sites)) == (True, (), 253)


def test_a_neighbour_that_only_touches_is_not_concerned() -> None:
    assert HERE.locate(PARIS) is not None
    assert HERE.within([build_circle((48.8566, 2.3522), 2)]).communes == ()


@pytest.mark.parametrize(
    "crossing", [[(48.88, 2.2), (48.92, 2.26), (48.88, 2.26), (48.92, 2.2), (48.88, 2.2)]]
)
def test_a_self_crossing_outline_leaves_no_site_out(crossing: list[tuple[float, float]]) -> None:
    assert "cen-1" in HERE.within([build_polygon(crossing)]).sites


@pytest.mark.parametrize(
    "unreadable",
    [
        "",
        "ici",
        "POLYGON((1 2",
        "POINT EMPTY",
        "POLYGON((200 48, 201 48, 201 49, 200 48))",
        {},
        {"type": "Polygon"},
        {"type": "Feature", "geometry": None},
        {"type": "Point", "coordinates": [None, 1]},
        {"type": "Point", "coordinates": "x"},
    ],
)
def test_an_invalid_geometry_covers_nothing(unreadable: Any) -> None:
    assert HERE.locate(unreadable) is None


def test_a_report_that_only_draws_its_place_is_about_the_communes_and_sites_in_it() -> None:
    feature = {
        "type": "Feature",
        "properties": {},
        "geometry": {"type": "Point", "coordinates": [2.2289, 48.8953]},
    }
    for area in (AROUND, feature):
        made = claimed(area=area)
        assert (made.message["zone"], "cen-1" in made.message["sites"], made.is_unplaced) == (
            ("92050",),
            True,
            False,
        )
    assert "zone" not in claimed(area="POLYGON((2 48, 3 48, 3 49, 2 49, 2 48))").message


def test_the_place_that_a_report_names_itself_stands() -> None:
    placed_report = claimed(area=AROUND, commune="92002")
    assert ("zone" in placed_report.message, placed_report.message["commune"]) == (False, "92002")
    site_report = prepare_report(
        parse_report(orjson.dumps(report(site_id="cen-1", area=PARIS))),
        create_principal(Role.ADMIN),
        "92",
        lambda _, r: r,
        HERE,
    )
    assert (
        "zone" in site_report.message,
        "sites" in site_report.message,
        site_report.is_unplaced,
    ) == (
        False,
        False,
        False,
    )
    unknown = prepare_report(
        parse_report(orjson.dumps(report(site_id="nouveau", area=AROUND))),
        create_principal(Role.ADMIN),
        "92",
        lambda _, r: r,
        HERE,
    )
    assert unknown.message["zone"] == ("92050",), "correlated by commune until it is linked"


def _of_some_sites(**place: Any) -> None:
    body = parse_report(orjson.dumps(report(site_id="cen-1") | place))
    for role in (Role.SOURCE, Role.SITE_MANAGER):
        prepare_report(
            body,
            create_principal(role, scope=Scope(sites=("cen-1", "cen-2", "nouveau"))),
            "92",
            lambda _, r: r,
            HERE,
        )


@pytest.mark.parametrize(
    "place",
    [
        {"commune": "92050"},
        {"zone": ["92050"]},
        {"sites": ["cen-1", "cen-2"]},
        {"area": PARIS},
        {"area": "ici"},
    ],
)
def test_an_account_limited_to_sites_names_them_and_their_commune(place: dict[str, Any]) -> None:
    _of_some_sites(**place)


@pytest.mark.parametrize(
    ("place", "field"),
    [
        ({"sites": ["cen-1", "cen-3"]}, "sites"),
        ({"commune": "92012"}, "commune"),
        ({"zone": ["92050", "92012"]}, "zone"),
        ({"site_id": "nouveau", "area": AROUND}, "area"),
        ({"site_id": "nouveau", "commune": "92050"}, "commune"),
    ],
)
def test_an_account_limited_to_sites_names_no_other_place(
    place: dict[str, Any], field: str
) -> None:
    with pytest.raises(ProblemError) as caught:
        _of_some_sites(**place)
    assert (caught.value.problem.code, caught.value.problem.values) == (
        "out_of_scope",
        {"field": field},
    )


SCHOOLS = create_principal(Role.DIRECTOR, scope=Scope(poles=("education",)))
SCHOOL, CLINIC = "spo-01", "pmi-01"


def _of_schools(**body: Any) -> str | None:
    """Return the field on which a report of an account limited to schools is refused."""
    try:
        prepare_report(
            parse_report(orjson.dumps(report(**body))), SCHOOLS, "92", lambda _, r: r, HERE
        )
    except ProblemError as error:
        return str(error.problem.values.get("field", error.problem.code))
    return None


@pytest.mark.parametrize(
    "place", [{"site_id": SCHOOL}, {"site_id": "cen-1"}, {"site_id": SCHOOL, "sites": [SCHOOL]}]
)
def test_an_account_limited_to_poles_reports_about_their_sites(place: dict[str, Any]) -> None:
    assert _of_schools(**place) is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"site_id": CLINIC}, "site_id"),
        ({"site_id": "nouveau"}, "site_id"),
        ({"site_id": None, "commune": "92050"}, "site_id"),
        ({"site_id": SCHOOL, "sites": [CLINIC]}, "sites"),
        ({"site_id": SCHOOL, "zone": ["92050", "92012"]}, "zone"),
        ({"site_id": CLINIC, "type": "reopening", "lifts": ["fire"]}, "site_id"),
    ],
)
def test_an_account_limited_to_poles_names_no_other_place(body: dict[str, Any], field: str) -> None:
    assert _of_schools(**body) == field


def test_an_account_limited_to_poles_reports_danger_anywhere() -> None:
    assert _of_schools(site_id=CLINIC, type="fire") is None


OWN = Scope(sites=("cen-1",))
ELSEWHERE: list[dict[str, Any]] = [
    {"site_id": CLINIC},
    {"site_id": "nouveau"},
    {"commune": "92012"},
    {"zone": ["92050", "92012"]},
    {"area": AROUND},
    {"site_id": "cen-1", "sites": ["cen-3"]},
]


def _of_own_site(role: Role, **body: Any) -> str:
    """Return the certainty of a report of an account limited to one site, or why it is refused."""
    try:
        claim = prepare_report(
            parse_report(orjson.dumps(report(site_id=None) | body)),
            create_principal(role, scope=OWN),
            "92",
            lambda _, r: r,
            HERE,
        )
    except ProblemError as error:
        return str(error.problem.code)
    return str(claim.message["certainty"])


@pytest.mark.parametrize("place", ELSEWHERE)
@pytest.mark.parametrize("danger", [{"type": "fire"}, {"type": "outage_power", "severity": 5}])
def test_an_account_limited_to_a_site_reports_danger_anywhere(
    place: dict[str, Any], danger: dict[str, Any]
) -> None:
    """A fire at the next school was refused, for it is not the own site."""
    assert _of_own_site(Role.SITE_MANAGER, **place, **danger) == "confirmed"


@pytest.mark.parametrize(
    ("site", "source"), [("cen-1", "site_manager"), ("cen-2", "agent"), (None, "site_manager")]
)
def test_the_manager_of_a_site_speaks_of_another_as_any_agent(
    site: str | None, source: str
) -> None:
    """Else the manager of the other site would not hear of the order to leave."""
    claim = prepare_report(
        parse_report(orjson.dumps(report(site_id=site) | {"type": "fire"})),
        create_principal(Role.SITE_MANAGER, scope=OWN),
        "92",
        lambda _, r: r,
        HERE,
    )
    assert claim.message["source"] == source


@pytest.mark.parametrize("place", ELSEWHERE)
def test_danger_that_a_program_tells_of_beyond_its_sites_waits_for_the_cell(
    place: dict[str, Any],
) -> None:
    own = place.get("site_id") == "cen-1"
    assert _of_own_site(Role.SOURCE, **place, type="fire") == (
        "confirmed" if own else "unconfirmed"
    )
    assert _of_own_site(Role.SOURCE, **place, type="fire", rumour=True) == "rumour"


@pytest.mark.parametrize(
    "body",
    [
        {"type": "outage_power"},
        {"type": "reopening", "severity": 5, "lifts": ["fire"]},
        {"type": "info", "severity": 5},
        {"type": "weather_alert", "severity": 5, "colour": "rouge"},
        {"type": "fire", "msg_type": "Cancel"},
    ],
)
@pytest.mark.parametrize("place", [{"site_id": CLINIC}, {"site_id": "cen-1", "commune": "92012"}])
def test_all_else_of_another_place_is_refused(body: dict[str, Any], place: dict[str, Any]) -> None:
    for role in (Role.SITE_MANAGER, Role.SOURCE):
        assert _of_own_site(role, **body, **place) == "out_of_scope"
    if place["site_id"] == CLINIC:
        assert _of_schools(**body, **place) == "site_id"


def test_a_repeated_report_is_recognised_with_any_map() -> None:
    body = parse_report(orjson.dumps(report(site_id=None, area=AROUND)))
    who = create_principal(Role.ADMIN)
    with_map, without = (
        prepare_report(body, who, "92", lambda _, r: r, map_) for map_ in (HERE, None)
    )
    assert with_map.content == without.content
    assert with_map.message != without.message


async def test_an_area_on_no_map_is_accepted_and_waits_for_a_person(door: Door) -> None:
    async with await door.as_(Role.ADMIN) as http:
        for area in (
            "près du pont",
            PARIS | {"coordinates": [[[9, 9], [9, 10], [10, 10], [9, 9]]]},
            {"type": "Circle"},
        ):
            assert (
                await http.post("/api/v1/reports", json=report(site_id=None, area=area))
            ).status_code == 202
            assert door.inputs.appended[-1][1].area == door.inputs.appended[-1][1].text_id
        assert (
            await http.post("/api/v1/reports", json=report(site_id=None, area=AROUND))
        ).status_code == 202
    assert (door.inputs.appended[-1][1].area, door.inputs.appended[-1][1].zone) == (
        None,
        ("92050",),
    )


def test_another_map_counts_without_a_restart(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "92")
    now = 0.0
    territory_map = TerritoryMap(folder, lambda: now)
    unknown = territory_map.locate_codes([("EMMA_ID", "ZZ2")], "")
    assert territory_map.locate_codes([("EMMA_ID", "ZZ1")], "") == unknown
    with (folder / "geocodes.csv").open("a", encoding="utf-8") as file:
        file.write("EMMA_ID,ZZ1,92050|92002,,\n")
    now = LOOK_S / 2
    assert territory_map.locate_codes([("EMMA_ID", "ZZ1")], "") == unknown, (
        "looked at for every report"
    )
    now = LOOK_S
    location = territory_map.locate_codes([("emma-id", "zz1")], "")
    assert location is not None
    assert (location.communes, location.whole) == (("92002", "92050"), False)


@pytest.mark.parametrize(
    "broken",
    [
        ("sites.csv", "site_id,lon,lat\nx,,\n"),
        ("communes.geojson", "{"),
        ("communes.csv", "code\n1\n"),
    ],
)
def test_a_map_that_cannot_be_read_leaves_the_one_before(
    tmp_path: Path, broken: tuple[str, str]
) -> None:
    folder = Path(shutil.copytree(FOLDER, tmp_path / "92"))
    territory_map = TerritoryMap(folder, count(0.0, LOOK_S).__next__)
    before = territory_map.locate("POINT(2.25 48.89)")
    name, content = broken
    (folder / name).write_text(content)
    assert territory_map.locate("POINT(2.25 48.89)") == before
    with pytest.raises(ProblemError) as refused:
        TerritoryMap(folder).locate("POINT(2.25 48.89)")
    assert refused.value.problem.status == 503, "whoever sends comes again"


async def test_a_map_that_cannot_be_read_refuses_no_report(tmp_path: Path) -> None:
    door = Door(tmp_path, territory=tmp_path / "92")
    async with await door.as_(Role.CELL) as http:
        assert (await http.post("/api/v1/reports", json=report())).status_code == 202
    await door.close()


# ── what the receipt says of the place ────────────────────────────────────────────────────────────


FAILURE: dict[str, Any] = {"type": "supplier_failure", "site_id": None}


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"measure": {"object": "supplier:cuisine-centrale-sud"}}, []),
        ({"measure": {"object": "supplier:concessionnaire_restauration"}}, []),
        ({"measure": {"object": "supplier:cuisine-central-sud"}}, ["unknown"]),
        ({"measure": {"object": "system:pass_plus"}}, ["no_supplier"]),
        ({"site_id": "cen-1", "measure": {"object": "system:pass_plus"}}, ["no_supplier"]),
        ({}, ["no_supplier"]),
        ({"site_id": "cen-1"}, []),
        ({"references": ["r-1"], "msg_type": "Update"}, []),
        ({"measure": {"object": "system:pass_plus"}, "msg_type": "Cancel"}, []),
        ({"type": "outage_it", "measure": {"object": "system:pass_plus"}}, []),
    ],
)
def test_a_supplier_failure_that_stops_no_supplier_is_doubted(
    changes: dict[str, Any], codes: list[str]
) -> None:
    body = parse_report(orjson.dumps(report(**(FAILURE | changes))))
    admin = create_principal(Role.ADMIN)
    warnings = prepare_report(body, admin, "92", lambda _, r: r, HERE).warnings
    assert [(w.field, w.code) for w in warnings] == [("measure.object", code) for code in codes]


def test_activities_that_cannot_be_read_leave_every_supplier_known(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDER, tmp_path / "92"))
    (folder / "activities.yaml").write_text("activites: [")
    territory_map = TerritoryMap(folder)
    assert territory_map.knows("cen-1")
    assert territory_map.knows_supplier("grossistes")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"site_id": "clg-nowhere"}, [("site_id", "unknown")]),
        ({"site_id": None, "commune": "99999"}, [("commune", "unknown")]),
        ({"site_id": None, "zone": ["92050", "75116"]}, [("zone", "unknown")]),
        ({"site_id": None, "type": "fire"}, [("site_id", "missing")]),
        ({"site_id": None, "severity": 5}, [("site_id", "missing")]),
        ({"site_id": None, "type": "fire", "rumour": True}, []),
        ({"site_id": None, "type": "fire", "area": "?"}, []),
        ({"site_id": None, "type": "weather_alert", "severity": 5}, []),
        ({"site_id": None}, []),
    ],
)
async def test_the_receipt_names_doubts_about_the_place(
    door: Door, changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """Danger to people is never refused for a wrong place: the doubt is named."""
    body = report(**({"site_id": "cen-1"} | changes))
    async with await door.as_(Role.CELL) as http:
        one = await http.post("/api/v1/reports", json=body)
        many = await http.post("/api/v1/reports:batch", json=[body])
    assert one.status_code == many.status_code == 202
    for receipt in (one.json(), many.json()["items"][0]):
        assert [(w["field"], w["code"]) for w in receipt.get("warnings", ())] == expected
    assert len(door.inputs.appended) == 1


@pytest.mark.parametrize(
    ("site", "meant"),
    [("CEN-1", "cen-1"), (" cen-1\t", "cen-1"), ("CLG-0921353w", "clg-0921353W"), ("cen1", "cen1")],
)
async def test_case_and_spaces_of_a_site_do_not_matter(door: Door, site: str, meant: str) -> None:
    async with await door.as_(Role.CELL) as http:
        await http.post("/api/v1/reports", json=report(type="fire", site_id=site))
        await http.post(
            "/api/v1/reports", json=report(type="fire", site_id=None, commune=" 92050 ")
        )
    first, second = (message for _, message, _ in door.inputs.appended)
    assert (first.site_id, second.commune) == (meant, "92050")


async def test_a_limited_sender_is_judged_by_the_site_that_is_meant(door: Door) -> None:
    async with await door.as_(Role.SITE_MANAGER, scope=Scope(sites=("cen-1",))) as http:
        own = await http.post("/api/v1/reports", json=report(site_id="CEN-1"))
        other = await http.post("/api/v1/reports", json=report(site_id="CLG-0921353w"))
    assert (own.status_code, other.status_code) == (202, 403)


async def test_a_sender_limited_to_sites_names_one_unless_people_are_in_danger(
    door: Door,
) -> None:
    scope = Scope(sites=("cen-1", "pmi-05"))
    body = {"type": "fire", "severity": 4, "occurred_at": "2027-02-11T09:40:00+01:00"}
    async with await door.as_(Role.SITE_MANAGER, scope=scope) as http:
        answers = [
            await http.post("/api/v1/reports", json=body | changes)
            for changes in (
                {},
                {"type": "outage_water"},
                {"type": "outage_water", "site_id": "pmi-04"},
                {"type": "outage_water", "site_id": "cen-1", "zone": ["92012"]},
            )
        ]
    assert [a.status_code for a in answers] == [202, 403, 403, 403]
