"""A login comes from our own pages; behind a proxy that hides their address, it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.runtime.identity.permissions import Role
from tests.keyed import create_memory_access
from tests.unit.runtime.test_second_factor import PASSWORD, World

BROWSER = "http://crise.example:8080"


async def log_in(tmp_path: Path, public_url: str, **headers: str) -> tuple[int, str]:
    world = World(create_memory_access(tmp_path))
    world.app.state.public_url = public_url
    await world.account(Role.CELL)
    async with world.client() as http:
        answer = await http.post(
            "/connexion",
            data={"user": f"moi.{Role.CELL}", "password": PASSWORD},
            headers=headers,
        )
    return answer.status_code, answer.text


@pytest.mark.parametrize(
    ("public_url", "headers"),
    [
        ("", {"Origin": BROWSER, "Host": "crise.example:8080"}),
        ("", {"Origin": BROWSER, "X-Forwarded-Host": "crise.example:8080"}),
        (BROWSER, {"Origin": BROWSER}),
        ("", {"Sec-Fetch-Site": "same-origin", "Origin": BROWSER}),
        ("", {}),
    ],
    ids=["host passed on", "host forwarded", "public address", "the browser says so", "no browser"],
)
async def test_our_own_page_logs_in(
    tmp_path: Path, public_url: str, headers: dict[str, str]
) -> None:
    assert (await log_in(tmp_path, public_url, **headers))[0] == 303


@pytest.mark.parametrize("public_url", ["", "https://other.example"])
async def test_a_rewritten_host_is_named_with_the_remedy(tmp_path: Path, public_url: str) -> None:
    """The page was only called too old, and reloading it changed nothing."""
    status, page = await log_in(tmp_path, public_url, Origin=BROWSER, Host="127.0.0.1:8092")
    assert status == 403
    for words in (BROWSER, "http://127.0.0.1:8092", "X-Forwarded-Host", "VIGIE_PUBLIC_URL"):
        assert words in page


@pytest.mark.parametrize("origin", ["null", "http://evil.example"])
async def test_the_form_of_another_site_is_refused(tmp_path: Path, origin: str) -> None:
    assert (await log_in(tmp_path, BROWSER, Origin=origin))[0] == 403


async def test_a_declared_other_site_is_refused_under_any_address(tmp_path: Path) -> None:
    status, _ = await log_in(tmp_path, BROWSER, Origin=BROWSER, **{"Sec-Fetch-Site": "cross-site"})
    assert status == 403
