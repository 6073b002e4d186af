"""A page is one folder; nothing else lists it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import console
from services.console import app
from services.console.web import navigation, pages, routes, shell
from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import REALM, crisis, shown

TIDES = """
from services.console.web.screen_context import ScreenPage


async def build_tides_page(x):
    return {"open": len(x.shell.overview.incidents)}


PAGE = ScreenPage(
    "tides", "/marees", "tides_of_a_test/screen.html", build_tides_page, "Marées", after="sites"
)
"""
TEMPLATE = """{% extends "frame.html" %}
{% block title %}Marées{% endblock %}
{% block main %}<h1>Marées</h1><p>Ouverts : {{ open }}</p>{% endblock %}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield an empty folder of a page beside those of the console."""
    caches = (
        pages.load_pages,
        routes.build_pages_router,
        navigation.list_groups,
        shell.create_environment,
    )
    monkeypatch.setattr(console, "__path__", [*console.__path__, str(tmp_path)])
    for cache in caches:
        cache.cache_clear()
    made = tmp_path / "tides_of_a_test"
    made.mkdir()
    (made / "__init__.py").touch()
    yield made
    for cache in caches:
        cache.cache_clear()
    for name in ("", ".api", ".screen", ".tides_screen"):
        sys.modules.pop(f"{console.__name__}.tides_of_a_test{name}", None)


@pytest.mark.parametrize("module", ["screen.py", "tides_screen.py"])
async def test_a_new_module_is_a_page_with_its_place_in_the_menu(folder: Path, module: str) -> None:
    (folder / module).write_text(TIDES, encoding="utf-8")
    (folder / "screen.html").write_text(TEMPLATE, encoding="utf-8")
    browser, _model = browsing(crisis())
    assert "Ouverts : 1" in await shown(browser, "/marees")
    menu = (await browser.get(f"/sites?realm={REALM}")).text
    assert menu.index("/marees?") > menu.index("Tous les sites")


def test_a_page_without_a_neighbour_in_the_menu_is_refused(folder: Path) -> None:
    (folder / "screen.py").write_text(
        TIDES.replace('after="sites"', 'after="moon"'), encoding="utf-8"
    )
    with pytest.raises(ValueError, match="no page 'moon' for 'tides' to follow"):
        navigation.list_groups()


def test_a_page_without_a_label_is_not_in_the_menu(folder: Path) -> None:
    (folder / "screen.py").write_text(TIDES.replace('"Marées", after="sites"', ""), "utf-8")
    assert "tides" in {page.name for page in pages.load_pages()}
    assert all(
        d.page != "tides" for _title, destinations in navigation.list_groups() for d in destinations
    )


def test_two_pages_cannot_share_a_path(folder: Path) -> None:
    (folder / "screen.py").write_text(TIDES.replace("/marees", "/sites"), encoding="utf-8")
    with pytest.raises(ValueError, match="another page has its name or its path"):
        pages.load_pages()


@pytest.mark.parametrize(
    "neighbours", [("search", "sites"), ("reassignment", "resources"), ("calls", "directory")]
)
def test_pages_keep_their_place_in_the_menu(neighbours: tuple[str, str]) -> None:
    before, after = neighbours
    conduct = [d.page for d in navigation.list_groups()[0][1]]
    assert conduct.index(before) < conduct.index(after)


def test_a_new_module_brings_its_routes(folder: Path) -> None:
    (folder / "api.py").write_text(
        'from fastapi import APIRouter\n\nrouter = APIRouter(prefix="/api/v1/tides")\n\n\n'
        '@router.get("/{id}")\ndef get_tide(id: str) -> str:\n    return id\n\n\n'
        '@router.get("/high")\ndef get_high_tide() -> str:\n    return "high"\n',
        encoding="utf-8",
    )
    paths = [getattr(route, "path", "") for route in app.list_routes()]
    assert paths.index("/api/v1/tides/high") < paths.index("/api/v1/tides/{id}")
