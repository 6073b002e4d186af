"""A real browser on the whole system, with one shared crisis: S04, 36 minutes after the cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

import httpx2 as httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.system import RunningVigie
from tests.waiting import until

CHROMIUM = "/usr/bin/chromium-headless-shell"
"""The same engine without the desktop around it: a quarter less of the processor."""
DESKTOP = "/usr/bin/chromium"
"""Browser for desktop features only: push messages."""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--font-render-hinting=none",
]
STEP_MS = 45_000
"""Patience with one step of a page, while other tests keep the machine busy."""
expect.set_options(timeout=STEP_MS)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--screenshots",
        action="store_true",
        help="write the screenshots of the browser tests to docs/screenshots",
    )


@pytest.fixture(scope="session")
def launch() -> Iterator[Callable[[str], Browser]]:
    """Start the program of this path."""
    with sync_playwright() as playwright:
        yield lambda path: playwright.chromium.launch(executable_path=path, args=FLAGS)


@pytest.fixture(scope="session")
def browser(launch: Callable[[str], Browser]) -> Iterator[Browser]:
    with launch(CHROMIUM) as chromium:
        yield chromium


@pytest.fixture
def desktop(launch: Callable[[str], Browser]) -> Iterator[Browser]:
    with launch(DESKTOP) as chromium:
        yield chromium


def _is_ours(text: str) -> bool:
    """Return whether a complaint is about our page, and not about an answer or cut of the test."""
    return not text.startswith(
        (
            "Failed to load resource",
            "Service Worker registration blocked",
            "An unknown error occurred when fetching the script",  # of a service worker in a cut
        )
    )


@dataclass
class Visitor:
    """Visitor that opens pages as one account and records complaints of the browser."""

    browser: Browser
    url: str
    state: dict[str, object] | None
    complaints: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def context(self, width: int = 1440, height: int = 900, **options: object) -> BrowserContext:
        settings = {
            "locale": "fr-FR",
            "viewport": {"width": width, "height": height},
            "base_url": self.url,
            "storage_state": self.state,
            "reduced_motion": "reduce",
        }
        made = self.browser.new_context(**settings | options)  # type: ignore[arg-type]
        made.set_default_timeout(STEP_MS)
        self.contexts.append(made)
        return made

    def page(
        self, path: str = "", *, context: BrowserContext | None = None, **options: object
    ) -> Page:
        page = (context or self.context(**options)).new_page()  # type: ignore[arg-type]
        page.on(
            "console",
            lambda m: (
                self.complaints.append(m.text)
                if m.type in ("error", "warning") and _is_ours(m.text)
                else None
            ),
        )
        page.on("pageerror", lambda e: self.complaints.append(str(e)))
        if path:
            page.goto(path)
        return page


Accounts = Callable[..., Visitor]


@pytest.fixture(scope="session")
def _states() -> dict[str, dict[str, object]]:
    return {}


@pytest.fixture
def visitor(
    vigie: RunningVigie, browser: Browser, _states: dict[str, dict[str, object]]
) -> Iterator[Accounts]:
    """Return a factory of visitors, such as `visitor("coordinator", duty="coordinateur_pca")`.

    `visitor("site_manager", sites=("cen-1",))` is limited to its sites, `visitor(None)` is a
    stranger. At the end there must be no script error and no refusal by the content policy, unless
    the test removed the complaints.
    """
    with visiting(vigie, browser, _states) as visit:
        yield visit


@pytest.fixture(scope="module")
def reader(
    vigie: RunningVigie, browser: Browser, _states: dict[str, dict[str, object]]
) -> Iterator[Accounts]:
    """Return a factory like `visitor`, with one visitor per account for all tests of a module.

    For tests that only read: the browser keeps the files and scripts of earlier pages.
    """
    with visiting(vigie, browser, _states) as visit:
        visitors: dict[str, Visitor] = {}

        def find(*role: str | None, **account: Any) -> Visitor:
            key = repr((role, account))
            if key not in visitors:
                visitors[key] = visit(*role, **account)
            return visitors[key]

        yield find


@contextmanager
def visiting(
    vigie: RunningVigie, browser: Browser, states: dict[str, dict[str, object]]
) -> Iterator[Accounts]:
    """Yield a factory of visitors; close their contexts and check their complaints at the end."""
    made: list[Visitor] = []

    def visit(
        role: str | None = "coordinator",
        *,
        duty: str | None = "coordinateur_pca",
        sites: tuple[str, ...] = (),
    ) -> Visitor:
        state = None
        if role is not None:
            key = f"{role} {' '.join(sites)}"
            if key not in states:
                states[key] = log_in(
                    vigie, browser, role, duty if role == "coordinator" else None, sites=sites
                )
            state = states[key]
        made.append(Visitor(browser, vigie.url, state))
        return made[-1]

    yield visit
    for one in made:
        for context in one.contexts:
            context.close()
    assert [c for one in made for c in one.complaints] == []


def new_code(
    vigie: RunningVigie,
    role: str,
    login: str,
    duty: str | None = None,
    person: str | None = None,
    sites: tuple[str, ...] = (),
) -> str:
    """Create a one-time code of a new account."""
    account = {
        "login": f"{login}-{token_hex(3)}",
        "role": role,
        "duty": duty,
        "person": person,
        "scope": {"sites": sites},
    }
    answer = vigie.http.post("/api/v1/users", json=account)
    assert answer.status_code < 300, answer.text
    return str(answer.json()["code"])


def log_in(
    vigie: RunningVigie,
    browser: Browser,
    role: str,
    duty: str | None = None,
    person: str | None = None,
    sites: tuple[str, ...] = (),
) -> dict[str, object]:
    """Log in without a page and return the state that a browser keeps."""
    code = new_code(vigie, role, f"nav-{role}", duty, person, sites)
    context = browser.new_context(base_url=vigie.url, locale="fr-FR")
    answer = context.request.post("/connexion", form={"code": code}, max_redirects=0)
    assert answer.status == 303, answer.text()
    state = context.storage_state()
    context.close()
    return dict(state)


@pytest.fixture
def own_realm(vigie: RunningVigie, request: pytest.FixtureRequest) -> Iterator[str]:
    """Open a fresh exercise at speed 1 with the territory's data, for a test with changes."""
    with running_exercise(vigie, request.node.name) as name:
        yield name


