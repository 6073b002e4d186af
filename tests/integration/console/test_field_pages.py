"""Entrances on the whole system: a poster's form without a login, a caller's line, sources."""

from __future__ import annotations

import secrets

import httpx2 as httpx
import pytest

from tests.system import RunningVigie, logged_in


@pytest.fixture
def poster(vigie: RunningVigie) -> str:
    """Return the key of a poster in the headquarters."""
    made = vigie.http.post(
        "/api/v1/sources",
        json={"name": f"affiche-{secrets.token_hex(3)}", "dialect": "poster", "site": "cen-1"},
    )
    assert made.status_code == 201, made.text
    return str(made.json()["key"])


def test_a_poster_opens_its_form_for_one_site_and_no_other_page(
    vigie: RunningVigie, poster: str
) -> None:
    with httpx.Client(
        base_url=vigie.url, headers={"Accept-Language": "fr"}, timeout=20, trust_env=False
    ) as passer_by:
        page = passer_by.get("/signaler", params={"site": "cen-1", "token": poster})
        assert page.status_code == 200
        assert "Vous signalez sans compte" in page.text
        assert page.text.count("<option ") == 1
        assert page.headers["referrer-policy"] == "no-referrer"
        assert passer_by.get("/signaler", params={"token": "nobody"}).status_code == 401
        assert passer_by.get("/", params={"token": poster}).status_code == 303
        assert (
            passer_by.get(
                "/api/v1/overview", headers={"Authorization": f"Bearer {poster}"}
            ).status_code
            == 403
        )


def test_sources_are_shown_to_readers_of_the_log(vigie: RunningVigie, poster: str) -> None:
    refused = httpx.post(
        f"{vigie.url}/webhooks/poster",
        headers={"X-Token": poster},
        json={"type": "fire"},
        trust_env=False,
    )
    assert refused.status_code == 422
    with logged_in(vigie, "cell") as browser:
        page = browser.get("/sources")
        assert page.status_code == 200
        assert "affiche-" in page.text
        assert "severity\u00a0: champ obligatoire" in page.text
        assert browser.get("/signaler").text.count('id="line"') == 1
    with logged_in(vigie, "site_manager") as browser:
        assert browser.get("/sources").status_code == 403
        assert 'id="line"' not in browser.get("/signaler").text
