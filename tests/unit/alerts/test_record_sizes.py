"""The log grows with events, not with state: an input writes the same after many reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.alerts import IncidentChanged, IncidentReported, SiteReported, SiteStatusChanged
from schemas.crisis.causes import Cause, CauseChanged, Members
from schemas.topics import list_destinations, list_public_topics
from schemas.words import EventType, MsgType
from services.alerts.causes.cause_lifecycle import KEPT_REPORTS
from services.alerts.evolve import evolve
from services.alerts.state import State
from tests.unit.alerts.scene import Scene
from tests.unit.alerts.test_laws import FEW, play, reports

SITE = "cen-1"
APART = 0.0005
"""Minutes between two reports: all come before the next step of the ladder."""
DIGITS = 40
"""Bytes by which two records may differ: counts, times and ids are not all of one length."""


def _standing(count: int) -> Scene:
    """Report one cause of a site many times, by three sources."""
    scene = Scene()
    for n in range(count):
        scene.report(
            n * APART,
            "outage_power",
            SITE,
            source=("site_manager", "enedis", "rh")[n % 3],
            severity=2,
            id=f"rep-{n:05}",
        )
    return scene


def _written(scene: Scene) -> dict[str, int]:
    """Return the bytes of the newest input on log, public topics and other inputs."""
    stored = scene.service.log.of(scene.realm)[-1]
    sizes = [(fact, len(orjson.dumps(fact.data))) for fact in stored.transaction.facts]
    public = sum(size for fact, size in sizes if list_public_topics(fact.name))
    routed = sum(
        size for fact, size in sizes if list_destinations(1, "alerts", fact.name, fact.data)
    )
    return {"log": len(stored.raw), "public": public, "routed": routed}


def _one_more(scene: Scene) -> None:
    scene.report(1, "outage_power", SITE, severity=2, id="rep-more1")


def _graver(scene: Scene) -> None:
    scene.report(1, "outage_power", SITE, severity=4, id="rep-more1")


def _new_source(scene: Scene) -> None:
    scene.report(1, "outage_power", SITE, severity=2, source="police_nationale", id="rep-more1")


def _withdrawn(scene: Scene) -> None:
    scene.report(
        1,
        "outage_power",
        SITE,
        severity=2,
        msg_type=MsgType.CANCEL,
        references=("rep-00003",),
        id="rep-more1",
    )


def _reopened(scene: Scene) -> None:
    scene.report(1, "reopening", SITE, severity=1, lifts=(EventType.OUTAGE_POWER,), id="rep-more1")


def _nearly_all_withdrawn(scene: Scene) -> None:
    """Withdraw all reports but the few dated after the Cancel."""
    scene.report(0.95, "outage_power", SITE, occurred=0.9, severity=2, id="rep-late1")
    scene.report(
        1,
        "outage_power",
        SITE,
        occurred=0.8,
        severity=2,
        msg_type=MsgType.CANCEL,
        references=("rep-00003",),
        id="rep-more1",
    )


@pytest.mark.parametrize(
    "said", [_one_more, _graver, _new_source, _withdrawn, _reopened, _nearly_all_withdrawn]
)
def test_an_input_writes_as_much_with_many_reports_as_with_ten(
    said: Callable[[Scene], None],
) -> None:
    few, many = _standing(10), _standing(400)
    said(few)
    said(many)
    before, now = _written(few), _written(many)
    assert all(abs(now[topic] - size) < DIGITS for topic, size in before.items()), (before, now)


def test_a_cause_of_thousands_of_reports_keeps_its_records_of_one_size() -> None:
    """A cause names a bounded number of reports; each record also names the dropped one."""
    scene, sizes = _standing(0), list[int]()
    for n in range(2 * KEPT_REPORTS):
        scene.report(n * APART, "outage_power", SITE, severity=2, id=f"rep-{n:05}")
        sizes.append(len(scene.service.log.of(scene.realm)[-1].raw))
    assert max(sizes[10:KEPT_REPORTS]) - min(sizes[10:KEPT_REPORTS]) < DIGITS
    assert max(sizes[KEPT_REPORTS:]) - min(sizes[KEPT_REPORTS:]) < DIGITS
    assert max(sizes[10:]) < 4096


def test_one_more_report_on_a_cause_repeats_neither_site_nor_incident() -> None:
    scene = _standing(10)
    site, incident = scene.site(SITE), scene.incident_of("rep-00000")
    status, changed = len(scene.named(SiteStatusChanged)), len(scene.named(IncidentChanged))
    _one_more(scene)
    assert (len(scene.named(SiteStatusChanged)), len(scene.named(IncidentChanged))) == (
        status,
        changed,
    )
    assert (
        scene.site(SITE).last_word_at
        == scene.named(SiteReported)[-1].row.last_word_at
        == scene.at(1)
        > site.last_word_at
    )
    assert (
        scene.incident_of("rep-00000").reports_count
        == scene.named(IncidentReported)[-1].row.reports_count
        == incident.reports_count + 1
    )


def test_a_changed_status_is_written_once() -> None:
    scene = _standing(10)
    status = len(scene.named(SiteStatusChanged))
    _graver(scene)
    _reopened_at = scene.report(1.5, "reopening", SITE, severity=1, lifts=(EventType.OUTAGE_POWER,))
    status_changes = scene.named(SiteStatusChanged)[status:]
    assert [row.row.status for row in status_changes] == ["degraded", "normal"]
    assert status_changes[0].row.causes[0].severity == 4
    assert scene.state.reports[_reopened_at].lifts == (EventType.OUTAGE_POWER,)


ids = st.lists(st.sampled_from("abcdefghij"), unique=True).map(tuple)


@given(ids, ids)
def test_a_change_between_two_lists_turns_one_into_the_other(
    before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    moved = Members.between(before, after)
    assert moved.apply(before) == after
    assert len(moved.dropped) + len(moved.kept or ()) <= len(before)


def _whole(fact: Any, after: State) -> Any:
    """Return the fact in its earlier form, with the whole value."""
    match fact:
        case CauseChanged(cause=cause):
            return CauseChanged(
                cause=after.causes[cause.id].model_copy(update={"reports_count": None})
            )
        case SiteReported(row=row):
            return SiteStatusChanged(row=after.sites[row.id])
        case IncidentReported(row=row):
            return IncidentChanged(row=after.incidents[row.id], change="report")
    return fact


def _uncounted(cause: Cause) -> Cause:
    return cause.model_copy(update={"reports_count": None})


@FEW
@given(
    st.lists(st.tuples(reports(), st.integers(0, 30), st.integers(0, 200)), min_size=1, max_size=10)
)
def test_changes_fold_like_whole_values(history: list[tuple[dict[str, Any], int, int]]) -> None:
    scene = Scene()
    changes = wholes = scene.state
    begun = len(scene.service.log.of(scene.realm))
    play(scene, history)
    for stored in scene.service.log.of(scene.realm)[begun:]:
        for record in stored.transaction.facts:
            fact = record.message()
            changes = evolve(changes, fact)
            wholes = evolve(wholes, _whole(fact, changes))
    assert changes == scene.state
    assert {id: _uncounted(c) for id, c in changes.causes.items()} == dict(wholes.causes)
    assert (changes.incidents, changes.sites) == (wholes.incidents, wholes.sites)
    assert (changes.hushed, changes.voices, changes.severities) == (
        wholes.hushed,
        wholes.voices,
        wholes.severities,
    )
