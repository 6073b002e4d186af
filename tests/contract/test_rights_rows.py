"""Every route has its row in the table of roles. What the rows say is tested at both doors, with accounts of every role."""

from __future__ import annotations

from typing import Any

from services.console.app import create_app
from services.console.pages.routes import pages_router
from services.intake.openapi import own_document
from services.runtime.health import Health
from tests.rights import CONSOLE, FRONT, routes_of


def test_every_route_of_the_console_has_its_row_and_every_row_its_route() -> None:
    nothing: Any = None  # the routes alone are looked at: none is called
    app = create_app(Health())
    app.include_router(pages_router(nothing, nothing, nothing, nothing))
    assert sorted(routes_of(app.routes)) == sorted(CONSOLE)


def test_every_route_of_the_front_has_its_row_and_every_row_its_route() -> None:
    found = [f"{method.upper()} {path}" for path, operations in own_document()["paths"].items() for method in operations]
    assert sorted(found) == sorted(FRONT)
