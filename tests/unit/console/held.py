"""Realms in memory under the console's pages and routes, without Redis, Kafka or a browser."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import httpx2 as httpx
import orjson
from fastapi import FastAPI

from schemas.base import Command, Instant, Model
from schemas.people.directory import Contact
from services.console.app import add_routes, create_app
from services.console.documents.pdf import Typesetter
from services.console.http.decisions import CommandOutcome
from services.console.http.fair_queue import ExpensiveWork
from services.console.http.problems import RealmUnknown
from services.console.logbook.lines import LineRecord
from services.console.messages.answer_page import AnswerPage, KeepAnswer, SendAnswer
from services.console.read_model.queries import ReadModel
from services.console.read_model.query_base import limit_to_present
from services.console.read_model.reference_index import NO_REFERENCE, IndexedReference
from services.console.read_model.shapes import build_realm as realm_resource
from services.console.read_model.snapshot import RealmSnapshot, SnapshotMembers, list_row_models
from services.console.read_model.store import build_realm_key, build_timeline_key
from services.console.resources import Realm
from services.console.sites.geometry import Outlines, load_outlines
from services.console.web.routes import RenderCache, build_pages_router
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Account, Principal, Scope, Trace
from services.runtime.identity.sessions import COOKIE
from services.runtime.identity.signed_links import AnswerLinks
from services.runtime.process.health import HealthChecks
from services.runtime.secrets.vault import TextItem
from tests.shipped import FOLDER, territory

Rows = dict[str, dict[str, Model]]
"""Collection → id → row."""


@cache
def outlines() -> Outlines:
    return load_outlines(FOLDER)


@cache
def reference() -> IndexedReference:
    return IndexedReference.of(
        territory().version,
        {str(n): s.model_dump(mode="json") for n, s in enumerate(territory().sections)},
    )


@dataclass
class Held:
    """One realm: its rows now, its lines and how it stands."""

    name: str
    rows: Rows = field(default_factory=dict)
    lines: list[LineRecord] = field(default_factory=list)
    clock: Instant = 0
    reference: IndexedReference = NO_REFERENCE
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def told(self) -> dict[str, Any]:
        """Fields as the projection keeps them."""
        began = self.fields.get("started_at", self.clock)
        return {
            "name": self.name,
            "territory": "92",
            "title_code": "S04",
            "state": "open",
            "started_at": began,
            "opened_at": began,
            "began_at": began,
            "lineage": self.name,
            "reference": self.reference.version,
            "reference_at": began,
            **self.fields,
        }

    def put(self, collection: str, row: Mapping[str, Any]) -> None:
        """Put a row, by its `id`."""
        made = list_row_models()[collection].model_validate(row)
        self.rows.setdefault(collection, {})[str(row["id"])] = made


class _Picture(RealmSnapshot):
    def __init__(self, held: Held, at: Instant | None) -> None:
        super().__init__(held.name, held.told, held.clock, held.reference, at)
        self._rows = held.rows

    async def raw_rows(self, collection: str) -> Mapping[str, Model]:
        return self._rows.get(collection, {})

    async def members_of(self, causes: Sequence[str]) -> dict[str, SnapshotMembers]:  # noqa: ARG002  rows name all
        return {}

    async def raw_some(self, collection: str, ids: Sequence[str]) -> Mapping[str, Model]:
        rows = self._rows.get(collection, {})
        return {id: rows[id] for id in ids if id in rows}

    async def reports_of(self, incident: str) -> list[str]:
        reports = cast("dict[str, Any]", self._rows.get("reports", {}))
        return [
            r.id
            for r in sorted(reports.values(), key=lambda r: (r.recorded_at, r.id))
            if r.incident == incident
        ]

    async def feeds(self) -> Mapping[str, Instant]:
        return {
            f"source:{cast('Any', r).source}": cast("Any", r).recorded_at
            for r in self._rows.get("reports", {}).values()
        }

    async def count(self, collection: str) -> int:
        return len(self._rows.get(collection, {}))


class _Redis:
    """Client with the commands that queries use: lines, without other data."""

    def __init__(self, realms: Mapping[str, Held]) -> None:
        self._realms = realms
        self.hashes: dict[str, dict[str, bytes]] = {}

    async def zrange(
        self, index: str, upper: str, _lower: str, *, offset: int, num: int, **_more: Any
    ) -> list[bytes]:
        line_keys = [
            line.key
            for realm_state in self._realms.values()
            for line in realm_state.lines
            if index
            in (
                build_realm_key(realm_state.name, "timeline"),
                build_timeline_key(realm_state.name, line.incident or ""),
            )
        ]
        below = sorted((k for k in line_keys if upper == "+" or k < upper[1:]), reverse=True)
        return [k.encode() for k in below[offset : offset + num]]

    async def hmget(self, key: str, names: Sequence[str | bytes]) -> list[bytes | None]:
        lines_by_key = {
            line.key: orjson.dumps(line.dump())
            for realm_state in self._realms.values()
            if key == build_realm_key(realm_state.name, "lines")
            for line in realm_state.lines
        }
        return [lines_by_key.get(n.decode() if isinstance(n, bytes) else n) for n in names]

    async def hget(self, key: str, name: str) -> bytes | None:
        return self.hashes.get(key, {}).get(name)

    async def get(self, _key: str) -> None:
        return None

    async def mget(self, names: Sequence[str]) -> list[None]:
        return [None] * len(names)


class Words:
    """Free texts by id."""

    def __init__(self) -> None:
        self.kept: dict[str, TextItem] = {}

    def get_many(self, text_ids: Sequence[str]) -> dict[str, TextItem]:
        return {id: self.kept[id] for id in text_ids if id in self.kept}

    def ids(self, prefix: str = "") -> list[str]:
        return [id for id in self.kept if id.startswith(prefix)]


class HeldModel(ReadModel):
    """The queries over realms in memory; a time that is over reads the same rows."""

    def __init__(self, *realms: Held) -> None:
        self.held = {one.name: one for one in realms}
        self.words = Words()
        self.redis = _Redis(self.held)
        super().__init__(self.redis, outlines(), texts=self.words)

    async def _picture(self, realm: str, as_of: Instant | None) -> RealmSnapshot:
        if realm not in self.held:
            raise RealmUnknown
        realm_state = self.held[realm]
        as_of = limit_to_present(realm, as_of, realm_state.clock)
        if as_of is not None and as_of < realm_state.told["began_at"]:
            raise RealmUnknown
        return _Picture(realm_state, as_of)

    async def epoch(self) -> str:
        return "e1"

    async def realms(self, *, as_of: Instant | None = None) -> list[Realm]:
        return [
            realm_resource(one.told, one.clock)
            for one in self.held.values()
            if as_of is None or one.told["opened_at"] <= as_of
        ]


@dataclass(frozen=True)
class _Session:
    principal: Principal
    enrolling: bool = False


class _Sessions:
    """Sessions from cookies with role, person and scope.

    Examples: `site_manager@pmi-01`, `director@pole:education`, `coordinator~bob`.
    """

    def read(self, cookie: str | None) -> _Session | None:
        if not cookie:
            return None
        account, _, held_to = cookie.partition("@")
        role, _, person = account.partition("~")
        kind, _, name = held_to.partition(":")
        if kind in ("pole", "realm"):
            scope = Scope(**{f"{kind}s": (name,)})
        else:
            scope = Scope(sites=tuple(held_to.split("+"))) if held_to else Scope()
        return _Session(
            Principal(id=f"{role}-{person or (2 if held_to else 1)}", role=Role(role), scope=scope)
        )

    def checks_csrf(self, *_args: object) -> bool:
        return True


class Deciding:
    """Decider that takes commands and keeps the requests."""

    def __init__(self) -> None:
        self.asked: list[Command] = []

    async def decide(
        self,
        _service: str,
        realm: str,
        principal: Principal,
        make: Any,
        *,
        reason: str | None = None,
        **_more: Any,
    ) -> CommandOutcome:
        command = make(principal.id, principal.acting_role, "text:t" if reason else None)
        assert command.model_dump_json(), "the topic takes it"
        self.asked.append(command)
        return CommandOutcome("cmd-1", realm, None)

    def command_id(self, *_: object) -> str:
        return "cmd-1"

    async def find_earlier_outcome(self, *_: object) -> None:
        """Return no earlier request of this key."""


class _Access:
    def __init__(self) -> None:
        self.traces: list[tuple[str, str, str]] = []
        self.kept: list[Any] = []
        """Accounts, principals and other records; acts are kept as they are recorded."""

    def all(self, kind: type) -> list[Any]:
        return [record for record in self.kept if isinstance(record, kind)]

    def bearer(self, _token: str) -> None:
        return None

    async def authenticate_bearer(self, _token: str) -> None:
        return None

    async def add_account(self, principal: Principal, login: str) -> None:
        self.kept += [principal, Account(id=principal.id, login=login)]

    async def issue_code(self, principal: str, *, expires_at: int) -> str:  # noqa: ARG002
        return f"CODE-{principal}"

    def trace(self, author: Principal, act: str, about: str = "") -> None:
        self.traces.append((author.id, act, about))
        at = int(time.time() * 1000)
        number = f"{len(self.traces):04d}"
        self.kept.append(Trace(id=number, at=at, author=author.id, act=act, about=about))


class People:
    """The encrypted directory, in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, Contact] = {}
        self.home_realm = "92"

    def of(self, realm: str) -> People:
        """Return the people of the home realm; another one has nobody."""
        return self if realm.partition("~")[0] == self.home_realm else People()

    def peek(self, person: str) -> Contact | None:
        return self.kept.get(person)

    async def get(self, person: str) -> Contact | None:
        return self.kept.get(person)

    def ids(self) -> list[str]:
        return list(self.kept)

    async def put_all(self, contacts: Sequence[Contact]) -> None:
        self.kept |= {contact.person: contact for contact in contacts}

    async def wait_until_current(self, _wait_s: float) -> bool:
        return True


