"""Play the day of a crisis cell: three people, eight simulated hours, nothing but Vigie."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Visitor, log_in
from tests.browser.test_accessibility import defects, keyboard_defects
from tests.browser.test_calls import STAFF
from tests.crisis import RESPONDERS
from tests.system import RunningVigie

PICTURES = os.environ.get("VIGIE_PICTURES")
STAFFED_SITE = "pmi-04"
HANDOVER_MIN = 420
END_MIN = 480
PLAY_S = 600
"""Longest time of one stretch of the scenario on a busy machine."""


@dataclass(frozen=True)
class Crisis:
    """Scenario of a day, with the plan, site, resource and texts of its cell."""

    scenario: str
    arrival_min: float
    plan: str
    site: str
    resource: str
    template: str
    partner: str


CRISES = (
    Crisis("S04", 36.4, "PT-ELEC", "pmi-04", "generator", "power-usagers", "Enedis"),
    Crisis("S10", 66, "PT-INCENDIE-SITE", "cen-2", "rooms", "fire-agents", "BSPP"),
)


DEEDS = (
    r"sur place",
    r"à distance",
    r"Plan « .* » \(PT-[A-Z-]+\) activé",
    r"Action demandée à Logistique",
    r"Action faite",
    r"Demande de moyens n° 1",
    r"promis par",
    r"Appel à .* joint, rappelle à 13 h\.",
    r"Conférence N\d : accueils regroupés, prochain point à 11 h\.",
    r"Communiqué validé",
    r"Communiqué publié",
    r"Diffusion d’alerte lancée : \d+ personnes à prévenir",
    r"Accueils regroupés sur deux sites jusqu’à demain 8 h\.",
    r"Relève n° 1 signée par le sortant",
    r"Relève n° 1 signée par l’entrant",
    r"Point de situation n° 1 validé",
)
"""Sentences that each paper of the day has."""


@dataclass
class Cell:
    """Three people of one crisis cell in one realm, each in a browser of their own."""

    vigie: RunningVigie
    realm: str
    crisis: Crisis
    pilot: Page
    logistics: Page
    speaker: Page

    def play(self, until_min: float) -> None:
        """Play the scenario up to this minute."""
        played = self.vigie.cli(
            "play",
            self.crisis.scenario,
            "--realm",
            self.realm,
            "--until",
            str(until_min),
            "--responders",
            str(RESPONDERS),
            timeout_s=PLAY_S,
        )
        assert played.returncode == 0, played.stdout + played.stderr

    def show(self, page: Page, path: str) -> Page:
        page.goto(f"{path}{'&' if '?' in path else '?'}realm={self.realm}")
        return page

    @property
    def incident(self) -> str:
        return str(self.vigie.get(f"/api/v1/incidents?realm={self.realm}")["items"][0]["id"])


@pytest.fixture(params=CRISES, ids=lambda crisis: crisis.scenario)
def cell(
    request: pytest.FixtureRequest, vigie: RunningVigie, browser: Browser, tmp_path: Path
) -> Iterator[Cell]:
    """Put three people before the same crisis."""
    crisis: Crisis = request.param
    people_file = tmp_path / "people.csv"
    people_file.write_text(STAFF, encoding="utf-8")
    assert vigie.cli("directory", "import", str(people_file)).returncode == 0
    realm = f"92~ex-journee-{crisis.scenario.lower()}"
    people = [
        Visitor(browser, vigie.url, log_in(vigie, browser, role, duty))
        for role, duty in (
            ("coordinator", "coordinateur_pca"),
            ("cell", "cellule_logistique"),
            ("cell", "cellule_com"),
        )
    ]
    pages = [
        people[0].page(),
        people[1].page(width=390, height=844, has_touch=True),
        people[2].page(),
    ]
    made = Cell(vigie, realm, crisis, *pages)
    made.play(crisis.arrival_min)
    yield made
    for person in people:
        for context in person.contexts:
            context.close()
    assert [text for person in people for text in person.complaints] == []


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True, animations="disabled")


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_cell_works_for_eight_hours_in_vigie(cell: Cell) -> None:
    """Find each deed of the day in the logbook, in the lessons learned and in the evidence."""
    staff(cell.logistics, cell, "Sur place")
    staff(cell.speaker, cell, "À distance")
    activate_plan(cell)
    give_action(cell)
    request_resource(cell)
    phone_partner(cell)
    hold_conference(cell)
    publish_statement(cell)
    send_text(cell)
    write_decision(cell)
    cell.play(HANDOVER_MIN)
    bring_resource(cell)
    hand_over(cell)
    cell.play(END_MIN)
    send_sitrep(cell)
    find_deeds(cell)


def staff(page: Page, cell: Cell, mode: str) -> None:
    cell.show(page, "/")
    form = page.locator("#staffing form")
    form.get_by_label("Où êtes-vous ?").select_option(label=mode)
    form.get_by_role("button", name="Enregistrer").click()
    expect(page.locator("#staffing .mini b.ok").first).to_be_visible()
    picture(page, f"{cell.crisis.scenario}-staff-{mode[0]}")


def activate_plan(cell: Cell) -> None:
    page = cell.show(cell.pilot, f"/plans/{cell.crisis.plan}")
    picture(page, f"{cell.crisis.scenario}-plan")
    expect(page.locator("#effects")).to_contain_text("fiches")
    page.locator(".plan summary", has_text="Activer").click()
    page.locator(".plan").get_by_label("Raison").first.fill("Seuil dépassé, effet constaté")
    page.get_by_role("button", name=re.compile("^Confirmer : activer")).click()
    expect(page.locator("#progress")).to_be_visible()
    picture(page, f"{cell.crisis.scenario}-plan-active")


def give_action(cell: Cell) -> None:
    page = cell.show(cell.pilot, "/actions")
    form = page.locator("#ask form")
    form.get_by_label("Quoi").fill("Vérifier les groupes électrogènes disponibles")
    form.get_by_label("À qui").fill("logistique")
    form.get_by_label("À qui").press("Tab")
    form.get_by_label("Incident").select_option(cell.incident)
    form.get_by_role("button", name="Confier l’action").click()
    expect(page.locator("#actions")).to_contain_text("Vérifier les groupes")
    picture(page, f"{cell.crisis.scenario}-actions")
    phone = cell.show(cell.logistics, "/")
    picture(phone, f"{cell.crisis.scenario}-phone-cell")
    cell.show(phone, "/actions")
    phone.get_by_role("button", name=re.compile("Je m’en charge.*Vérifier")).click()
    phone.get_by_role("button", name=re.compile("C’est fait.*Vérifier")).click()
    expect(phone.locator("#actions")).to_contain_text("Vérifier")
    picture(phone, f"{cell.crisis.scenario}-phone-actions")


def request_resource(cell: Cell) -> None:
    page = cell.show(cell.logistics, f"/moyens?site={cell.crisis.site}")
    form = page.locator("#ask form")
    form.get_by_label("Moyen").select_option(cell.crisis.resource)
    form.get_by_label("Priorité").select_option("life")
    form.get_by_role("button", name="Demander", exact=True).click()
    request = page.get_by_role("region", name="À pourvoir").get_by_role("article")
    request.get_by_role("button", name="Réserver").first.click()
    page.get_by_role("button", name="Promettre").click()
    page.get_by_role("button", name="Parti").click()
    picture(page, f"{cell.crisis.scenario}-phone-resources")


def phone_partner(cell: Cell) -> None:
    page = cell.show(cell.logistics, f"/annuaire?q={cell.crisis.partner}")
    page.locator("#partners details > summary").first.click()
    page.locator("#partners").get_by_role("link", name="Noter un appel").first.click()
    words = page.get_by_label("Avec qui, ce qui est dit")
    expect(words).to_have_value(re.compile(rf"^Appel à .*{cell.crisis.partner}.*:\s$"))
    words.fill(words.input_value() + "joint, rappelle à 13 h.")
    page.get_by_role("button", name="Ajouter à la main courante").click()
    expect(page.get_by_text("Noté à la main courante.")).to_be_visible()
    picture(page, f"{cell.crisis.scenario}-phone-directory")


def hold_conference(cell: Cell) -> None:
    page = cell.show(cell.pilot, "/")
    page.locator("#side").get_by_role("link", name=re.compile("^Noter une conférence")).click()
    words = page.get_by_label("Avec qui, ce qui est dit")
    expect(words).to_have_value(re.compile(r"^Conférence N\d.:\s$"))
    words.fill(words.input_value() + "accueils regroupés, prochain point à 11 h.")
    page.get_by_role("button", name="Ajouter à la main courante").click()
    expect(page.get_by_text("Noté à la main courante.")).to_be_visible()
    picture(page, f"{cell.crisis.scenario}-directory")


def publish_statement(cell: Cell) -> None:
    page = cell.show(cell.pilot, "/communication")
    picture(page, f"{cell.crisis.scenario}-communication")
    page.get_by_label("À propos de").first.select_option(cell.incident)
    page.get_by_label("Modèle").select_option(cell.crisis.template)
    page.get_by_role("button", name="Préparer le texte").click()
    text = page.locator("#rediger").get_by_label("Texte")
    text.fill(re.sub(r"\[[^\]]*\]", "à préciser", text.input_value()))
    page.get_by_role("button", name="Garder en brouillon").click()
    page.get_by_role("button", name="Soumettre à validation").click()
    speaker = cell.show(cell.speaker, "/communication")
    speaker.get_by_role("button", name="Valider").click()
    speaker.get_by_role("button", name="Publier").click()
    expect(speaker.get_by_role("heading", name=re.compile("Publiés et retirés"))).to_be_visible()
    picture(speaker, f"{cell.crisis.scenario}-published")


def send_text(cell: Cell) -> None:
    page = cell.show(cell.pilot, "/appels")
    form = page.locator("form", has=page.get_by_label("Message"))
    form.get_by_label("Message").fill(
        "Accueil suspendu. Restez joignables, prochain message à 12 h."
    )
    form.get_by_label("Sites").fill(STAFFED_SITE)
    form.get_by_label("Sites").press("Tab")
    form.get_by_label("À propos de").select_option(cell.incident)
    form.get_by_role("button", name="Calculer").click()
    picture(page, f"{cell.crisis.scenario}-calls")
    page.get_by_role("button", name=re.compile("^Prévenir")).click()
    expect(page.locator("#calls")).to_contain_text("prévenu")


def write_decision(cell: Cell) -> None:
    page = cell.show(cell.pilot, "/main-courante")
    form = page.locator("#write form")
    form.get_by_label("Ce qui s’est passé").fill(
        "Accueils regroupés sur deux sites jusqu’à demain 8 h."
    )
    form.get_by_label("Type de ligne").select_option("decision")
    form.get_by_label("Incident").select_option(cell.incident)
    form.get_by_role("button", name="Ajouter la ligne").click()
    expect(page.locator("#lines")).to_contain_text("Accueils regroupés")
    picture(page, f"{cell.crisis.scenario}-logbook")


def bring_resource(cell: Cell) -> None:
    page = cell.show(cell.logistics, "/moyens")
    page.get_by_role("button", name="Sur place").click()
    expect(page.get_by_role("button", name="Rendu")).to_be_visible()


def hand_over(cell: Cell) -> None:
    page = cell.show(cell.pilot, "/releve")
    picture(page, f"{cell.crisis.scenario}-releve")
    page.locator("summary", has_text="Rédiger la relève").click()
    page.get_by_label("Objectif").fill("Rouvrir les accueils demain à 8 h.")
    page.get_by_role("button", name="Préparer la page").click()
    page.get_by_role("button", name="Signer comme sortant").click()
    expect(page.locator("#printbar")).to_contain_text("La page est figée.")
    picture(page, f"{cell.crisis.scenario}-handover")
    other = cell.show(cell.speaker, "/releve")
    other.get_by_role("link", name=re.compile("^Ouvrir la relève")).click()
    other.get_by_role("button", name="Signer comme entrant").click()
    expect(other.locator("#printbar")).to_contain_text("signée par les deux")
    assert defects(other, "light") == []
    assert keyboard_defects(other) == []
    other.set_viewport_size({"width": 390, "height": 844})
    assert other.evaluate("document.documentElement.scrollWidth") <= 390
    picture(other, f"{cell.crisis.scenario}-handover-phone")
    other.set_viewport_size({"width": 1440, "height": 900})


def send_sitrep(cell: Cell) -> None:
    page = cell.show(cell.speaker, "/sitrep")
    picture(page, f"{cell.crisis.scenario}-sitrep")
    page.locator("#complete > summary").click()
    page.get_by_role("button", name="Valider et figer").click()
    expect(page.locator("#printbar")).to_contain_text("Validé")
    picture(page, f"{cell.crisis.scenario}-sitrep-valid")


def find_deeds(cell: Cell) -> None:
    """Read the three papers of the day: each names each deed."""
    reading = cell.show(cell.pilot, "/retex")
    reading.get_by_role("navigation", name="Incidents").get_by_role(
        "link", name=re.compile(r"N\d$")
    ).first.click()
    with reading.expect_download() as offered:
        reading.get_by_role("link", name="Dossier de preuves").click()
    with zipfile.ZipFile(offered.value.path()) as files:
        evidence = "\n".join(
            json.loads(line)["text"] for line in files.read("timeline.jsonl").splitlines()
        )
        assert {"handovers/releve-1.json", "sitreps/ps-1.json"} <= set(files.namelist())
    lines = cell.vigie.get(f"/api/v1/log?realm={cell.realm}&limit=1000")["items"]
    papers = {
        "logbook": "\n".join(line["text"] for line in lines),
        "lessons": reading.locator("#sheet").inner_text(),
        "evidence": evidence,
    }
    missing = [
        (name, deed)
        for deed in DEEDS
        for name, text in papers.items()
        if not re.search(deed, text.replace("\u00a0", " "))
    ]
    assert missing == []
