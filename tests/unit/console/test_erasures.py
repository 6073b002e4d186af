"""Erasing a text takes two persons: one proposes, another approves (D58)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.console.logbook.erasures import Erasures, ErasureSubject
from services.console.logbook.queries import _get_shown_text
from services.runtime.http.problems import ProblemError
from services.runtime.identity.principals import Principal
from services.runtime.secrets.erasure import TextErasure, read_erasure
from services.runtime.secrets.vault import TextItem
from tests.unit.console.held import Browser, browsing
from tests.unit.console.test_every_screen import REALM, crisis, report
from tests.unit.runtime.test_vault import Setup

SUBJECT = ErasureSubject("report", "r-1", "92", "report-r-1")
NOW = 1_800_000_000_000


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Setup]:
    made = Setup(tmp_path)
    yield made
    made.replica.close()
    made.keyring.close()


async def refused(erasing: object) -> str:
    with pytest.raises(ProblemError) as caught:
        await erasing  # type: ignore[misc]
    return caught.value.problem.code


async def test_a_second_person_carries_out_a_proposed_erasure(vault: Setup) -> None:
    erasures = Erasures(vault.texts)
    await vault.texts.put(SUBJECT.text_id, TextItem({"headline": "Mme Durand"}))
    assert await refused(erasures.approvable(SUBJECT, "p-2")) == "no_erasure"
    made = await erasures.propose(SUBJECT, "p-1", "nom d’une mineure", NOW)
    assert await erasures.propose(SUBJECT, "p-1", "autre", NOW + 1) == made, "the same again"
    assert await refused(erasures.propose(SUBJECT, "p-2", "aussi", NOW)) == "erasure_proposed"
    assert await refused(erasures.approvable(SUBJECT, "p-1")) == "second_person"
    assert read_erasure(await vault.texts.get(SUBJECT.text_id)) is None, (
        "nothing is erased by one person"
    )
    vault.follow()
    assert [one.id for one in erasures.open()] == ["r-1"]
    await erasures.erase(SUBJECT, await erasures.approvable(SUBJECT, "p-2"), NOW + 2)
    assert read_erasure(await vault.texts.get(SUBJECT.text_id)) == TextErasure(
        NOW + 2, "nom d’une mineure"
    )
    assert await refused(erasures.propose(SUBJECT, "p-1", "encore", NOW)) == "erased"
    assert await refused(erasures.approvable(SUBJECT, "p-2")) == "erased"


def test_an_erased_line_shows_time_and_reason_instead_of_its_text() -> None:
    item = TextItem({"erased": {"at": NOW, "reason": "nom d’une mineure"}})
    assert (
        _get_shown_text(item, "fr")
        == "Texte effacé le 15/01/2027 à 09:00. Raison\u00a0: nom d’une mineure"
    )
    assert (
        _get_shown_text(item, "en")
        == "Text erased on 15/01/2027 at 09:00. Reason: nom d’une mineure"
    )


class Register:
    """The register of accesses."""

    def __init__(self, access: object) -> None:
        self._access = access
        self.acts: list[tuple[str, str, str]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._access, name)

    def trace(self, author: Principal, act: str, about: str = "") -> None:
        self.acts.append((author.id, act, about))


def console(vault: Setup) -> tuple[Browser, Register]:
    """Return a console over a crisis with texts in a report and a note."""
    realm_state = crisis()
    realm_state.put("reports", report(text_id="report-r-1"))
    browser, model = browsing(realm_state)
    register = Register(browser.app.state.access)
    browser.app.state.access, browser.app.state.texts = register, vault.texts
    model._texts = vault.texts
    return browser, register


ERASE = f"/api/v1/reports/r-1/erase?realm={REALM}"


async def test_the_route_erases_a_report_after_two_persons_and_the_page_shows_it(
    vault: Setup,
) -> None:
    browser, register = console(vault)
    await vault.texts.put(
        "report-r-1", TextItem({"headline": "Mme Durand", "attachments": ["p1"]}, b"raw")
    )
    await vault.texts.put("attachment-p1", TextItem({}, b"jpeg"))
    assert (await browser.post(ERASE, {"reason": "nom"}, role="cell")).status_code == 403
    assert (await browser.post(ERASE, {}, role="admin")).status_code == 422, "it takes a reason"
    assert (await browser.post(ERASE, {"approve": True}, role="admin")).json()[
        "code"
    ] == "no_erasure"
    proposed = await browser.post(ERASE, {"reason": "nom d’une mineure"}, role="admin")
    assert (proposed.status_code, proposed.json()["state"]) == (200, "proposed")
    assert (await browser.post(ERASE, {"approve": True}, role="admin")).json()[
        "code"
    ] == "second_person"
    before = await browser.get(
        f"/signalements/r-1?realm={REALM}", role="admin"
    )  # a rendered page is shared for five seconds
    assert "Mme Durand" in before.text
    erased = await browser.post(ERASE, {"approve": True}, role="coordinator")
    assert (erased.status_code, erased.json()["state"]) == (200, "erased")
    page = (await browser.get(f"/signalements/r-1?realm={REALM}", role="cell")).text
    assert "Durand" not in page
    assert "Texte effacé le" in page
    assert "nom d’une mineure" in page
    report_document = (
        await browser.get(
            f"/api/v1/reports/r-1?realm={REALM}", role="cell", accept="application/json"
        )
    ).json()
    assert (
        report_document["headline"],
        report_document["attachments"],
        report_document["erased_reason"],
    ) == (
        None,
        [],
        "nom d’une mineure",
    )
    assert await vault.texts.get("attachment-p1") is None
    assert [act for _, act, _ in register.acts] == ["text.erasure_proposed", "text.erased"]
    assert [type(one).__name__ for one in browser.decisions.asked] == ["AddNote", "AddNote"]


async def test_the_notice_of_an_erasure_is_no_sentence_of_a_site(vault: Setup) -> None:
    """The cell read «Texte effacé le 15/01» in quotes, as if somebody had said it."""
    browser, _ = console(vault)
    await vault.texts.put("report-r-1", TextItem({"headline": "Mme Durand"}))
    page = (await browser.get(f"/incidents/i-1?realm={REALM}", role="coordinator")).text
    assert "Mme Durand" in page
    await browser.post(ERASE, {"reason": "nom"}, role="admin")
    assert (await browser.post(ERASE, {"approve": True}, role="coordinator")).status_code == 200
    page = (await browser.get(f"/incidents/i-1?realm={REALM}", role="cell")).text
    assert "Durand" not in page
    assert "« Texte effacé" not in page.replace("\u00a0", " ")


async def test_proposals_are_listed_for_their_approvers(vault: Setup) -> None:
    browser, _ = console(vault)
    await vault.texts.put("report-r-1", TextItem({"headline": "Mme Durand"}))
    await browser.post(ERASE, {"reason": "nom"}, role="admin")
    vault.follow()
    listed = await browser.get("/api/v1/erasures", role="coordinator", accept="application/json")
    assert [
        (one["id"], one["kind"], one["state"], one["reason"]) for one in listed.json()["items"]
    ] == [("r-1", "report", "proposed", "nom")]
    assert (
        await browser.get("/api/v1/erasures", role="cell", accept="application/json")
    ).status_code == 403


async def test_a_declined_erasure_keeps_the_text_and_can_be_proposed_again(vault: Setup) -> None:
    """A wrong proposal waited for ever, and nobody else could propose another one."""
    browser, register = console(vault)
    await vault.texts.put("report-r-1", TextItem({"headline": "Mme Durand"}))
    declined = {"decline": True, "reason": "le nom est déjà public"}
    assert (await browser.post(ERASE, declined, role="admin")).json()["code"] == "no_erasure"
    await browser.post(ERASE, {"reason": "nom"}, role="admin")
    without_reason = await browser.post(ERASE, {"decline": True}, role="coordinator")
    assert without_reason.status_code == 422
    both = {"approve": True, **declined}
    assert (await browser.post(ERASE, both, role="coordinator")).status_code == 422
    answer = await browser.post(ERASE, declined, role="coordinator")
    assert (answer.status_code, answer.json()["state"]) == (200, "declined")
    assert register.acts[-1][1] == "text.erasure_declined"
    page = (await browser.get(f"/signalements/r-1?realm={REALM}", role="cell")).text
    assert "Mme Durand" in page
    again = await browser.post(ERASE, {"reason": "nom d’une mineure"}, role="coordinator")
    assert (again.status_code, again.json()["state"]) == (200, "proposed")


async def test_the_logbook_asks_the_second_person_to_approve_or_decline(vault: Setup) -> None:
    browser, _ = console(vault)
    await vault.texts.put("report-r-1", TextItem({"headline": "Mme Durand"}))
    await browser.post(ERASE, {"reason": "nom d’une mineure"}, role="admin")
    vault.follow()
    path = f"/main-courante?realm={REALM}"
    second = (await browser.get(path, role="coordinator")).text
    assert "Effacements proposés" in second
    assert "nom d’une mineure" in second
    assert "Effacer pour toujours" in second
    first = (await browser.get(path, role="admin")).text
    assert "une autre personne doit l’approuver" in first
    assert "Effacer pour toujours" not in first
    assert "Effacements proposés" not in (await browser.get(path, role="cell")).text


async def test_a_colleague_of_the_author_gets_the_button_in_the_same_second(vault: Setup) -> None:
    """Two coordinators saw one page for five seconds: that of the first."""
    browser, _ = console(vault)
    await vault.texts.put("report-r-1", TextItem({"headline": "Mme Durand"}))
    await browser.post(ERASE, {"reason": "nom d’une mineure"}, role="coordinator~ana")
    vault.follow()
    path = f"/main-courante?realm={REALM}"
    first = (await browser.get(path, role="coordinator~ana")).text
    second = (await browser.get(path, role="coordinator~bob")).text
    assert "Effacer pour toujours" not in first
    assert "Effacer pour toujours" in second


async def test_two_approvals_at_once_leave_one_line(vault: Setup) -> None:
    browser, _ = console(vault)
    await vault.texts.put("report-r-1", TextItem({"headline": "Mme Durand"}))
    await browser.post(ERASE, {"reason": "nom d’une mineure"}, role="admin")
    decide = browser.decisions.decide

    async def decide_later(*args: Any, **values: Any) -> Any:
        for _turn in range(50):  # the other approval has its turn
            await asyncio.sleep(0)
        return await decide(*args, **values)

    browser.decisions.decide = decide_later  # type: ignore[method-assign]
    approvals = (browser.post(ERASE, {"approve": True}, role="coordinator") for _n in range(2))
    answers = await asyncio.gather(*approvals)
    assert sorted(answer.status_code for answer in answers) == [200, 410]
    assert len(browser.decisions.asked) == 2, "one line of the proposal, one of the approval"
