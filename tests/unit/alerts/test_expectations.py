"""Every shipped scenario shows what `expectations.yaml` says of reports, sites, incidents, levels, triggers and calls.

Plans are judged by their triggers here: proposing them is continuity's, as are clocks and alarms.
"""

from __future__ import annotations

import pytest

from services.cli.checks import KINDS, Check, History, load_checks, run_checks
from tests.unit.alerts.scene import ROOT, Scene, scenario

SCENARIOS = ("S01", "S02", "S03", "S04", "S05", "S10", "S11", "S20", "S21")
OF_CONTINUITY = ("clock", "alarm")
NEEDS_CONTINUITY = {"S10-C06"}
"""N4 is proposed there by a DMIA, whose clock continuity runs."""


def _held(history: History, check: Check) -> list[tuple[float, int]]:
    rows = [(history.minute(f.at), f.data["row"]) for f in history.named("TriggerChanged", check["at_min"])]
    return [
        (at, r["level"]) for at, r in rows if r["plan"] == check["plan"] and r["state"] == "held" and r["level"] >= check.get("level", 0)
    ]


def _trigger_held(history: History, check: Check) -> tuple[bool, str]:
    found = _held(history, check)
    low, high = check["between"]
    return bool(found) and low <= found[0][0] <= high, str(found)


def _trigger_not_held(history: History, check: Check) -> tuple[bool, str]:
    found = _held(history, check)
    return not found, str(found)


@pytest.mark.parametrize("id", SCENARIOS)
def test_a_scenario_shows_what_is_expected_of_alerts(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "plan_proposed", _trigger_held)
    monkeypatch.setitem(KINDS, "plan_not_proposed", _trigger_not_held)
    play = scenario(id)
    checks = [
        c
        for c in load_checks(ROOT / "scenarios" / "expectations.yaml", id)
        if c["kind"] not in OF_CONTINUITY and c["id"] not in NEEDS_CONTINUITY
    ]
    scene = Scene(opened=min(play.start, play.events[0].reported_at), start=play.start)
    scene.play(play, until=max(float(c["at_min"]) for c in checks))

    history = scene.history()
    failed = [f.data for f in history.facts if f.name in ("InputFailed", "InputRefused", "DeadlineFailed")]
    assert not failed
    assert len(checks) > 10
    assert not [f"{r.id}: {r.got} ({r.why})" for r in run_checks(history, checks) if not r.ok]


@pytest.mark.parametrize("id", SCENARIOS)
def test_no_input_writes_more_than_a_transaction_may_hold(id: str) -> None:
    play = scenario(id)
    scene = Scene(opened=min(play.start, play.events[0].reported_at), start=play.start)
    scene.play(play, until=(play.end - play.start) / 60_000 + 2000)
    assert max(len(stored.raw) for stored in scene.service.log.of(scene.realm)) < 200 * 1024
