"""Readers of names see other readers of the page until their browser falls silent."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from fastapi import FastAPI

from schemas.people.directory import Contact
from services.console.live.api import shorten_person_name
from services.console.live.presence import BEAT_S, KEPT_MS, Entry, PresenceStore
from services.console.live.row_events import list_hidden_events
from services.console.read_model.store import Client
from services.runtime.identity.permissions import PERMISSIONS_BY_ROLE, Role
from services.runtime.identity.principals import Principal
from tests.unit.console.held import Browser, browsing
from tests.unit.console.test_every_screen import REALM, crisis


class Memory:
    """Client with the commands of presence: a sorted set per key and entries of streams."""

    def __init__(self) -> None:
        self.sets: dict[str, dict[bytes, int]] = {}
        self.announced: list[str] = []

    async def zadd(self, key: str, members: Mapping[str, int]) -> int:
        scores = self.sets.setdefault(key, {})
        new = [m for m in members if m.encode() not in scores]
        scores.update({m.encode(): score for m, score in members.items()})
        return len(new)

    async def zrem(self, key: str, *members: str | bytes) -> int:
        scores = self.sets.get(key, {})
        names = [m if isinstance(m, bytes) else m.encode() for m in members]
        return sum(scores.pop(name, None) is not None for name in names)

    async def zrangebyscore(self, key: str, low: str | int, high: str | int) -> list[bytes]:
        least = float("-inf") if low == "-inf" else float(str(low).strip("("))
        most = float("inf") if high == "+inf" else float(high)
        scored_members = [
            (score, m)
            for m, score in self.sets.get(key, {}).items()
            if least < score <= most or low == score == high
        ]
        return [m for _, m in sorted(scored_members)]

    async def pexpire(self, _key: str, _ms: int) -> None:
        """Expire the whole set with its last entry."""

    async def xadd(self, _stream: str, fields: Mapping[str, str], **_more: object) -> None:
        self.announced += [places for name, places in fields.items() if name == "presence"]


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


def present(client: Client | None = None) -> tuple[PresenceStore, Memory, Clock]:
    memory, clock = client or Memory(), Clock()
    return PresenceStore(memory, clock), memory, clock


async def test_only_arrivals_and_departures_are_announced() -> None:
    """A word every few seconds from each browser must not make every other browser ask again."""
    presence, memory, clock = present()
    one = Entry("cell", "a-1")
    await presence.enter(REALM, one)
    for _ in range(4):
        clock.ms += BEAT_S * 1000
        await presence.enter(REALM, one)
    assert memory.announced == ["cell"]
    await presence.leave(REALM, one)
    await presence.leave(REALM, one)
    assert memory.announced == ["cell", "cell"]
    assert await presence.entries(REALM) == []


async def test_a_dead_browser_disappears_after_two_missed_beats() -> None:
    presence, memory, clock = present()
    await presence.enter(REALM, Entry("incident:i-1", "a-1"))
    await presence.enter(REALM, Entry("cell", "a-2"))
    clock.ms += BEAT_S * 1000
    await presence.enter(REALM, Entry("cell", "a-2"))
    clock.ms += KEPT_MS - BEAT_S * 1000
    assert await presence.entries(REALM) == [Entry("cell", "a-2")]
    memory.announced.clear()
    await presence.enter(REALM, Entry("cell", "a-2"))
    assert memory.announced == ["incident:i-1"]


async def test_realms_do_not_share_presence() -> None:
    presence, _, _ = present()
    await presence.enter(REALM, Entry("cell", "a-1"))
    assert await presence.entries("92") == []


class Accounts:
    """Principals by id, as the access store has them."""

    def __init__(self, *principals: Principal) -> None:
        self._known = {p.id: p for p in principals}
        self.traces: list[str] = []

    def trace(self, _author: Principal, act: str, _about: str = "") -> None:
        self.traces.append(act)

    def principal(self, id: str) -> Principal | None:
        return self._known.get(id)

    def all(self, kind: type[Principal]) -> list[Principal]:
        return [p for p in self._known.values() if isinstance(p, kind)]

    def bearer(self, _token: str) -> None:
        return None

    async def authenticate_bearer(self, _token: str) -> None:
        return None


class People:
    home_realm = "92"

    def of(self, realm: str) -> People:  # noqa: ARG002
        return self

    async def get(self, person: str) -> Contact | None:
        return Contact(person=person, name="Camille Moreau") if person == "p-1" else None


def watched() -> tuple[Browser, PresenceStore]:
    browser, _ = browsing(crisis())
    app: FastAPI = browser.app
    presence, _, _ = present()
    app.state.presence, app.state.directory = presence, People()
    app.state.access = Accounts(
        Principal(id="cell-1", role=Role.CELL, person="p-1", duty="cellule_situation"),
        Principal(id="coordinator-1", role=Role.COORDINATOR),
        Principal(id="cell-9", role=Role.CELL, disabled_at=1),
        Principal(id="site_manager-1", role=Role.SITE_MANAGER),
    )
    return browser, presence


async def _here(browser: Browser, role: str, place: str, **more: object) -> dict[str, object]:
    answer = await browser.post(
        f"/api/v1/presence?realm={REALM}", {"place": place, **more}, role=role
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_two_people_on_one_incident_see_each_other_and_not_themselves() -> None:
    browser, _ = watched()
    assert (await _here(browser, "cell", "incident:i-1"))["people"] == []
    presence = await _here(browser, "coordinator", "incident:i-1")
    assert presence["people"] == [
        {"name": "Camille M.", "role": "Situation", "places": ["incident:i-1"]}
    ]
    back = await browser.get(
        f"/api/v1/presence?realm={REALM}&place=incident:i-1", role="cell", accept="application/json"
    )
    assert [p["role"] for p in back.json()["people"]] == ["Coordonnateur PCA"]
    assert back.headers["cache-control"] == "no-store"
    await _here(browser, "coordinator", "incident:i-1", here=False)
    back = await browser.get(
        f"/api/v1/presence?realm={REALM}&place=incident:i-1", role="cell", accept="application/json"
    )
    assert back.json()["people"] == []


async def test_the_beat_of_a_page_leaves_no_trace_of_access() -> None:
    """D98: four traces a minute and page would hide the readers of a number."""
    browser, presence = watched()
    await _here(browser, "cell", "incident:i-1")
    assert "Camille M." in str(await _here(browser, "coordinator", "incident:i-1"))
    assert browser.app.state.access.traces == []
    assert {e.account for e in await presence.entries(REALM)} == {"cell-1", "coordinator-1"}


async def test_the_cell_sees_all_readers_and_an_incident_only_its_own() -> None:
    browser, _ = watched()
    await _here(browser, "cell", "incident:i-2")
    assert [p["places"] for p in (await _here(browser, "coordinator", "cell"))["people"]] == [
        ["incident:i-2"]
    ]
    assert (await _here(browser, "coordinator", "incident:i-1"))["people"] == []


async def test_only_active_accounts_of_the_cell_are_shown() -> None:
    browser, presence = watched()
    for account in ("cell-9", "site_manager-1", "nobody-1"):
        await presence.enter(REALM, Entry("cell", account))
    assert (await _here(browser, "coordinator", "cell"))["people"] == []


@pytest.mark.parametrize(
    "role", [r.value for r in Role if r not in (Role.ADMIN, Role.COORDINATOR, Role.CELL)]
)
async def test_presence_is_only_for_readers_of_names(role: str) -> None:
    browser, _ = watched()
    assert (
        await browser.post(f"/api/v1/presence?realm={REALM}", {"place": "cell"}, role=role)
    ).status_code == 403
    assert "presence" in list_hidden_events(PERMISSIONS_BY_ROLE[Role(role)].__contains__)
    if role not in ("kiosk", "source", "poster"):
        page = await browser.get(f"/?realm={REALM}&vue=a-traiter", role=role)
        assert "data-presence=" not in page.text


async def test_pages_of_the_cell_request_the_presence_of_others() -> None:
    browser, _ = watched()
    assert 'data-presence="cell"' in (await browser.get(f"/?realm={REALM}", role="cell")).text
    assert (
        'data-presence="incident:i-1"'
        in (await browser.get(f"/incidents/i-1?realm={REALM}", role="cell")).text
    )


@pytest.mark.parametrize("place", ["", "mur", "incident:", "incident:a b", "incident:" + "x" * 65])
async def test_a_place_without_a_page_is_refused(place: str) -> None:
    browser, _ = watched()
    answer = await browser.post(f"/api/v1/presence?realm={REALM}", {"place": place}, role="cell")
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("name", "short"),
    [("Camille Moreau", "Camille M."), ("Jean de La Tour", "Jean T."), ("Camille", "Camille")],
)
def test_a_name_is_shown_as_among_colleagues(name: str, short: str) -> None:
    assert shorten_person_name(name) == short
