"""Texts written for other readers are not blank and name an existing object (D53, D55)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import REALM, crisis

DUE = {"owner": "coordinateur_pca", "due_at": "2031-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("log", {}),
        ("incidents/i-1/notes", {}),
        ("improvements", DUE),
        ("callouts", {"everybody": True}),
    ],
)
async def test_blank_lines_are_refused(path: str, more: dict[str, Any]) -> None:
    """The main courante keeps its lines for ever."""
    browser, _ = browsing(crisis())
    answer = await browser.post(f"/api/v1/{path}", {"realm": REALM, "text": " \n\u00a0", **more})
    assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (422, ["text"])
    assert browser.decisions.asked == []


async def test_an_action_of_a_missing_incident_is_refused() -> None:
    """It stood in the lessons learned of no incident."""
    browser, _ = browsing(crisis())
    for incident, status in (("92-2027-0211-99", 404), ("i-1", 202)):
        answer = await browser.post(
            "/api/v1/improvements",
            {"realm": REALM, "text": "Un groupe", "incident": incident, **DUE},
        )
        assert answer.status_code == status, answer.text
    assert len(browser.decisions.asked) == 1