class _Sources:
    async def of(self, _request: object) -> list[dict[str, Any]]:
        return []


async def _never(*_args: object) -> Any:
    raise AssertionError("no test answers a call here")


def application(
    model: ReadModel, links: AnswerLinks, send: SendAnswer = _never, keep: KeepAnswer = _never
) -> FastAPI:
    """Return the read-only console over a model."""
    app = create_app(HealthChecks())
    app.state.model, app.state.live_realm, app.state.access, app.state.sessions = (
        model,
        "92",
        _Access(),
        _Sessions(),
    )
    app.state.guest = app.state.oidc = None
    app.state.texts = Words()
    app.state.decisions = Deciding()
    app.state.cap_sender, app.state.sources, app.state.typesetter = (
        "vigie.92",
        _Sources(),
        Typesetter(outlines()),
    )
    app.state.costs, app.state.directory = ExpensiveWork(), People()
    app.state.costs, app.state.feed_status = ExpensiveWork(), Path("no watch here")
    app.state.last_backup = Path("no backup here")
    app.state.majority = Path("no cluster here")
    app.state.renders, app.state.answering = RenderCache(), AnswerPage(model, links, send, keep)
    add_routes(app, build_pages_router())
    return app


class Browser:
    """Client that requests pages and resources in a role."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.decisions: Deciding = app.state.decisions
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app, raise_app_exceptions=True),
            base_url="http://console",
        )

    async def get(
        self,
        path: str,
        *,
        role: str = "admin",
        lang: str = "fr",
        accept: str = "text/html",
        live: str = "",
    ) -> httpx.Response:
        """Get a page; `live` = as a page that refreshes itself."""
        headers = ({"X-Vigie-Live": live} if live else {}) | {
            "Cookie": f"{COOKIE}={role}",
            "Accept-Language": lang,
            "Accept": accept,
        }
        return await self._http.get(path, headers=headers)

    async def post(self, path: str, body: object = None, *, role: str = "admin") -> httpx.Response:
        if isinstance(body, dict) and "answer" in body and path.startswith("/a/"):
            return await self._http.post(path, data=body, follow_redirects=True)
        return await self._http.post(path, json=body, headers={"Cookie": f"{COOKIE}={role}"})

    async def post_text(self, path: str, text: str, *, role: str = "admin") -> httpx.Response:
        """Post JSON that was written before, such as one with half a character."""
        headers = {"Cookie": f"{COOKIE}={role}", "Content-Type": "application/json"}
        return await self._http.post(path, content=text, headers=headers)


LINKS: Final = AnswerLinks(b"k" * 32)


def browsing(
    *realms: Held, send: SendAnswer = _never, keep: KeepAnswer = _never
) -> tuple[Browser, HeldModel]:
    """Return a browser over these realms and its model.

    `send` and `keep` decide the outcome of an answer from a link of `LINKS`.
    """
    model = HeldModel(*realms)
    return Browser(application(model, LINKS, send, keep)), model
