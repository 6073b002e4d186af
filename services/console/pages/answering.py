"""`/a/{token}`: answer a call from a link, without a login. Opening the page never answers (DOMAIN D33)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import Request

from schemas.callouts import HEADCOUNT_KEYS, HeadcountAnswer
from schemas.words import Answer, NotificationState
from services.console.i18n import translator
from services.console.pages import times
from services.console.pages.shell import TERRITORY, Choice
from services.console.readmodel import Queries
from services.console.resources import CommandResult
from services.console.texts import words as w
from services.runtime.links import AckLinks, Link, LinkInvalid
from services.runtime.problems import ProblemError

HEADCOUNT = "headcount"
"""Template of « are you safe? »."""
SendAnswer = Callable[[Link, str, Answer], Awaitable[CommandResult]]
"""Records the answer that a token gives; the same token again has no second effect."""
KeepAnswer = Callable[[str, HeadcountAnswer], Awaitable[None]]
"""Keeps the single answer of a headcount, encrypted, before it is said that there was one (D37)."""


class Answering:
    def __init__(self, queries: Queries, links: AckLinks, send: SendAnswer, keep: KeepAnswer) -> None:
        self._queries, self._links, self._send, self._keep = queries, links, send, keep

    def link(self, token: str) -> Link:
        """What the token says. Raises ProblemError `link_invalid` when it is forged, cut or over."""
        try:
            return self._links.read(token, times.ms(datetime.now(UTC)))
        except LinkInvalid as error:
            raise ProblemError("link_invalid") from error

    async def page(self, request: Request, token: str, *, refusal: str = "") -> dict[str, Any]:
        """`ack.html`."""
        link = self.link(token)
        choice = Choice.of(request)
        _ = translator(choice.lang)
        told = await self._queries.notification(link.realm, link.notification, lang=choice.lang)
        realm = await self._queries.realm(link.realm)
        names = (await self._queries.reference(link.realm)).names
        now = realm.clock if realm.simulated else datetime.now(UTC)
        wave = None
        if told.escalation is not None:
            ladder = await self._queries.escalation(link.realm, told.escalation, lang=choice.lang)
            wave = next((x for x in ladder.waves if x.wave == told.wave and x.cycle == told.cycle), None)
        answered = told.answer if told.state is NotificationState.ANSWERED else None
        return {
            "token": token, "headcount": told.template == HEADCOUNT, "simulated": realm.simulated, "territory": TERRITORY.get(realm.territory, realm.territory), "level": told.level,
            "previous": told.previous_level, "role": w.role_name(told.role, told.scope, names, _), "called_at": told.planned_at,
            "called_day": times.local(told.planned_at).strftime("%d/%m"), "waited": times.lasted(now - told.planned_at, choice.lang),
            "deputy_at": told.ack_by if told.ack_by and told.ack_by > now else None, "answered": answered, "answered_at": told.acknowledged_at,
            "refusal": refusal, "positive": wave.positive if wave else 0, "expected": wave.expected if wave else 0,
            "expires_at": datetime.fromtimestamp(link.expires_at / 1000, UTC),
        }  # fmt: skip

    async def answer(self, request: Request, token: str, said: str) -> dict[str, Any]:
        """Records the answer of the button, then the page again. Raises ProblemError."""
        link = self.link(token)
        if (safety := HEADCOUNT_KEYS.get(said)) is not None:
            told = await self._queries.notification(link.realm, link.notification)
            if told.template != HEADCOUNT:
                raise ProblemError("link_invalid")
            await self._keep(link.notification, safety)
            said = Answer.ACK.value
        if said not in tuple(Answer):
            raise ProblemError("link_invalid")
        result = await self._send(link, token, Answer(said))
        context = await self.page(request, token, refusal=(result.detail or "") if result.state in ("refused", "failed") else "")
        if result.state == "applied" and context["answered"] is None:
            context |= {"answered": said, "answered_at": None}
        return context
