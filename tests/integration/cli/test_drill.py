"""A silent test from the command line proves escalations at once and channels once tried."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from tests.system import RunningVigie
from tests.waiting import until


def called_for_nothing(vigie: RunningVigie) -> list[str]:
    """List calls made by neither an incident nor a call-out; those of other tests have one."""
    return [
        n["id"]
        for n in vigie.get("/api/v1/notifications?limit=500")["items"]
        if not (n["incident"] or n["campaign"])
    ]


def test_an_operator_tests_the_escalations_without_calls(vigie: RunningVigie) -> None:
    called = called_for_nothing(vigie)
    before = datetime.now(UTC)
    done = vigie.cli("drill", "--now", "--json")
    drill_report = json.loads(done.stdout)
    assert datetime.fromisoformat(drill_report["at"]) >= before.replace(microsecond=0), done.stderr
    assert drill_report["rungs"]
    assert done.returncode == (0 if drill_report["ok"] else 1)
    until(lambda: vigie.get("/api/v1/drills?limit=1")["items"][0]["probed_at"])
    assert called_for_nothing(vigie) == called
