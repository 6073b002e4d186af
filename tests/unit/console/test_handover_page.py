"""A handover is one page: objective, decisions, risks, deadlines, differences, signatures (D115)."""

from __future__ import annotations

import asyncio
import re
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.base import HOUR_MS, MINUTE_MS, Instant
from schemas.crisis.communication import Signature
from schemas.crisis.handovers import (
    AcceptHandover,
    DraftHandover,
    HandoverChanged,
    HandoverPage,
    HandoverRow,
    HandoverState,
    ReviseHandover,
    SignHandover,
    WithdrawHandover,
)
from schemas.words import Level
from services.console.documents.document import Document, hash_document
from services.console.documents.formats import render_text
from services.console.documents.handover import (
    SITUATION_LINES,
    complete_page,
    list_differences,
    name_recipient,
)
from services.console.documents.pdf import Typesetter
from services.console.handover.queries import HandoverQueries, list_pilot_choices
from services.console.i18n import get_translator
from services.console.logbook.lines import LineRecord, build_key, render_line
from services.console.read_model.query_base import build_realm_now, get_snapshot_time
from services.console.resource_base import to_datetime
from services.console.resources import Change, Realm
from services.runtime.secrets.signing import SigningKey
from services.runtime.secrets.vault import TextItem
from tests.scenarios.memory import played_to
from tests.scenarios.remembered import OUTLINES, Remembered
from tests.shipped import FOLDER
from tests.unit.console.held import Browser, HeldModel, browsing, reference
from tests.unit.console.test_every_screen import REALM, START, crisis, shown
from tests.unit.console.test_lines import lines

_ = get_translator("fr")
JSON = "application/json"
OBJECTIVE = "Tenir les collèges ouverts jusqu’à vendredi midi."
FIRST_MIN, SECOND_MIN = 36, 80


class PlayedHandovers(Remembered, HandoverQueries):
    """Handovers of a played realm."""

    async def realm(self) -> Realm:
        return build_realm_now((await self.read()).picture)

    async def overview(self, **_more: Any) -> Any:
        return SimpleNamespace(at=to_datetime(get_snapshot_time((await self.read()).picture)))

    async def _turns(self, *_of: object) -> dict[Any, Instant]:
        return {}


def signature(at: Instant, by: str = "coord-1") -> Signature:
    return Signature(by=by, role="coordinateur_pca", at=at)


def handover(number: int, at: Instant, **values: Any) -> HandoverRow:
    defaults: dict[str, Any] = {
        "id": str(number),
        "number": number,
        "state": HandoverState.DRAFT,
        "text_id": "words",
        "recipients": ("coordinateur_pca", "directeur_pole:education"),
        "level": Level.N3,
        "drafted": signature(at),
        "changed_at": at,
    }
    return HandoverRow(**defaults | values)


@cache
def second_page() -> Document:
    """Return the page of S04 after 80 minutes, when one was accepted after 36."""
    played = played_to("S04", SECOND_MIN, whole=False)
    start = played.played.start
    first, at = start + FIRST_MIN * MINUTE_MS, start + SECOND_MIN * MINUTE_MS
    page = HandoverPage(text_id="d", sha256="x", as_of=first)
    before = handover(1, first, page=page, accepted=signature(first))
    model = PlayedHandovers(played).at(at)

    async def draft() -> Document:
        snapshot = await model.of(played.realm).read()
        facts = await model.gather_facts(snapshot, 2, before, ("fr", "en"), None)
        return model.draft_page(facts, {"objective": "words"})[0]

    return asyncio.run(draft())


def told(section: str, lang: str = "fr") -> list[str]:
    document_section = second_page().sheet(lang).section(section)
    assert document_section is not None
    return [line.text.replace("\u00a0", " ") for line in document_section.lines]


def test_the_page_has_ten_lines_five_risks_decisions_and_deadlines() -> None:
    assert 5 <= len(told("situation")) <= SITUATION_LINES
    assert told("situation")[0] == "Niveau N3 depuis 09:42."
    assert any(line.startswith("Cellule : 0 fonction tenue sur ") for line in told("situation"))
    assert len(told("risks")) == 5
    assert all("%" in line for line in told("risks"))
    assert told("decisions")[0].startswith("8 plans en attente")
    assert "EOM-04 : RTO" not in " ".join(told("decisions")), "no code stands alone"
    assert 1 <= len(told("deadlines")) <= 6
    assert told("deadlines") == sorted(told("deadlines"))


