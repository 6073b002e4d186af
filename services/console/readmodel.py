"""The typed query layer of the console: everything that REST, live stream and pages read goes through `ReadModel`.

Every method takes a realm and `as_of` (ms): None = now (Redis), else what was known at that time (fold of the logs).
`lang` is `fr` or `en`. Unknown realm: `RealmUnknown`; unknown id: `NotFound`. No method writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from schemas.base import Instant
from services.console.resources import (
    Activity,
    Alarm,
    CommandResult,
    Commune,
    Escalation,
    Explanation,
    Flag,
    Hold,
    Incident,
    LevelState,
    Line,
    Map,
    Notification,
    Overview,
    Page,
    Plan,
    Pole,
    Realm,
    Report,
    Site,
    Task,
)


class Queries(Protocol):
    """What `ReadModel` offers. `limit` ≤ 1000; `cursor` is the `next` of the page before."""

    async def realms(self) -> list[Realm]: ...
    async def realm(self, realm: str) -> Realm: ...
    async def overview(self, realm: str, *, as_of: Instant | None = None, lang: str = "fr") -> Overview: ...

    async def incidents(
        self, realm: str, *, as_of: Instant | None = None, lang: str = "fr", status: Sequence[str] = (), level: int | None = None,
        site: str | None = None, pole: str | None = None, commune: str | None = None, type: str | None = None, q: str | None = None,
        limit: int = 100, cursor: str | None = None,
    ) -> Page[Incident]: ...  # fmt: skip
    async def incident(self, realm: str, id: str, *, as_of: Instant | None = None, lang: str = "fr") -> Incident: ...
    async def explain(self, realm: str, id: str, *, as_of: Instant | None = None, lang: str = "fr") -> Explanation: ...
    async def timeline(
        self, realm: str, *, as_of: Instant | None = None, lang: str = "fr", incident: str | None = None, kind: Sequence[str] = (),
        texts: bool = False, limit: int = 100, cursor: str | None = None,
    ) -> Page[Line]: ...  # fmt: skip

    """Newest first. `texts`: the reader may read free text (notes, reasons)."""

    async def sites(
        self, realm: str, *, as_of: Instant | None = None, lang: str = "fr", status: Sequence[str] = (), kind: str | None = None,
        pole: str | None = None, commune: str | None = None, incident: str | None = None, q: str | None = None,
        limit: int = 1000, cursor: str | None = None,
    ) -> Page[Site]: ...  # fmt: skip
    async def site(self, realm: str, id: str, *, as_of: Instant | None = None, lang: str = "fr") -> Site: ...
    async def activities(
        self, realm: str, *, as_of: Instant | None = None, lang: str = "fr", state: Sequence[str] = (), pole: str | None = None,
        criticality: int | None = None, incident: str | None = None, limit: int = 1000, cursor: str | None = None,
    ) -> Page[Activity]: ...  # fmt: skip
    async def activity(self, realm: str, id: str, *, as_of: Instant | None = None, lang: str = "fr") -> Activity: ...
    async def alarms(self, realm: str, *, as_of: Instant | None = None, lang: str = "fr") -> list[Alarm]: ...
    async def plans(
        self, realm: str, *, as_of: Instant | None = None, lang: str = "fr", state: Sequence[str] = (), incident: str | None = None,
        pole: str | None = None, limit: int = 1000, cursor: str | None = None,
    ) -> Page[Plan]: ...  # fmt: skip
    async def plan(self, realm: str, id: str, *, as_of: Instant | None = None, lang: str = "fr") -> Plan: ...
    async def poles(self, realm: str, *, as_of: Instant | None = None, lang: str = "fr") -> list[Pole]: ...
    async def communes(self, realm: str, *, as_of: Instant | None = None, lang: str = "fr") -> list[Commune]: ...
    def map(self) -> Map: ...
    async def tasks(
        self, realm: str, *, as_of: Instant | None = None, lang: str = "fr", state: Sequence[str] = (), kind: str | None = None,
        incident: str | None = None, site: str | None = None, limit: int = 1000, cursor: str | None = None,
    ) -> Page[Task]: ...  # fmt: skip
    async def notifications(
        self, realm: str, *, as_of: Instant | None = None, lang: str = "fr", state: Sequence[str] = (), incident: str | None = None,
        escalation: str | None = None, role: str | None = None, person: str | None = None, limit: int = 100, cursor: str | None = None,
    ) -> Page[Notification]: ...  # fmt: skip
    async def notification(self, realm: str, id: str, *, as_of: Instant | None = None, lang: str = "fr") -> Notification: ...
    async def escalations(
        self, realm: str, *, as_of: Instant | None = None, lang: str = "fr", state: Sequence[str] = (), incident: str | None = None,
        limit: int = 100, cursor: str | None = None,
    ) -> Page[Escalation]: ...  # fmt: skip
    async def escalation(self, realm: str, id: str, *, as_of: Instant | None = None, lang: str = "fr") -> Escalation: ...
    async def report(self, realm: str, id: str, *, as_of: Instant | None = None, lang: str = "fr", texts: bool = False) -> Report: ...
    async def levels(self, realm: str, *, as_of: Instant | None = None, lang: str = "fr") -> list[LevelState]: ...
    async def flags(self, realm: str, *, as_of: Instant | None = None, lang: str = "fr") -> list[Flag]: ...
    async def hold(self, realm: str, *, as_of: Instant | None = None) -> Hold: ...
    async def command(self, id: str, *, lang: str = "fr") -> CommandResult | None: ...


class RealmUnknown(LookupError):
    """No such realm has been opened here (or its opening has not been projected yet)."""


class NotFound(LookupError):
    """This realm holds no such resource at that time."""