@pytest.fixture(scope="module")
def place(vigie: RunningVigie, request: pytest.FixtureRequest) -> Iterator[str]:
    """Open one such exercise for the tests of a module that do not disturb one another."""
    with running_exercise(vigie, request.path.stem) as name:
        yield name


@pytest.fixture(scope="module")
def power_cut(vigie: RunningVigie, place: str) -> str:
    """Cut the power in the exercise of the tests that leave its plans as they are."""
    cut_power(vigie, place)
    return place


@pytest.fixture
def same_page(vigie: RunningVigie, power_cut: str, visitor: Accounts) -> Page:
    """Open the incident that other tests open, too."""
    return open_incident(vigie, visitor, power_cut)


@contextmanager
def running_exercise(
    vigie: RunningVigie, test: str, *responders: dict[str, object]
) -> Iterator[str]:
    """Yield the name of a fresh exercise at speed 1; its people answer as `responders` say.

    It is paused after the block: every second a running exercise gives each part of the shared
    system some work, and the other tests wait for what is left.
    """
    name = _open_exercise(vigie, test, responders)
    try:
        yield name
    finally:
        with suppress(httpx.TransportError):
            vigie.http.post(f"/api/v1/realms/{name}/pause", headers={"Prefer": "wait=0"})


def _open_exercise(
    vigie: RunningVigie, test: str, responders: tuple[dict[str, object], ...]
) -> str:
    name = f"92~ex-{test.replace('_', '-').removeprefix('test-')[:32]}-{token_hex(3)}"
    body = {
        "id": name,
        "title_code": "ESSAI",
        "started_at": "2027-02-11T09:40:00+01:00",
        "speed": 1,
        "responders": responders,
    }
    answer = vigie.http.post("/api/v1/realms", json=body, headers={"Prefer": "wait=20"})
    assert answer.status_code == 200, answer.text
    going = vigie.http.post(
        f"/api/v1/realms/{name}/step", json={"minutes": 600}, headers={"Prefer": "wait=0"}
    )
    assert going.status_code == 202, going.text
    return name


def report(
    vigie: RunningVigie,
    realm: str,
    site: str,
    kind: str = "outage_power",
    severity: int = 4,
    lost: int = 100,
) -> str:
    """Report as a site, over HTTP."""
    body = {
        "realm": realm,
        "site_id": site,
        "type": kind,
        "severity": severity,
        "capacity_lost_pct": lost,
        "occurred_at": "2027-02-11T09:40:00+01:00",
        "source": {"name": "supervision"},
    }
    answer = vigie.http.post("/api/v1/reports", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["report_id"])


def cut_power(vigie: RunningVigie, realm: str) -> None:
    """Report a power cut at three central sites."""
    for site in ("cen-1", "cen-2", "cen-3"):
        report(vigie, realm, site)


def open_incident(vigie: RunningVigie, visitor: Accounts, realm: str) -> Page:
    """Open the page of the power cut as the coordinator."""
    until(lambda: vigie.get(f"/api/v1/incidents?realm={realm}")["items"])
    incident = vigie.get(f"/api/v1/incidents?realm={realm}")["items"][0]["id"]
    page = visitor().page(f"/incidents/{incident}?realm={realm}")
    expect(page.locator("#plans")).to_contain_text("PT-ELEC")
    page.wait_for_load_state()  # keys and buttons work from then on
    return page