def test_the_page_tells_the_difference_to_the_last_one() -> None:
    new, over, level = told("changes")
    assert new.startswith("Nouveau : ")
    assert "collège" in new.lower() or "sites" in new
    assert over.startswith("Clos : ")
    assert level.startswith("Niveau changé : ")


def test_both_languages_have_the_same_page() -> None:
    french, english = second_page().sheet("fr"), second_page().sheet("en")
    assert [(s.id, len(s.lines)) for s in french.sections] == [
        (s.id, len(s.lines)) for s in english.sections
    ]
    assert "Décisions" not in render_text(second_page(), "en")


def test_the_differences_are_new_over_and_another_level() -> None:
    def change(collection: str, id: str, before: str | None, after: str) -> Change:
        return Change(collection=collection, id=id, title=id, before=before, after=after, at=None)

    differences = list_differences(
        [
            change("incidents", "gaz", None, "open N2"),
            change("incidents", "crue", "open N2", "acknowledged N3"),
            change("incidents", "neige", "open N1", "closed N0"),
            change("incidents", "bref", None, "closed N0"),
            change("plans", "PT-ELEC", "valid", "proposed"),
            change("activities", "SOL-02", "interrupted", "nominal"),
            change("sites", "parc", "unknown", "closed"),
            change("sites", "musée", "unknown", "normal"),
            change("sites", "gymnase", "degraded", "evacuated"),
            change("levels", "territory", "N2", "N3"),
            change("levels", "pole:education", None, "N0"),
            change("tasks", "t-1", None, "open"),
        ],
        reference().names,
        _,
    )
    assert differences == [
        ("Nouveau", "gaz (N2) ; PT-ELEC (Proposé) ; parc (Fermé)"),
        ("Clos", "neige, bref ; SOL-02 ; musée"),
        ("Niveau changé", "crue N2 → N3 ; gymnase (Évacué) ; Département N2 → N3"),
    ]


@pytest.mark.parametrize("lang", ["fr", "en"])
async def test_the_signed_page_is_one_sheet_of_paper(lang: str) -> None:
    at = second_page().as_of
    row = handover(
        2,
        at,
        state=HandoverState.ACCEPTED,
        signed=signature(at),
        accepted=signature(at + 1, "coord-2"),
        recipients=("coordinateur_pca", "dgs_directeur_de_crise", "directeur_pole:education"),
    )
    page = complete_page(second_page(), row, "x" * 120 + "\n" + "mot " * 110, reference().names)
    made = await Typesetter(OUTLINES(FOLDER)).pdf(page, lang, stamp=f"SHA-256 {'ab' * 32}.")
    assert b"pdfuaid" in made
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", made)) == 1


def test_the_objective_is_kept_apart_from_the_frozen_page() -> None:
    """It has to be erasable, and the hash of the page has to hold after that."""
    raw = second_page().frozen()
    page = complete_page(second_page(), handover(2, 0), OBJECTIVE, reference().names)
    assert OBJECTIVE in render_text(page, "fr")
    assert OBJECTIVE.encode() not in raw
    assert Document.model_validate_json(raw).texts == {"objective": "words"}
    assert second_page().frozen() == raw


def test_recipients_have_names() -> None:
    names = reference().names
    assert name_recipient("directeur_pole:education", names, _) == "Direction Éducation"
    assert name_recipient("cen-1", names, _).startswith("responsable, ")


@pytest.fixture
def desk() -> tuple[Browser, HeldModel]:
    realm_state = crisis()
    realm_state.put("handovers", handover(1, START).model_dump(mode="json"))
    browser, model = browsing(realm_state)
    model.words.kept["words"] = TextItem({"text": OBJECTIVE})
    browser.app.state.signing_key = lambda: SigningKey(Ed25519PrivateKey.generate())
    return browser, model


