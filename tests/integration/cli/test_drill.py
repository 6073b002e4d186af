"""The silent test at once, from the command line: the ladders now, and the channels as soon as a sender has tried them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from tests.system import RunningVigie
from tests.waiting import until


def called_for_nothing(vigie: RunningVigie) -> list[str]:
    """Calls that neither an incident nor a call-out made: those of other tests have one of them."""
    return [
        n["id"]
        for n in vigie.get("/api/v1/notifications?limit=500")["items"]
        if not (n["incident"] or n["campaign"])
    ]


def test_an_operator_tests_the_ladders_now_and_nobody_is_called(vigie: RunningVigie) -> None:
    called = called_for_nothing(vigie)
    before = datetime.now(UTC)
    done = vigie.cli("drill", "--now", "--json")
    found = json.loads(done.stdout)
    assert datetime.fromisoformat(found["at"]) >= before.replace(microsecond=0), done.stderr
    assert found["rungs"]
    assert done.returncode == (0 if found["ok"] else 1)
    until(lambda: vigie.get("/api/v1/drills?limit=1")["items"][0]["probed_at"])
    assert called_for_nothing(vigie) == called
