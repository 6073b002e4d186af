"""The end of one machine alert on a site keeps its other alerts, with leases or without (D66)."""

from __future__ import annotations

import pytest

from schemas.reports import END_SUFFIX, Measure, episode_key
from schemas.words import EventType, MsgType
from tests.unit.alerts.scene import Scene

COLLEGE = "clg-0921353W"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def _begin(
    scene: Scene,
    minute: float,
    key: str,
    *,
    source: str = "src-1",
    severity: int = 3,
    began: int = 1,
) -> str:
    return scene.report(
        minute,
        "outage_it",
        COLLEGE,
        source="supervision",
        source_key=source,
        dialect="alertmanager",
        severity=severity,
        alias=f"{key}@{began}:outage_it:{COLLEGE}",
    )


def _end(
    scene: Scene, minute: float, key: str, report: str, *, source: str = "src-1", began: int = 1
) -> None:
    scene.report(
        minute,
        "reopening",
        COLLEGE,
        severity=1,
        lifts=(EventType.OUTAGE_IT,),
        references=(report,),
        source="supervision",
        source_key=source,
        dialect="alertmanager",
        alias=f"{key}@{began}:outage_it:{COLLEGE}{END_SUFFIX}",
    )


def test_a_site_is_well_again_when_the_last_of_its_alerts_is_over(scene: Scene) -> None:
    disk, host = _begin(scene, 0, "disk", severity=4), _begin(scene, 1, "host", severity=2)
    _end(scene, 5, "disk", disk)
    (cause,) = scene.site(COLLEGE).causes
    assert (scene.status(COLLEGE), cause.severity, cause.since) == ("degraded", 2, scene.at(1))
    _end(scene, 9, "host", host)
    assert scene.status(COLLEGE) == "normal"


def test_an_end_ends_every_report_of_its_own_alert(scene: Scene) -> None:
    first = _begin(scene, 0, "disk@pool-1")
    scene.report(
        2,
        "outage_it",
        COLLEGE,
        source="supervision",
        source_key="src-1",
        dialect="alertmanager",
        msg_type=MsgType.UPDATE,
        references=(first,),
        alias="disk@pool-1@1#1",
        severity=4,
    )
    second = _begin(scene, 3, "disk@pool-1", began=2)
    _end(scene, 5, "disk@pool-1", second, began=2)
    assert scene.status(COLLEGE) == "normal"


def test_the_last_end_of_a_sender_ends_other_reports_too(scene: Scene) -> None:
    """D16: a reopening lifts its named types; only the sender's other alerts are known to hold."""
    scene.report(0, "outage_it", COLLEGE)
    _begin(scene, 1, "host", source="src-2")
    disk = _begin(scene, 2, "disk")
    _end(scene, 5, "disk", disk)
    assert scene.status(COLLEGE) == "normal"


def test_the_return_of_one_silent_source_leaves_another_silent(scene: Scene) -> None:
    def silent(minute: float, name: str, **values: object) -> str:
        measure = Measure(name="source_silent", value=True, object=f"system:source.{name}")
        alias = f"silence.{name}@1:outage_it:{COLLEGE}{END_SUFFIX if values else ''}"
        return scene.report(
            minute,
            "outage_it",
            COLLEGE,
            source="systeme",
            source_key="vigie",
            measure=measure,
            alias=alias,
            **values,
        )

    night, day = silent(0, "nuit"), silent(1, "jour")
    silent(5, "nuit", msg_type=MsgType.CANCEL, references=(night,))
    assert scene.status(COLLEGE) == "degraded"
    silent(6, "jour", msg_type=MsgType.CANCEL, references=(day,))
    assert scene.status(COLLEGE) == "normal"


@pytest.mark.parametrize(
    ("alias", "matter"),
    [
        ("disk@1:outage_it:cen-1", "disk"),
        ("disk@1:outage_it:#end", "disk"),
        ("disk@1#12", "disk"),
        ("a@b@1:outage_it:x:y", "a@b"),
        ("a\n@1#2", "a\n"),
        ("mon alerte", None),
        ("alerte@exemple.fr,b1#1795590000000.weather_alert.vent", None),
        ("disk@un:outage_it:", None),
        (None, None),
    ],
)
def test_the_alias_of_a_machine_report_names_its_sender(
    alias: str | None, matter: str | None
) -> None:
    assert episode_key(alias) == matter
