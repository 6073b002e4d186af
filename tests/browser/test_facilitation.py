"""Facilitate an exercise on its page: play a stimulus now, skip one, note one."""

from __future__ import annotations

import re
from pathlib import Path
from secrets import token_hex

from playwright.sync_api import expect

from tests.browser.conftest import Accounts
from tests.browser.test_accessibility import defects, keyboard_defects
from tests.system import RunningVigie

EXERCISE = """\
exercise: animation
title: Exercice animé
start: 2027-02-11T15:00
events:
- {id: E1, at: 0, from: site_manager, type: outage_power, severity: 3, site: cen-5, lost_pct: 100,
   headline: Coupure d’électricité}
- {id: E2, at: 8, from: site_manager, type: outage_water, severity: 2, site: gym-07, lost_pct: 100,
   headline: Coupure d’eau}
- {id: E3, at: 12, from: site_manager, type: outage_water, severity: 2, site: pmi-04, lost_pct: 100,
   headline: Fuite à la PMI}
"""


def test_stimuli_played_and_skipped_on_the_page_are_left_out_by_the_player(
    vigie: RunningVigie, visitor: Accounts, tmp_path: Path
) -> None:
    file, realm = tmp_path / "animation.yaml", f"92~ex-animation-{token_hex(3)}"
    file.write_text(EXERCISE, encoding="utf-8")
    begin = ("play", str(file), "--facilitate", "--realm", realm)
    begun = vigie.cli(*begin, "--until", "1")
    assert begun.returncode == 0, begun.stdout + begun.stderr

    page = visitor().page(f"/exercice?realm={realm}")
    rows = page.locator("#stimuli li")
    expect(rows).to_have_count(3)
    leak = rows.filter(has_text="Fuite à la PMI")
    leak.get_by_role("button", name=re.compile("^Jouer maintenant")).click()
    expect(page.locator("#said-stimuli")).to_have_text("Stimulus envoyé.")
    expect(leak.get_by_role("button", name=re.compile("^Rejouer"))).to_be_visible()
    water = rows.filter(has_text="Coupure d’eau")
    water.get_by_role("button", name=re.compile("^Sauter")).click()
    expect(water.get_by_role("button", name=re.compile("^Remettre"))).to_be_visible()
    power = rows.filter(has_text="Coupure d’électricité")
    power.locator("summary").click()
    power.get_by_label("Observation").fill("Appel tardif")
    power.get_by_role("button", name="Enregistrer la note").click()
    expect(power).to_contain_text("Appel tardif")
    expect(page.locator("#evaluation")).to_contain_text("2 stimuli joués, 1 sauté, 1 noté")
    assert defects(page, "light") == []
    assert keyboard_defects(page) == []

    played = vigie.cli(*begin)
    assert played.returncode == 0, played.stdout + played.stderr
    stimuli = vigie.get(f"/api/v1/stimuli?realm={realm}")["items"]
    assert {one["id"]: (one["state"], len(one["played_at"])) for one in stimuli} == {
        "E1": ("played", 1),
        "E2": ("skipped", 0),
        "E3": ("played", 1),
    }