def freeze(desk: tuple[Browser, HeldModel], **values: Any) -> None:
    """Put a page that the first person signed."""
    _browser, model = desk
    raw = second_page().frozen()
    model.words.kept["d-1"] = TextItem(raw=raw, content_type=JSON)
    page = HandoverPage(text_id="d-1", sha256=hash_document(raw), as_of=START)
    row = handover(
        1, START, state=HandoverState.SIGNED, signed=signature(START, "cell-1"), page=page
    )
    model.held[REALM].put("handovers", row.model_copy(update=values).model_dump(mode="json"))


async def test_handovers_are_read_with_their_objectives(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    handovers = (await browser.get(f"/api/v1/handovers?realm={REALM}", accept=JSON)).json()["items"]
    assert [(h["id"], h["state"], h["objective"]) for h in handovers] == [("1", "draft", OBJECTIVE)]
    assert handovers[0]["recipient_names"] == ["Coordonnateur PCA", "Direction Éducation"]
    assert handovers[0]["moves"] == ["revised", "signed", "withdrawn"]
    answer = await browser.get(f"/api/v1/handovers/1?realm={REALM}", accept=JSON)
    assert answer.headers["etag"] == '"0"'
    missing = await browser.get(f"/api/v1/handovers/9?realm={REALM}", accept=JSON)
    assert missing.status_code == 404


async def test_a_draft_follows_the_facts_and_a_signed_page_does_not(
    desk: tuple[Browser, HeldModel],
) -> None:
    browser, _model = desk
    path = f"/api/v1/handovers/1/document?realm={REALM}"
    text = (await browser.get(f"{path}&format=text")).text
    assert "PROJET, NON SIGNÉ" in text
    assert OBJECTIVE in text
    freeze(desk)
    answer = await browser.get(path, accept=JSON)
    assert hash_document(answer.content) == answer.headers["vigie-document-sha256"]
    assert OBJECTIVE not in answer.text
    text = (await browser.get(f"{path}&format=text")).text
    assert "À SIGNER PAR L’ENTRANT" in text
    assert OBJECTIVE in text
    assert "8 plans en attente" in text.replace("\u00a0", " ")


async def test_an_erased_objective_leaves_the_page(desk: tuple[Browser, HeldModel]) -> None:
    browser, model = desk
    freeze(desk)
    del model.words.kept["words"]
    text = (await browser.get(f"/api/v1/handovers/1/document?realm={REALM}&format=text")).text
    assert OBJECTIVE not in text
    assert "8 plans en attente" in text.replace("\u00a0", " ")


async def test_decisions_become_commands(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    for path, body in (
        ("handovers", {"objective": OBJECTIVE, "recipients": ["coordinateur_pca"]}),
        ("handovers/1:revise", {"recipients": ["liaison_cod"]}),
        ("handovers/1:accept", {}),
        ("handovers/1:withdraw", {"reason": "Erreur."}),
    ):
        answer = await browser.post(f"/api/v1/{path}?realm={REALM}", body)
        assert answer.status_code == 202, answer.text
    drafted, revised, accepted, withdrawn = browser.decisions.asked
    assert isinstance(drafted, DraftHandover)
    assert (drafted.text_id, drafted.recipients) == ("t", ("coordinateur_pca",))
    assert isinstance(revised, ReviseHandover)
    assert (revised.text_id, revised.recipients) == (None, ("liaison_cod",))
    assert isinstance(accepted, AcceptHandover)
    assert isinstance(withdrawn, WithdrawHandover)
    for path, bad in (
        ("handovers", {"objective": " ", "recipients": ["coordinateur_pca"]}),
        ("handovers", {"objective": OBJECTIVE, "recipients": []}),
        ("handovers/1:revise", {}),
        ("handovers/1:withdraw", {}),
    ):
        answer = await browser.post(f"/api/v1/{path}?realm={REALM}", bad)
        assert answer.status_code == 422, (path, bad)


async def test_the_first_signature_freezes_the_page(desk: tuple[Browser, HeldModel]) -> None:
    browser, model = desk
    stored: dict[str, bytes] = {}
    decisions: Any = browser.decisions

    async def put_document(text_id: str, raw: bytes) -> None:
        stored[text_id] = raw

    async def heads() -> dict[str, tuple[int, str]]:
        return {"alerts": (3, "ab")}

    decisions.put_document = put_document
    decisions.command_id = lambda *_of: "cmd-1"
    decisions.text_id = lambda _id, sha256: f"d-{sha256[:8]}"
    model.heads = heads  # type: ignore[method-assign]
    answer = await browser.post(f"/api/v1/handovers/1:sign?realm={REALM}")
    assert answer.status_code == 202, answer.text
    (signed,) = browser.decisions.asked
    assert isinstance(signed, SignHandover)
    raw = stored[signed.page.text_id]
    assert hash_document(raw) == signed.page.sha256
    assert Document.model_validate_json(raw).heads == {"alerts": (3, "ab")}
    assert signed.expected == 0, "somebody who revises meanwhile voids this signature"
    assert signed.page.counts["decisions"] == Document.model_validate_json(raw).figures["decisions"]


async def test_the_page_offers_each_person_their_own_signature(
    desk: tuple[Browser, HeldModel],
) -> None:
    browser, _model = desk
    path = f"/releve/1?realm={REALM}"
    text = (await browser.get(path, role="cell")).text
    assert OBJECTIVE in text
    assert "handovers/1:sign" in text
    assert "Signer comme sortant" in text.replace("\u00a0", " ")
    assert "handovers/1:sign" not in (await browser.get(path, role="observer")).text
    assert (await browser.get(path, role="site_manager")).status_code == 403


async def test_the_incoming_person_refuses_and_the_page_names_that_person(
    desk: tuple[Browser, HeldModel],
) -> None:
    """It said «retirée» alone, and the outgoing person could ask nobody for the rest."""
    freeze(desk)
    browser, _model = desk
    path = f"/releve/1?realm={REALM}"
    assert "Retirer la relève" in (await browser.get(path, role="cell")).text
    assert "Refuser la relève" in (await browser.get(path, role="coordinator")).text
    refusal = signature(START + MINUTE_MS)
    freeze(desk, state=HandoverState.WITHDRAWN, withdrawn=refusal)
    assert "retirée</span> 09:41, Coordonnateur PCA." in (await browser.get(path)).text


class BegunWithItsReports(PlayedHandovers):
    """A realm with all of its reports in its first second, like many an exercise."""

    async def realm(self) -> Realm:
        at = (await self.overview()).at
        return (await super().realm()).model_copy(update={"started_at": at})


async def test_the_changes_since_before_the_beginning_hold_the_first_reports() -> None:
    """The power cut of an exercise began with it, and its page said that nothing had changed."""
    played = played_to("S04", FIRST_MIN, whole=False)
    model = BegunWithItsReports(played).of(played.realm)
    changes = await model.changes(played.played.start)
    assert {c.collection for c in changes.items} >= {"incidents", "levels", "sites"}
    assert not any((c.collection, c.after) == ("sites", "normal") for c in changes.items)


async def test_the_signer_cannot_sign_as_the_incoming_person(
    desk: tuple[Browser, HeldModel],
) -> None:
    freeze(desk)
    browser, _model = desk
    path = f"/releve/1?realm={REALM}"
    mine = (await browser.get(path, role="cell")).text
    assert "handovers/1:accept" not in mine
    assert "Une autre personne que vous" in mine
    assert "handovers/1:accept" in (await browser.get(path, role="coordinator")).text
    past = f"{path}&as_of=2027-02-11T09:45"
    assert "handovers/1:accept" not in (await browser.get(past, role="coordinator")).text


async def test_the_forms_of_a_handover_follow_its_versions(
    desk: tuple[Browser, HeldModel],
) -> None:
    """They kept the version of the first sight: after the own signature each was refused."""
    browser, _model = desk
    path = f"/releve/1?realm={REALM}"
    live = '<div class="stack" id="changing" data-live>'
    draft = (await browser.get(path, role="cell")).text.partition(live)[2]
    freeze(desk, version=1)
    signed = (await browser.get(path, role="coordinator")).text.partition(live)[2]
    keys = re.compile(r'data-key="((?:revise|withdraw)-\d+)"')
    assert len(keys.findall(draft)) == len(keys.findall(signed)) == 2
    assert set(keys.findall(draft)).isdisjoint(keys.findall(signed))


def test_a_pilot_of_a_pole_is_chosen_for_the_poles_at_the_level() -> None:
    """The form as it stood was refused: a director of a pôle has no message without the pôle."""
    choices = list_pilot_choices(reference(), 2, {"education": 2, "solidarites": 0}, _)
    directors = {one.role: one.chosen for one in choices if one.role.startswith("directeur_pole")}
    assert directors == {"directeur_pole:education": True, "directeur_pole:solidarites": False}
    assert all(one.label for one in choices)


async def test_the_page_of_changes_leads_to_the_handover(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    text = (await browser.get(f"/releve?realm={REALM}", role="cell")).text
    assert "/releve/1" in text
    assert 'action="/api/v1/handovers"' not in text, "one handover at a time"


async def test_a_handover_is_drafted_on_the_page_of_changes(
    desk: tuple[Browser, HeldModel],
) -> None:
    browser, model = desk
    del model.held[REALM].rows["handovers"]
    text = (await browser.get(f"/releve?realm={REALM}", role="cell")).text
    assert 'action="/api/v1/handovers"' in text
    assert re.search(r'value="[a-z_]+" data-type="list" checked', text), "pilots get it by default"
    text = (await browser.get(f"/releve?realm={REALM}", role="site_manager")).text
    assert 'action="/api/v1/handovers"' not in text


def test_each_step_is_a_line_and_the_objective_can_be_erased() -> None:
    names, at = reference().names, START + HOUR_MS
    drafted = HandoverChanged(row=handover(3, at), change="drafted")
    (line,) = lines("alerts", drafted)
    assert (line.kind, line.text_id) == ("action", "words")
    assert render_line(line, names, "fr") == "Relève n°\u00a03 rédigée".replace("\u00a0", " ")
    signed = HandoverChanged(row=handover(3, at, state=HandoverState.SIGNED), change="signed")
    (line,) = lines("alerts", signed)
    assert (line.kind, line.text_id) == ("decision", None)
    assert render_line(line, names, "en") == "Handover no. 3 signed by the outgoing person"
    row = handover(3, at, state=HandoverState.WITHDRAWN, reason="text:why")
    (line,) = lines("alerts", HandoverChanged(row=row, change="withdrawn"))
    assert line.text_id == "why"


def _line(seq: int, type_: str, author: str, kind: str, **values: Any) -> LineRecord:
    return LineRecord(
        key=build_key(START + MINUTE_MS, "alerts", seq, 0),
        id=f"l-{seq}",
        type=type_,
        kind=kind,
        occurred_at=START + MINUTE_MS,
        recorded_at=START + MINUTE_MS,
        author=author,
        place=f"alerts/0/{seq}/0",
        **values,
    )


async def test_the_page_shows_lines_of_people_and_not_those_of_the_system() -> None:
    realm_state = crisis()
    realm_state.lines += [
        _line(0, "NoteAdded", "p-cell", "communication", text_id="call"),
        _line(1, "NoteAdded", "p-cell", "decision", text_id="decision"),
        _line(2, "NoteAdded", "system:alerts", "decision", text_id="machine"),
    ]
    browser, model = browsing(realm_state)
    for id in ("call", "decision", "machine"):
        model.words.kept[id] = TextItem({"text": f"Mots : {id}"})
    text = (await browser.get(f"/releve?realm={REALM}", role="cell")).text
    assert "Mots : call" in text
    assert "Mots : decision" in text
    assert "Mots : machine" not in text


async def test_tasks_that_are_handed_over_lead_to_their_list() -> None:
    browser, _store = browsing(crisis())
    page = (await browser.get(f"/releve?realm={REALM}")).text
    waiting = page[page.index('data-key="k-decide"') :]
    assert re.search(r'href="/\?[^"]*vue=taches[^"]*">Tâches ouvertes', waiting)


async def test_the_decisions_of_the_handover_are_those_of_the_report() -> None:
    """«À décider» listed plans only; the report also proposals, doubts and legal deadlines."""
    realm_state = crisis()
    task = {
        "id": "t-1",
        "kind": "verify_site",
        "state": "open",
        "site": "pmi-01",
        "incident": "i-1",
        "opened_at": START,
    }
    realm_state.put("tasks", task)
    browser, _ = browsing(realm_state)
    decision = "1 levée de doute en attente."
    assert decision in await shown(browser, "/sitrep")
    assert decision in await shown(browser, "/releve")
