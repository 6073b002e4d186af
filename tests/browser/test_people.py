"""Accounts in the browser, from opening to passkey and end, with their entries in the register."""

from __future__ import annotations

import re
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from tests.browser.conftest import Accounts, Visitor
from tests.system import RunningVigie


def by_name(who: Visitor) -> Visitor:
    """Return the same front by a name: a bare address has no passkeys."""
    who.url = f"http://localhost:{urlsplit(who.url).port}"
    return who


def with_device(page: Page, *, unlocked: bool = True) -> tuple[Any, str]:
    """Add a virtual device that holds passkeys (CDP WebAuthn); return (session, id)."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": unlocked,
        "automaticPresenceSimulation": True,
    }
    return cdp, str(
        cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]
    )


def test_an_account_lives_from_a_code_to_a_passkey_to_its_end(
    vigie: RunningVigie, visitor: Accounts
) -> None:
    login = f"astreinte-{token_hex(3)}"
    admin = visitor("admin").page("/personnes?realm=92")
    admin.get_by_label("Identifiant").fill(login)
    admin.get_by_label("Rôle").select_option("technician")
    admin.get_by_label("Sites nom ou commune").fill("cen-1, gym-07")
    admin.get_by_role("button", name="Ouvrir le compte").click()
    message = admin.locator("#said-new")
    expect(message).to_contain_text(
        re.compile(r"Code à usage unique.*[A-Z2-7]{4}(-[A-Z2-7]{4}){3}")
    )
    code = message.inner_text().rsplit(" ", 1)[1]
    row = admin.locator("#accounts tr", has_text=login)
    expect(row).to_contain_text("Gymnase")

    # their first time: the code, then a key of the device
    theirs = by_name(visitor(None)).page("/connexion?next=/compte%3Frealm%3D92")
    cdp, device = with_device(theirs)
    theirs.get_by_label("Code à usage unique").fill(code)
    theirs.get_by_role("button", name="Se connecter", exact=True).click()
    expect(theirs.get_by_role("heading", name="Mon compte")).to_be_visible()
    theirs.get_by_label("Nom de l’appareil").fill("téléphone d’astreinte")
    theirs.get_by_role("button", name="Ajouter une clé d’accès").click()
    expect(theirs.locator("#keys li")).to_contain_text("téléphone d’astreinte")
    theirs.locator("#menu > summary").click()
    theirs.get_by_role("button", name="Se déconnecter").click()

    # from then on the device alone
    theirs.goto("/connexion?next=/compte%3Frealm%3D92")
    cdp.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": False})
    theirs.get_by_role("button", name="Se connecter avec ma clé d’accès").click()
    expect(theirs.locator("#said-key")).to_have_text(
        "Aucune clé d’accès n’a répondu sur cet appareil."
    )
    cdp.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": True})
    theirs.get_by_role("button", name="Se connecter avec ma clé d’accès").click()
    expect(theirs.get_by_role("heading", name="Mon compte")).to_be_visible()

    # the administrator sees it, and ends it
    admin.reload()
    expect(row).to_contain_text("1 clé d’accès")
    expect(admin.locator("#traces")).to_contain_text("connexion avec une clé d’accès")
    row.get_by_role("button", name="Fermer ses sessions").click()
    expect(admin.locator("#traces tbody tr", has_text=login).first).to_contain_text(
        "sessions fermées"
    )
    theirs.goto("/compte?realm=92")
    expect(theirs.get_by_role("heading", name="Se connecter")).to_be_visible()
    row.get_by_role("button", name="Fermer le compte").click()
    expect(row).to_contain_text("fermé")
    theirs.get_by_role("button", name="Se connecter avec ma clé d’accès").click()
    expect(theirs.locator("#said-key")).to_contain_text("est incorrect")


def test_an_auditor_sees_the_register_and_nothing_to_change(visitor: Accounts) -> None:
    page = visitor("auditor").page("/personnes?realm=92")
    expect(page.get_by_role("heading", name="Registre")).to_be_visible()
    expect(page.locator("#accounts")).to_have_count(0)
    expect(page.locator("main form")).to_have_count(0)
