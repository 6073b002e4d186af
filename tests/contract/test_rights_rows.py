"""Every route has its row in the table of roles.

Other tests check the rows with accounts of every role.
"""

from __future__ import annotations

from services.console.app import add_routes, create_app
from services.console.web.routes import build_pages_router
from services.intake.openapi import build_own_document
from services.runtime.process.health import HealthChecks
from tests.rights import CONSOLE, FRONT, LIMITS, routes_of, undecided


def test_every_route_of_the_console_has_its_row_and_every_row_its_route() -> None:
    app = create_app(HealthChecks())
    add_routes(app, build_pages_router())
    assert sorted(routes_of(app.routes)) == sorted(CONSOLE)


def test_every_route_of_the_front_has_its_row_and_every_row_its_route() -> None:
    front_routes = [
        f"{method.upper()} {path}"
        for path, operations in build_own_document()["paths"].items()
        for method in operations
    ]
    assert sorted(front_routes) == sorted(FRONT)


def test_every_decision_declares_its_scope() -> None:
    """A new route without a decision about scope let every limited account act on the whole territory."""
    assert undecided(CONSOLE) + undecided(FRONT) == []
    assert sorted(set(LIMITS) - set(CONSOLE) - set(FRONT)) == []
    forgotten = undecided({"POST /api/v1/levers": frozenset()})
    assert forgotten == [
        "POST /api/v1/levers has no decision about scope: say in tests/rights.py, LIMITS, how far it reaches (TERRITORY, PLACE or OWN)"
    ]


PROMISED = (
    "POST /api/v1/reports",
    "POST /api/v1/reports:batch",
    "POST /api/v1/cap",
    "POST /v2/enqueue",
    "POST /v2/change/enqueue",
    "POST /webhooks/alertmanager",
    "GET /api/v2/alerts",
    "POST /api/v2/alerts",
    "GET /api/v2/silences",
    "POST /api/v2/silences",
    "GET /api/v2/silence/{id}",
    "DELETE /api/v2/silence/{id}",
    "GET /api/v2/status",
    "GET /api/v2/receivers",
    "GET /-/healthy",
    "GET /-/ready",
    "POST /api/v1/events",
    "POST /api/v2/generic/incoming",
    "POST /api/v2/grafana/incoming",
    "POST /api/v2/prometheusalertmanager/incoming",
    "POST /v2/alerts",
    "POST /v2/alerts/{alias}/close",
    "POST /v2/alerts/{alias}/acknowledge",
    "GET /v2/heartbeats/{name}/ping",
    "POST /v2/heartbeats/{name}/ping",
    "POST /webhooks/apprise",
    "POST /webhooks/mail",
    "POST /webhooks/generic/{source}",
    "POST /webhooks/sms",
    "GET /api/v1/reports/{id}/raw",
)


def test_the_document_has_every_address_that_machines_were_promised() -> None:
    """Some stood there as a prefix that nothing answers at."""
    assert {
        f"{method.upper()} {path}"
        for path, operations in build_own_document()["paths"].items()
        for method in operations
    } >= set(PROMISED)
