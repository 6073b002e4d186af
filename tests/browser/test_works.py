"""Planned works are said on a page, in the time of Paris wherever its reader is."""

from __future__ import annotations

from datetime import datetime

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Accounts
from tests.system import RunningVigie

WALLS = {
    "2027-02-12T08:00": "2027-02-12T08:00:00+01:00",
    "2027-10-31T02:30": "2027-10-31T02:30:00+02:00",
    "2027-03-28T02:30": "2027-03-28T03:30:00+02:00",
}
"""Written time → its meaning: a day, the repeated hour, the skipped hour."""


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Auckland"])
def test_a_time_that_is_written_is_one_of_paris(
    zone: str, vigie: RunningVigie, visitor: Accounts, place: str
) -> None:
    page = visitor().page(f"/travaux?realm={place}", timezone_id=zone)
    for n, (wall, expected_time) in enumerate(WALLS.items()):
        page.locator("#sites").fill("cul-04")
        page.get_by_label("Début").fill(wall)
        page.get_by_label("Fin").fill(wall.replace("02:30", "12:00").replace("08:00", "12:00"))
        page.get_by_role("main").get_by_label("Raison").fill(f"{zone} {n}")
        page.get_by_role("button", name="Prévoir").click()
        expect(page.get_by_role("row", name=f"{zone} {n}")).to_be_visible()
        (made,) = [
            m
            for m in vigie.get(f"/api/v1/maintenance?realm={place}")["items"]
            if m["reason"] == f"{zone} {n}"
        ]
        assert datetime.fromisoformat(made["starts_at"]) == datetime.fromisoformat(expected_time)


def test_a_refused_field_is_named_by_its_label_and_works_show_their_end(
    visitor: Accounts, place: str
) -> None:
    """It said « ends_at: doit suivre le début », and of works until Friday noon « ven. 12/02 »."""
    page = visitor().page(f"/travaux?realm={place}")
    page.locator("#sites").fill("cul-04")
    page.get_by_label("Début").fill("2027-02-12T08:00")
    page.get_by_label("Fin").fill("2027-02-12T07:00")
    page.get_by_role("main").get_by_label("Raison").fill("onduleur")
    page.get_by_role("button", name="Prévoir").click()
    expect(page.get_by_text("Fin\u00a0: doit suivre le début")).to_be_visible()
    expect(page.get_by_label("Fin")).to_be_focused()
    page.get_by_label("Fin").fill("2027-02-12T12:00")
    page.get_by_role("button", name="Prévoir").click()
    expect(page.get_by_role("row", name="onduleur")).to_contain_text("ven. 12/02 12:00")
