"""Strangers may look at the demonstration, and at nothing else."""

from __future__ import annotations

import httpx2 as httpx
import pytest

from services.runtime.identity.http_access import create_guest
from services.runtime.identity.permissions import Permission
from tests.unit.console.held import LINKS, Browser, HeldModel, application
from tests.unit.console.test_every_screen import REALM, crisis, words


def test_a_guest_reads_one_exercise_and_changes_nothing() -> None:
    guest = create_guest("92~ex-demo-1")
    assert guest is not None
    assert guest.scope.realms == ("92~ex-demo-1",)
    assert guest.may(Permission.PICTURE_READ)
    writing = (
        Permission.REPORT_POST,
        Permission.LEVEL_SET,
        Permission.REALM_RUN,
        Permission.NOTE_WRITE,
        Permission.PLAN_DECIDE,
    )
    assert not any(guest.may(p) for p in writing)


def test_without_a_demonstration_there_is_no_guest() -> None:
    assert create_guest("") is None


def test_a_live_realm_is_never_shown_to_strangers() -> None:
    with pytest.raises(ValueError, match="live"):
        create_guest("92")


async def test_a_guest_sees_the_login_in_place_of_the_logout() -> None:
    app = application(HeldModel(crisis()), LINKS)
    app.state.guest = create_guest(REALM)
    browser = Browser(app)
    page = await browser.get(f"/?realm={REALM}", role="")
    assert (
        page.text.count(f'href="/connexion?next=%2F%3Frealm%3D{REALM}"') == 2
    )  # in the menu, and beside « Lecture seule »
    assert "Se déconnecter" not in page.text
    assert "Se déconnecter" in (await browser.get(f"/?realm={REALM}", role="observer")).text
    refused = await browser.get(f"/personnes?realm={REALM}", role="")
    assert refused.status_code == 403
    assert "Cette page demande un compte." in words(refused.text)
    assert 'href="/connexion?next=%2Fpersonnes%3Frealm%3D' in refused.text


async def test_the_page_of_an_ended_session_does_not_become_that_of_a_guest() -> None:
    """The browser had dropped the cookie: the page loaded again as a refusal, without its text."""
    app = application(HeldModel(crisis()), LINKS)
    app.state.guest = create_guest(REALM)
    browser = Browser(app)
    path = f"/main-courante?realm={REALM}"
    assert 'data-reader="account"' in (await browser.get(path, role="observer")).text
    assert (await browser.get(path, role="", live="account")).status_code == 401
    picture = f"/?realm={REALM}"
    assert 'data-reader="guest"' in (await browser.get(picture, role="")).text
    assert (await browser.get(picture, role="", live="guest")).status_code == 200


async def test_a_form_of_an_ended_session_is_not_refused_as_that_of_an_observer() -> None:
    """The page said that the role may not do it, where the user has to log in again."""
    app = application(HeldModel(crisis()), LINKS)
    app.state.guest = create_guest(REALM)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as http:
        answer = await http.post("/api/v1/log", params={"realm": REALM}, json={"text": "une ligne"})
    assert answer.status_code == 401, answer.text
