"""A declaration holds until a newer one, the end of its cause or its withdrawal.

Rules D3 and D7, sections 3 and 13.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from schemas.commands import CompleteTask, DenyReport, ResolveIncident
from schemas.reports import Lease, Measure, Window
from schemas.runtime import CommandApplied
from schemas.words import EventType, MsgType
from services.alerts.evolve import rebuild_indexes
from tests.shipped import territory
from tests.unit.alerts.scene import Scene

PAIE: dict[str, Any] = {
    "source": "supervision",
    "source_key": "k",
    "severity": 4,
    "capacity_lost_pct": 100,
    "measure": Measure(object="system:paie"),
}
COLLEGES = tuple(
    min(s.id for s in territory().sites if s.kitchen == kitchen)
    for kitchen in ("cuisine-centrale-sud", "sur-place")
)
RIVER = "station:paris-austerlitz"


@pytest.fixture
def scene() -> Scene:
    return Scene(check=True)


def _said(scene: Scene, id: str) -> Any:
    return scene.state.flags[id].value


def test_withdrawing_a_vigilance_restores_the_earlier_reports(scene: Scene) -> None:
    def vigilance(minute: float, colour: str | None, **more: Any) -> str:
        return scene.report(
            minute, "weather_alert", source="vigicrues", phenomenon="crues", colour=colour, **more
        )

    vigilance(0, "jaune")
    red = vigilance(10, "rouge", severity=5)
    vigilance(12, "rouge", msg_type=MsgType.CANCEL, references=(red,))
    assert _said(scene, "vigilance:crues") == "jaune", (
        "it repeats what it withdraws, and does not say it"
    )
    assert scene.state.flags["vigilance:crues"].since == scene.at(0)


@pytest.mark.parametrize("denied", [True, False])
def test_the_declaration_of_a_withdrawn_report_leaves_no_trace(scene: Scene, denied: bool) -> None:
    flag = scene.report(
        0, "info", source="prefecture", measure=Measure(name="cod_active", value=True)
    )
    system = scene.report(1, "outage_it", **PAIE)
    cut = scene.report(
        2,
        "outage_power",
        source="enedis",
        commune="92050",
        measure=Measure(name="customers_cut", value=3e4, object="network:electricity"),
    )
    incident = scene.incident_of(cut).id
    assert (
        _said(scene, "flag:cod_active"),
        _said(scene, "system:paie"),
        _said(scene, "network:electricity"),
    ) == (True, "down", "down")
    for n, id in enumerate((flag, system, cut)):
        row = scene.state.reports[id]
        if denied:
            scene.command(DenyReport(author="c", role="coordinator", report=id), 5 + n)
        else:
            scene.report(
                5 + n,
                row.type.value,
                source=row.source,
                msg_type=MsgType.CANCEL,
                references=(id,),
                measure=row.measure,
                commune=row.commune,
            )
    assert (
        _said(scene, "flag:cod_active"),
        _said(scene, "system:paie"),
        _said(scene, "network:electricity"),
    ) == (False, "up", "up")
    assert scene.state.incidents[incident].customers_cut is None


@pytest.mark.parametrize("end", ["lapse", "machine", "person", "window"])
def test_a_system_is_up_again_when_the_outage_has_ended(scene: Scene, end: str) -> None:
    """Its dependants stayed interrupted, and their clocks ran, until a `system_restored`."""
    lease = Lease(until=scene.at(10)) if end == "lapse" else None
    windows = (Window(start=scene.at(0), end=scene.at(10)),) if end == "window" else ()
    duration = 0.1 if end == "person" else None
    id = scene.report(
        0, "outage_it", **PAIE, lease=lease, effective=windows, expected_duration_h=duration
    )
    assert _said(scene, "system:paie") == "down"
    if end == "machine":
        scene.report(
            10,
            "reopening",
            source="supervision",
            source_key="k",
            references=(id,),
            lifts=(EventType.OUTAGE_IT,),
            severity=1,
        )
    elif end == "person":
        scene.step(10)
        (task,) = [t for t in scene.state.tasks.values() if t.state == "open"]
        scene.command(
            CompleteTask(author="c", role="coordinator", task=task.id, outcome="lifted"), 10
        )
    scene.step(20)
    assert _said(scene, "system:paie") == "up"
    assert scene.state.flags["system:paie"].since == scene.at(10)


def test_an_outage_of_two_systems_ends_when_both_are_restored(scene: Scene) -> None:
    """§3: restored one by one, it never ended."""
    scene.report(
        0,
        "outage_it",
        "sst-01",
        capacity_lost_pct=50,
        measure=Measure(object="system:paie|system:ad"),
    )
    for minute, system, status in ((5, "ad", "degraded"), (6, "paie", "normal")):
        restored = Measure(name="system_restored", value=True, object=f"system:{system}")
        scene.report(minute, "info", source="supervision", severity=1, measure=restored)
        assert scene.status("sst-01") == status


@pytest.mark.parametrize("site", ["sst-01", None])
def test_a_network_is_restored_as_a_system_is(scene: Scene, site: str | None) -> None:
    common_fields: dict[str, Any] = {
        "source": "operateur",
        "commune": "92050",
        "measure": Measure(object="network:mobile"),
    }
    outage = scene.report(
        0, "outage_telecom", site, severity=4, capacity_lost_pct=100, **common_fields
    )
    assert _said(scene, "network:mobile") == "down"
    restored = Measure(name="system_restored", value=True, object="network:mobile")
    word = scene.report(60, "info", source="operateur", severity=1, measure=restored)
    assert _said(scene, "network:mobile") == "up"
    assert [c.lifted_at for c in scene.state.causes.values()] == [scene.at(60)]
    assert scene.incident_of(word) == scene.incident_of(outage)


@pytest.mark.parametrize("end", ["colleges_served", "reopening"])
def test_a_failure_reported_by_a_site_ends_when_its_supplier_serves_again(
    scene: Scene, end: str
) -> None:
    kitchen, college, of_another = "supplier:cuisine-centrale-sud", *COLLEGES
    scene.report(
        0,
        "supplier_failure",
        college,
        severity=4,
        measure=Measure(name="sites_not_delivered", value=54.0, object=kitchen),
    )
    scene.report(1, "supplier_failure", college, capacity_lost_pct=100)
    scene.report(2, "supplier_failure", of_another, capacity_lost_pct=100)
    if end == "reopening":
        scene.report(60, "reopening", severity=1, measure=Measure(object=kitchen))
    else:
        scene.report(
            60,
            "info",
            severity=1,
            measure=Measure(name="colleges_served", value=54.0, value_of=54.0, object=kitchen),
        )
    assert [
        (c.site, c.lifted_at) for c in sorted(scene.state.causes.values(), key=lambda c: c.since)
    ] == [(college, scene.at(60)), (college, scene.at(60)), (of_another, None)]
    scene.report(70, "supplier_failure", college, capacity_lost_pct=100)
    assert [c.type for c in scene.site(college).causes] == ["supplier_failure"], (
        "a newer word stays"
    )


def test_the_end_of_one_outage_keeps_the_others(scene: Scene) -> None:
    ids = [scene.report(n, "outage_it", **PAIE) for n in range(7)]
    for n, id in enumerate(ids):
        assert _said(scene, "system:paie") == "down"
        scene.report(
            10 + n,
            "reopening",
            source="supervision",
            source_key="k",
            references=(id,),
            lifts=(EventType.OUTAGE_IT,),
            severity=1,
        )
    assert _said(scene, "system:paie") == "up"


@pytest.mark.parametrize("shut_first", [True, False])
@pytest.mark.parametrize("ends_by", ["newer word", "withdrawal"])
def test_the_graver_of_two_contradicting_sources_stands_and_asks_a_person(
    scene: Scene, shut_first: bool, ends_by: str
) -> None:
    """D5: the last arrival was believed, and the other report was invisible."""

    def road(minute: float, closed: bool, source: str, occurred: float = 0) -> str:
        measure = Measure(name="road_closed", value=closed, object="road:N118")
        return scene.report(
            minute, "transport_disruption", occurred=occurred, source=source, measure=measure
        )

    reports_by_source = {
        source: road(1 + n, source == "siter", source)
        for n, source in enumerate(("siter", "police") if shut_first else ("police", "siter"))
    }
    assert _said(scene, "road:N118") is True
    (task,) = scene.state.tasks.values()
    assert (task.kind, task.report, task.candidates, task.state) == (
        "contested",
        reports_by_source["siter"],
        (reports_by_source["police"],),
        "open",
    )
    if ends_by == "withdrawal":
        scene.command(
            DenyReport(author="c", role="coordinator", report=reports_by_source["siter"]), 5
        )
    else:
        road(5, False, "police", occurred=4)
    assert _said(scene, "road:N118") is False
    assert scene.state.tasks[task.id].state == "void"


@pytest.mark.parametrize("source", ["siter", "police"])
def test_a_correction_or_later_report_is_no_contradiction(scene: Scene, source: str) -> None:
    scene.report(
        1,
        "transport_disruption",
        occurred=0,
        source="siter",
        measure=Measure(name="road_closed", value=True, object="road:N118"),
    )
    common_fields = {
        "source": source,
        "measure": Measure(name="road_closed", value=False, object="road:N118"),
    }
    scene.report(2, "transport_disruption", occurred=0 if source == "siter" else 1, **common_fields)
    assert _said(scene, "road:N118") is False
    assert not scene.state.tasks


def test_a_denied_all_clear_is_the_graver_of_two_reports(scene: Scene) -> None:
    for minute, source, value in (
        (1, "prefecture", True),
        (2, "pompiers", False),
        (3, "sdis", True),
    ):
        scene.report(
            minute,
            "info",
            occurred=0,
            source=source,
            measure=Measure(name="all_clear", value=value),
        )
        assert _said(scene, "flag:all_clear") is (minute == 1)


@pytest.mark.parametrize("times", [2, 8])
def test_an_older_report_does_not_change_a_newer_repetition(scene: Scene, times: int) -> None:
    def level(minute: float, m: float, occurred: float | None = None) -> None:
        measure = Measure(name="river_level", value=m, unit="m", object=RIVER)
        scene.report(
            minute,
            "flood_level",
            source="vigicrues",
            occurred=occurred,
            severity=2,
            measure=measure,
        )

    for n in range(times):
        level(n * 10, 6.6)
    last = (times - 1) * 10
    level(last + 1, 5.9, last - 5)
    assert _said(scene, f"river:{RIVER.removeprefix('station:')}") == 6.6
    level(last + 2, 5.9, last + 1)
    assert _said(scene, f"river:{RIVER.removeprefix('station:')}") == 5.9


DEGRADED: dict[str, Any] = (
    {"type": "outage_it"} | PAIE | {"capacity_lost_pct": 40, "source": "cellule_si"}
)


@pytest.mark.parametrize(
    ("words", "since"),
    [
        ([("down", 0), ("down", 10)], 0),
        ([("down", 0), ("down", 10), ("down", 15)], 0),
        ([("down", 0), ("up", 5), ("down", 10)], 10),
        ([("down", 0), ("degraded", 5), ("down", 10)], 10),
        ([("down", 0), ("up", 5), ("down", 10), ("down", 15)], 10),
        ([("up", 0), ("down", 5), ("down", 10)], 5),
    ],
    ids=lambda w: " ".join(f"{v}@{at}" for v, at in w) if isinstance(w, list) else "",
)
def test_a_system_is_down_since_its_first_valid_report_in_any_order_of_arrival(
    words: list[tuple[str, float]], since: float
) -> None:
    """Clocks began with the first arrival, not with the earlier failure of an older report."""
    fields_by_value = {"down": DOWN, "up": UP, "degraded": DEGRADED}
    for order in permutations(words):
        scene = Scene(check=True)
        for n, (value, at) in enumerate(order):
            report_fields = dict(fields_by_value[value])
            scene.report(20 + n, report_fields.pop("type"), occurred=at, **report_fields)
        flag = scene.state.flags["system:paie"]
        assert (flag.value, flag.since) == ("down", scene.at(since)), order


def test_an_older_report_with_its_own_window_does_not_count_now(scene: Scene) -> None:
    scene.report(20, "outage_it", **PAIE)
    scene.report(
        25,
        "outage_it",
        occurred=0,
        effective=(Window(start=scene.at(0), end=scene.at(30)),),
        **PAIE,
    )
    assert scene.state.flags["system:paie"].since == scene.at(20)


def test_an_outage_after_one_without_a_reported_return_begins_anew(scene: Scene) -> None:
    """The machine closed the first alert; a late word of that one does not date the second back."""
    id = scene.report(0, "outage_it", **PAIE)
    scene.report(
        5,
        "reopening",
        source="supervision",
        source_key="k",
        references=(id,),
        lifts=(EventType.OUTAGE_IT,),
        severity=1,
    )
    scene.report(10, "outage_it", **PAIE)
    scene.report(15, "outage_it", occurred=2, **PAIE)
    flag = scene.state.flags["system:paie"]
    assert (flag.value, flag.since) == ("down", scene.at(10))


# ── taken back (D3, D7) ────────────────────────────────────────────────────────────────────────────────────────────


def _restricted(
    scene: Scene,
    minute: float,
    value: bool,
    *,
    type: str = "outage_water",
    network: str = "nord",
    **more: Any,
) -> str:
    report_fields = {"source": "prefecture", "severity": 4, "zone": ("92050", "92012")} | more
    return scene.report(
        minute,
        type,
        measure=Measure(name="water_restriction", value=value, object=f"network:{network}"),
        **report_fields,
    )


@pytest.mark.parametrize("said", [{}, {"msg_type": MsgType.CANCEL}, {"type": "info"}])
def test_withdrawing_a_declaration_ends_its_report(scene: Scene, said: dict[str, Any]) -> None:
    """The end of a restriction was one more water cut.

    Nothing ended the first, and the incident could not be closed.
    """
    order = _restricted(scene, 0, True)
    scene.report(5, "outage_water", "pmi-04", capacity_lost_pct=40)
    south = _restricted(scene, 6, True, network="sud", zone=("92002",))
    back = _restricted(scene, 100, False, severity=1, **said)
    assert scene.incident_of(back) == scene.incident_of(order)
    assert [scene.state.causes[c].reports for c in scene.state.placeless["outage_water"]] == [
        (south,)
    ], "of another network somebody else speaks"
    assert (
        _said(scene, "flag:water_restriction"),
        _said(scene, "network:nord"),
        _said(scene, "network:sud"),
    ) == (True, "up", "degraded")
    assert scene.status("pmi-04") == "degraded", "a site speaks for itself"


def test_a_withdrawal_for_some_communes_keeps_the_others(scene: Scene) -> None:
    _restricted(scene, 0, True)
    _restricted(scene, 100, False, zone=("92012",))
    assert scene.state.placeless["outage_water"]
    assert _said(scene, "flag:water_restriction") is True


@pytest.mark.parametrize("type", ["outage_water", "info"])
@pytest.mark.parametrize("late", [False, True])
def test_a_declaration_for_several_zones_holds_until_the_last_is_free(
    scene: Scene, type: str, late: bool
) -> None:
    """The order lifted in the north withdrew the demands of the order in the south."""
    _restricted(scene, 0, True, type=type, zone=("92050",))
    _restricted(scene, 6, True, type=type, zone=("92002",))
    _restricted(scene, 100, False, severity=1, zone=("92050",), occurred=4 if late else 100)
    flag = scene.state.flags["flag:water_restriction"]
    assert (flag.value, flag.since, len(flag.reports)) == (True, scene.at(6), 1)
    assert scene.state.triggers["PT-EAU:3"].state == "held"
    _restricted(scene, 200, False, severity=1, zone=("92002",))
    assert _said(scene, "flag:water_restriction") is False


@pytest.mark.parametrize("type", ["outage_water", "info"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_halves_end_a_declaration_together_in_any_order(
    scene: Scene, type: str, order: tuple[int, ...]
) -> None:
    """§13: lifted in one commune, then in the other, the order stood for ever."""
    reports: list[dict[str, Any]] = [
        {"value": True, "occurred": 0, "zone": ("92050", "92012"), "type": type},
        {"value": False, "occurred": 20, "severity": 1, "zone": ("92050",)},
        {"value": False, "occurred": 40, "severity": 1, "zone": ("92012",)},
    ]
    for minute, n in enumerate(order):
        _restricted(scene, 60 + minute, **reports[n])
        if minute == 1:
            assert _said(scene, "flag:water_restriction") is (0 in order[:2])
    flag = scene.state.flags["flag:water_restriction"]
    assert flag.value is False
    assert order[-1] == 0 or flag.since == scene.at(40)
    assert not scene.state.placeless.get("outage_water")


def _withdraw(scene: Scene, minute: float, report: str) -> None:
    source = scene.state.reports[report].source
    scene.report(minute, "info", source=source, msg_type=MsgType.CANCEL, references=(report,))


@pytest.mark.parametrize("half", [0, 1])
def test_withdrawing_one_half_restores_the_cut(scene: Scene, half: int) -> None:
    """D3: the restriction held again, and the cut that came with it had ended all the same."""
    _restricted(scene, 0, True)
    halves = [
        _restricted(scene, 20 + n, False, type="info", severity=1, zone=(commune,))
        for n, commune in enumerate(("92050", "92012"))
    ]
    assert not scene.state.placeless.get("outage_water")
    _withdraw(scene, 30, halves[half])
    assert _said(scene, "flag:water_restriction") is True
    assert len(scene.state.placeless["outage_water"]) == 1


def test_a_cut_stays_over_while_another_revocation_ends_it(scene: Scene) -> None:
    _restricted(scene, 0, True)
    ends = [_restricted(scene, 20 + n, False, type="info", severity=1) for n in range(2)]
    _withdraw(scene, 30, ends[0])
    assert not scene.state.placeless.get("outage_water")
    _withdraw(scene, 31, ends[1])
    assert scene.state.placeless["outage_water"]


@pytest.mark.parametrize(("numbers", "is_over"), [((50.0, 54.0), True), ((50.0, 30.0), False)])
def test_two_ends_of_a_failed_kitchen_are_the_same_by_any_number(
    scene: Scene, numbers: tuple[float, float], is_over: bool
) -> None:
    """D3: the second one said 54 of 54 and not 50 of 50, and the failure was open again."""
    failed = Measure(
        name="colleges_served", value=0.0, value_of=54.0, object="supplier:cuisine-centrale-sud"
    )
    scene.report(0, "supplier_failure", measure=failed, capacity_lost_pct=100)
    ends = [
        scene.report(
            20 + n,
            "info",
            measure=failed.model_copy(update={"value": served, "value_of": of}),
            severity=1,
        )
        for n, (served, of) in enumerate(zip(numbers, (50.0, 54.0), strict=True))
    ]
    assert not scene.state.placeless.get("supplier_failure")
    _withdraw(scene, 30, ends[0])
    assert (not scene.state.placeless.get("supplier_failure")) is is_over


def test_a_disruption_that_two_sources_report_is_one_incident_until_both_end_it(
    scene: Scene,
) -> None:
    """D120: the feed and a person report the same line, and each takes back its own report."""
    line = {"measure": Measure(name="line_state", object="line:IDFM:C01742"), "severity": 3}
    reports = [
        scene.report(n, "transport_disruption", source=source, **line)
        for n, source in enumerate(("flux_idfm", "cellule"))
    ]
    assert len(scene.incidents()) == 1
    _withdraw(scene, 10, reports[0])
    assert ["cancelled" in scene.state.reports[id].flags for id in reports] == [True, False]


def test_withdrawing_a_restoration_restores_the_outage(scene: Scene) -> None:
    scene.report(0, "outage_it", **PAIE)
    back = PAIE | {
        "severity": 1,
        "measure": Measure(name="system_restored", value=True, object="system:paie"),
    }
    _withdraw(scene, 30, scene.report(20, "info", **back))
    assert _said(scene, "system:paie") == "down"
    assert scene.state.placeless["outage_it"]


def test_withdrawing_an_all_clear_of_an_operator_revokes_it(scene: Scene) -> None:
    cut = {"source": "enedis", "severity": 4, "zone": ("92050",)}
    customers = Measure(name="customers_cut", value=30000.0, unit="customers")
    report = scene.report(0, "outage_power", measure=customers, **cut)
    nobody = customers.model_copy(update={"value": 0.0})
    end = scene.report(20, "outage_power", measure=nobody, **(cut | {"severity": 1}))
    assert not scene.state.placeless.get("outage_power")
    _withdraw(scene, 30, end)
    assert scene.state.placeless["outage_power"]
    assert scene.state.zones[scene.incident_of(report).id].all_clear is None


@pytest.mark.parametrize("half", [0, 1])
def test_withdrawing_one_half_declares_the_order_again(scene: Scene, half: int) -> None:
    order = _restricted(scene, 0, True, type="info")
    halves = [
        _restricted(scene, 20 + n, False, type="info", severity=1, zone=(commune,))
        for n, commune in enumerate(("92050", "92012"))
    ]
    assert _said(scene, "flag:water_restriction") is False
    scene.report(
        30, "info", source="prefecture", msg_type=MsgType.CANCEL, references=(halves[half],)
    )
    flag = scene.state.flags["flag:water_restriction"]
    assert (flag.value, flag.since, flag.reports) == (True, scene.at(0), (order,))


def test_a_declaration_for_all_does_not_end_with_one_commune(scene: Scene) -> None:
    """§13: the préfecture lifted its restriction in one commune, and it ended everywhere."""
    everywhere = Measure(name="water_restriction", value=True)
    scene.report(0, "info", source="prefecture", severity=4, measure=everywhere)
    end = everywhere.model_copy(update={"value": False})
    part = scene.report(20, "info", source="prefecture", zone=("92050",), measure=end)
    assert _said(scene, "flag:water_restriction") is True
    assert scene.state.reports[part].flags == ("ends_in_part",), "its page says why the flag stays"
    assert scene.state.triggers["PT-EAU:3"].state == "held"
    whole = scene.report(40, "info", source="prefecture", measure=end)
    assert _said(scene, "flag:water_restriction") is False
    assert scene.state.reports[whole].flags == ()


def test_withdrawing_an_undeclared_flag_changes_nothing(scene: Scene) -> None:
    _restricted(scene, 0, True, zone=("92050",))
    _restricted(scene, 100, False, severity=1, zone=("92002",))
    assert _said(scene, "flag:water_restriction") is True
    _restricted(scene, 110, False, severity=1, zone=())
    assert _said(scene, "flag:water_restriction") is False


# ── a Cancel that says that all is well ────────────────────────────────────────────────────────────────────────────


def _vigilance(
    scene: Scene, minute: float, colour: str, *, hours: float | None = None, **more: Any
) -> str:
    window = (
        ()
        if hours is None
        else (Window(start=scene.at(minute), end=scene.at(minute + 60 * hours)),)
    )
    report_fields = {
        "source": "meteo_france",
        "severity": 3,
        "phenomenon": "vent",
        "colour": colour,
        "effective": window,
    } | more
    return scene.report(minute, "weather_alert", **report_fields)


def _green(scene: Scene, minute: float, *cancelled: str) -> None:
    _vigilance(scene, minute, "vert", severity=1, msg_type=MsgType.CANCEL, references=cancelled)


@pytest.mark.parametrize(
    "colours", [("orange", "orange"), ("orange", "jaune"), ("jaune", "orange")]
)
def test_a_cancel_with_green_leaves_the_colour_of_another_message(
    scene: Scene, colours: tuple[str, str]
) -> None:
    """Two messages of one phenomenon: the end of one is not the end of the other."""
    first, second = (_vigilance(scene, n, colour, hours=12) for n, colour in enumerate(colours))
    _green(scene, 60, first)
    assert _said(scene, "vigilance:vent") == colours[1]
    _green(scene, 70, second)
    assert _said(scene, "vigilance:vent") == "vert"


def test_the_end_of_the_publisher_ends_the_colour_that_the_prefecture_repeated(
    scene: Scene,
) -> None:
    """Météo-France was back to green, and the orange that the préfecture had repeated stayed."""
    first = _vigilance(scene, 0, "orange", hours=12)
    repeated = _vigilance(scene, 5, "orange", hours=12, source="prefecture")
    _green(scene, 60, first)
    assert _said(scene, "vigilance:vent") == "vert"
    assert scene.incidents()[0].over_since == scene.at(60)
    _vigilance(scene, 70, "orange")
    withdrawn = {"severity": 1, "msg_type": MsgType.CANCEL, "references": (repeated,)}
    _vigilance(scene, 80, "vert", source="prefecture", **withdrawn)
    assert _said(scene, "vigilance:vent") == "orange", "the préfecture ends its own words alone"


@pytest.mark.parametrize(("hours", "colour"), [(12, "orange"), (1, "vert"), (None, "vert")])
def test_cancelling_the_newer_message_restores_an_unexpired_older_one(
    scene: Scene, hours: float | None, colour: str
) -> None:
    _vigilance(scene, 0, "orange", hours=hours)
    newer = _vigilance(scene, 30, "jaune", hours=12)
    _green(scene, 90, newer)
    assert _said(scene, "vigilance:vent") == colour


def test_a_cancel_with_green_does_not_restore_the_replaced_message(scene: Scene) -> None:
    first = _vigilance(scene, 0, "jaune", hours=12)
    second = _vigilance(scene, 30, "orange", hours=12, msg_type=MsgType.UPDATE, references=(first,))
    _green(scene, 90, second)
    assert _said(scene, "vigilance:vent") == "vert"


def test_a_cancel_that_repeats_its_report_never_counts_as_a_declaration(scene: Scene) -> None:
    """The cancel of a closure repeated it, and closed the road once the opening was cancelled."""

    def road(minute: float, closed: bool, *cancelled: str) -> str:
        return scene.report(
            minute,
            "transport_disruption",
            source="siter",
            measure=Measure(name="road_closed", value=closed, object="road:N118"),
            msg_type=MsgType.CANCEL if cancelled else MsgType.ALERT,
            references=cancelled,
        )

    closing, opening = road(0, True), road(30, False)
    road(60, True, closing)
    road(61, False, opening)
    assert _said(scene, "road:N118") is False


def test_a_declaration_older_than_its_end_is_over_on_arrival(scene: Scene) -> None:
    _restricted(scene, 0, True)
    _restricted(scene, 100, False)
    late = _restricted(scene, 110, True, occurred=50)
    assert (scene.state.reports[late].reason, _said(scene, "flag:water_restriction")) == (
        "over_already",
        False,
    )
    assert not scene.state.placeless
    again = _restricted(scene, 120, True)
    assert scene.state.reports[again].reason is None
    assert scene.state.placeless


def test_the_end_of_an_undeclared_flag_opens_nothing(scene: Scene) -> None:
    _restricted(scene, 0, False)
    assert not scene.incidents()


@pytest.mark.parametrize(("name", "value"), [("system_healthy", "down"), ("system_restored", "up")])
def test_a_healthy_system_is_not_restored(scene: Scene, name: str, value: str) -> None:
    """D40: a system that was cut off was back as soon as a division called it sound."""
    outage = Measure(object="system:si_finances")
    scene.report(
        0, "outage_it", source="supervision", severity=3, capacity_lost_pct=100, measure=outage
    )
    sound = Measure(name=name, value=True, object="system:si_finances")
    scene.report(30, "info", source="cellule_si", severity=1, measure=sound)
    assert scene.state.flags["system:si_finances"].value == value
    assert len(scene.state.placeless) == (1 if value == "down" else 0)


def test_a_caterer_that_fails_leaves_the_meals_of_the_sites_it_does_not_serve(
    scene: Scene,
) -> None:
    """D40: 64 of 88 sites got no meals, and the activity stayed at 100 %."""
    caterer = "supplier:concessionnaire_restauration"
    failing = {"source": "concessionnaire_restauration", "severity": 3, "capacity_lost_pct": 100}
    scene.report(0, "supplier_failure", measure=Measure(object=caterer), **failing)
    assert scene.state.flags[caterer].value == "down", "it does not say how many"
    missing = Measure(name="sites_not_delivered", value=64.0, object=caterer)
    scene.report(5, "supplier_failure", measure=missing, **failing)
    assert scene.state.flags[caterer].value == 27.3
    kitchen = Measure(name="sites_not_delivered", value=10.0, object="supplier:cuisine-relais-nord")
    scene.report(6, "supplier_failure", measure=kitchen, **failing)
    assert scene.state.flags["kitchen:cuisine-relais-nord"].value == "down", "its sites are known"


def test_a_failing_supplier_serves_the_share_that_its_own_report_states(scene: Scene) -> None:
    """D40: «40 collèges sur 88 servis» in the report of the failure itself had no effect."""
    for minute, supplier, flag in (
        (0, "concessionnaire_restauration", "supplier:concessionnaire_restauration"),
        (5, "cuisine-relais-nord", "kitchen:cuisine-relais-nord"),
    ):
        served = Measure(
            name="colleges_served", value=40.0, value_of=88.0, object=f"supplier:{supplier}"
        )
        scene.report(
            minute,
            "supplier_failure",
            source="concessionnaire_restauration",
            severity=3,
            capacity_lost_pct=100,
            measure=served,
        )
        assert scene.state.flags[flag].value == 45.5


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "late"])
def test_a_failure_without_a_number_leaves_the_share_that_was_stated(
    scene: Scene, order: tuple[int, int]
) -> None:
    """D40: a second source confirmed the failure, and the activity was at 100 % again."""
    caterer = "supplier:concessionnaire_restauration"
    reports = (
        (
            "concessionnaire_restauration",
            Measure(name="sites_not_delivered", value=48.0, object=caterer),
        ),
        ("prefecture", Measure(object=caterer)),
    )
    ids = {}
    for minute, number in enumerate(order):
        source, measure = reports[number]
        ids[number] = scene.report(
            30 + minute,
            "supplier_failure",
            source=source,
            severity=4,
            occurred=number * 10,
            measure=measure,
        )
    flag = scene.state.flags[caterer]
    assert (flag.value, set(flag.reports)) == (45.5, set(ids.values()))
    scene.report(60, "supplier_failure", severity=4, msg_type=MsgType.CANCEL, references=(ids[0],))
    assert scene.state.flags[caterer].value == "down", "nobody says how many any more"


def test_the_report_of_an_isolation_ends_with_it(scene: Scene) -> None:
    """D40: the isolated systems were back, and the incident could not be closed."""
    common_fields = {"source": "rssi", "severity": 5}
    id = scene.report(
        0,
        "outage_it",
        measure=Measure(name="total_isolation", value=True, object="system:*"),
        **common_fields,
    )
    scene.report(
        90,
        "outage_it",
        measure=Measure(name="total_isolation", value=False, object="system:*"),
        **common_fields,
    )
    assert not scene.state.placeless
    done = scene.command(
        ResolveIncident(author="c", role="coordinator", incident=scene.incident_of(id).id), 100
    )
    assert isinstance(done, CommandApplied)


SOUTH: dict[str, Any] = {"source": "concessionnaire_restauration", "severity": 3}
FAILS: dict[str, Any] = {
    "type": "supplier_failure",
    "measure": Measure(object="supplier:cuisine-centrale-sud"),
} | SOUTH
SERVES: dict[str, Any] = {
    "type": "info",
    "measure": Measure(
        name="colleges_served", value=88.0, value_of=88.0, object="supplier:cuisine-centrale-sud"
    ),
} | SOUTH
DOWN: dict[str, Any] = {"type": "outage_it"} | PAIE
UP: dict[str, Any] = {
    "type": "info",
    "source": "supervision",
    "severity": 1,
    "measure": Measure(name="system_restored", value=True, object="system:paie"),
}


@pytest.mark.parametrize(
    ("fails", "works"), [(FAILS, SERVES), (FAILS, SERVES | {"type": "reopening"}), (DOWN, UP)]
)
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_failures_before_and_after_a_return_are_two_in_any_order_of_arrival(
    fails: dict[str, Any], works: dict[str, Any], order: tuple[int, ...]
) -> None:
    """D7: an older failure arriving after the return stayed open forever.

    An older return ended a newer failure.
    """
    scene = Scene(check=True)
    reports = [fails | {"occurred": 0}, works | {"occurred": 5}, fails | {"occurred": 10}]
    for n, which in enumerate(order):
        report_fields = dict(reports[which])
        scene.report(20 + n, report_fields.pop("type"), **report_fields)
    (open_,) = [c for ids in scene.state.placeless.values() for c in ids]
    assert scene.state.causes[open_].since == scene.at(10)
    assert len(scene.state.causes[open_].reports) == 1


@pytest.mark.parametrize(("fails", "works"), [(FAILS, SERVES), (DOWN, UP)])
def test_a_late_report_on_an_ended_failure_is_over_on_arrival(
    scene: Scene, fails: dict[str, Any], works: dict[str, Any]
) -> None:
    for minute, base_fields, occurred in ((5, works, 5), (9, fails, 0)):
        report_fields = dict(base_fields)
        id = scene.report(minute, report_fields.pop("type"), occurred=occurred, **report_fields)
    assert scene.state.reports[id].reason == "over_already"
    assert not scene.state.placeless


@pytest.mark.parametrize("fate", ["withdrawn", "announced", "older"])
def test_a_denied_return_ends_no_late_failure(scene: Scene, fate: str) -> None:
    when = {"effective": (Window(start=scene.at(600)),)} if fate == "announced" else {}
    works = scene.report(5, **UP, occurred=-5 if fate == "older" else 5, **when)
    if fate == "withdrawn":
        scene.report(
            7, "info", source="supervision", severity=1, msg_type="Cancel", references=(works,)
        )
    scene.report(8, **DOWN)
    id = scene.report(9, **DOWN, occurred=0)
    assert scene.state.reports[id].reason != "over_already"
    assert {scene.state.causes[c].since for ids in scene.state.placeless.values() for c in ids} == {
        scene.at(0),
        scene.at(8),
    }


# ── announced (D9) ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "id", "seen"),
    [
        (DOWN, "system:paie", ["up", "down", "up", "down", "up"]),
        (FAILS, "kitchen:cuisine-centrale-sud", ["up", "down", "up", "down", "up"]),
        (
            {
                "type": "transport_disruption",
                "measure": Measure(name="road_closed", value=True, object="road:N118"),
            },
            "road:N118",
            [False, True, False, True, False],
        ),
    ],
)
def test_an_announcement_holds_in_each_of_its_windows_only(
    scene: Scene, said: dict[str, Any], id: str, seen: list[object]
) -> None:
    """A road closed for one night stayed closed.

    A system was down from the first night of maintenance to the last.
    """
    report_fields = dict(said)
    nights = (
        Window(start=scene.at(60), end=scene.at(120)),
        Window(start=scene.at(180), end=scene.at(240)),
    )
    scene.report(0, report_fields.pop("type"), effective=nights, **report_fields)
    flag_values = []
    for minute in (30, 60, 120, 180, 240):
        scene.step(minute)
        flag = scene.state.flags[id]
        flag_values.append(flag.value if flag.effective_from is None else seen[0])
        if minute == 60:
            assert flag.since == scene.at(60), "clocks run from then, not from the announcement"
    assert flag_values == seen


def test_a_report_of_another_source_without_an_end_outlasts_the_window(scene: Scene) -> None:
    common_fields: dict[str, Any] = {
        "measure": Measure(name="road_closed", value=True, object="road:N118")
    }
    scene.report(
        0,
        "transport_disruption",
        effective=(Window(start=scene.at(-10), end=scene.at(60)),),
        source="siter",
        **common_fields,
    )
    scene.report(5, "transport_disruption", source="police", **common_fields)
    scene.step(90)
    assert _said(scene, "road:N118") is True
    over = scene.report(
        95,
        "transport_disruption",
        source="siter",
        effective=(Window(start=scene.at(-90), end=scene.at(-60)),),
        measure=Measure(name="road_closed", value=True, object="road:A86"),
    )
    assert "road:A86" not in scene.state.flags, over


NOTICE = Measure(name="strike_notice", value=True)


def _notice(scene: Scene, minute: float, day: float | None, **values: Any) -> str:
    """Build a strike notice at T + `day` minutes for the day of a time."""
    window = () if day is None else (Window(start=scene.at(day), end=scene.at(day + 1440)),)
    return scene.report(
        minute,
        "info",
        **{"source": "rh", "severity": 2, "measure": NOTICE, "effective": window} | values,
    )


def _strike_day(scene: Scene) -> int | None:
    day: int | None = scene.state.flags["flag:strike_notice"].speaks_of
    return day


def test_a_strike_notice_is_in_force_at_once_and_names_its_day(scene: Scene) -> None:
    """D28, D50: cards were due two days too early; continuity did not know the day."""
    _notice(scene, 0, 5000)
    flag = scene.state.flags["flag:strike_notice"]
    assert (flag.value, flag.effective_from, flag.speaks_of) == (True, None, scene.at(5000))
    assert scene.state.triggers["PT-GREVE:1"].state == "held"


def test_a_moved_strike_notice_names_its_new_day(scene: Scene) -> None:
    first = _notice(scene, 0, 5000)
    moved = _notice(scene, 10, 8000, msg_type=MsgType.UPDATE, references=(first,))
    assert _strike_day(scene) == scene.at(8000)
    _notice(scene, 20, None, msg_type=MsgType.UPDATE, references=(moved,))
    assert _strike_day(scene) == scene.at(8000), "what says of no day moves nothing"


@pytest.mark.parametrize("order", [(5000, 12000), (12000, 5000)])
def test_the_nearer_of_two_strikes_is_the_next(scene: Scene, order: tuple[float, float]) -> None:
    """The notice of a later strike does not postpone the demands of the nearer one."""
    notices_by_day = {day: _notice(scene, minute, day) for minute, day in enumerate(order)}
    assert _strike_day(scene) == scene.at(5000)
    scene.report(
        10,
        "info",
        source="rh",
        severity=1,
        msg_type=MsgType.CANCEL,
        references=(notices_by_day[5000],),
    )
    assert _strike_day(scene) == scene.at(12000)


def test_an_ended_strike_is_not_the_next(scene: Scene) -> None:
    _notice(scene, 0, 1000)
    _notice(scene, 3000, 8000)
    assert _strike_day(scene) == scene.at(8000)


def test_a_strike_notice_left_alone_names_its_day_again(scene: Scene) -> None:
    """After a withdrawal, also of a declared end, the remaining notice keeps its named day."""
    _notice(scene, 0, 5000)
    over = scene.report(
        10, "info", source="rh", severity=1, measure=Measure(name="strike_notice", value=False)
    )
    scene.report(20, "info", source="rh", severity=1, msg_type=MsgType.CANCEL, references=(over,))
    assert (scene.state.flags["flag:strike_notice"].value, _strike_day(scene)) == (
        True,
        scene.at(5000),
    )


def test_a_forecast_of_the_river_is_kept_and_raises_nothing(scene: Scene) -> None:
    forecast = "2027-02-11T08:00Z +6h=6.60/6.90/7.20"
    measure = Measure(name="river_forecast", value=forecast, unit="m", object=RIVER)
    scene.report(0, "info", source="vigicrues", severity=1, measure=measure)
    assert _said(scene, "forecast:paris-austerlitz") == forecast
    assert (scene.state.level(), dict(scene.state.incidents)) == (0, {})
    lie = Measure(name="river_forecast", value="9", unit="m", object=RIVER)
    scene.report(1, "info", source="site_manager", severity=1, measure=lie)
    assert _said(scene, "forecast:paris-austerlitz") == forecast, "only its publisher says it"


# ── a declaration of more than a week (D3, D4) ─────────────────────────────────────────────────────────────────────

DAY = 24 * 60
NORTH_AND_SOUTH = ("92050", "92004")


@pytest.fixture
def long_crisis() -> Scene:
    """Return a live realm, where an instruction without an incident is nine days old."""
    scene = Scene(realm="92")
    _instruct(scene, 0, *NORTH_AND_SOUTH, id="order")
    return scene


def _instruct(scene: Scene, minute: float, *zone: str, value: bool = True, **more: Any) -> None:
    measure = Measure(name="prefecture_instruction", value=value, scope="global")
    fields = {"source": "prefecture", "severity": 1, "zone": zone, "measure": measure}
    scene.report(minute, "info", **(fields | more))


def _wait_nine_days(scene: Scene) -> None:
    for day in range(1, 10):
        scene.step(day * DAY)


def test_a_declaration_of_nine_days_ends_only_where_its_end_says(long_crisis: Scene) -> None:
    _wait_nine_days(long_crisis)
    _instruct(long_crisis, 9 * DAY + 1, NORTH_AND_SOUTH[0], value=False)
    assert _said(long_crisis, "flag:prefecture_instruction") is True
    _instruct(long_crisis, 9 * DAY + 2, NORTH_AND_SOUTH[1], value=False)
    assert _said(long_crisis, "flag:prefecture_instruction") is False


def test_ends_of_parts_add_up_over_nine_days(long_crisis: Scene) -> None:
    _instruct(long_crisis, 1, NORTH_AND_SOUTH[0], value=False)
    _wait_nine_days(long_crisis)
    _instruct(long_crisis, 9 * DAY + 1, NORTH_AND_SOUTH[1], value=False)
    assert _said(long_crisis, "flag:prefecture_instruction") is False


def test_a_declaration_of_nine_days_can_be_withdrawn(long_crisis: Scene) -> None:
    _wait_nine_days(long_crisis)
    cancel = {"msg_type": MsgType.CANCEL, "references": ("order",)}
    _instruct(long_crisis, 9 * DAY + 1, *NORTH_AND_SOUTH, **cancel)
    assert _said(long_crisis, "flag:prefecture_instruction") is False


def test_reports_of_declarations_that_are_over_are_forgotten(long_crisis: Scene) -> None:
    _instruct(long_crisis, 1, *NORTH_AND_SOUTH, value=False, id="end")
    _wait_nine_days(long_crisis)
    assert {"order", "end"}.isdisjoint(long_crisis.state.reports)


def test_history_is_looked_at_daily_while_a_declaration_is_in_force(long_crisis: Scene) -> None:
    """Otherwise a worker that restarts would look at it once more than another."""
    _wait_nine_days(long_crisis)
    state = long_crisis.state
    assert state.forget_at is not None
    assert rebuild_indexes(state).agenda == state.agenda
