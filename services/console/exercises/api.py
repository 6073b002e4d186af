"""Routes for realms: `/realms`. They open, step, pace and close simulated realms.

`vigie up` opens the live realm.
"""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, Field, model_validator

from schemas.base import Command
from schemas.realms import MOST_MINUTES, RealmKind, RealmNameInvalid, is_live, parse_realm
from schemas.responders import Responder
from schemas.runtime import CloseRealm, OpenRealm, SetPace, StepRequested
from services.console.http.answers import RESPONSES, answer, decide
from services.console.http.context import (
    AsOf,
    Author,
    Body,
    Cut,
    deciding,
    instant,
    now,
    parse_time,
)
from services.console.http.decisions import Decisions, Outcome
from services.console.read_model.queries import ReadModel
from services.console.resources import Page, Realm
from services.runtime.http.problems import ProblemError, fault
from services.runtime.identity.http_access import allowed
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal
from services.territory import TerritoryInvalid, territory_now
from services.territory.publish import reference_commands

router = APIRouter(prefix="/api/v1/realms", tags=["realms"])
Reading = Annotated[Principal, Depends(allowed(Permission.PICTURE_READ))]
Running = Annotated[Author, Depends(deciding(Permission.REALM_RUN, whole_territory=True))]
_KINDS = {
    "exercise": RealmKind.EXERCISE,
    "ex": RealmKind.EXERCISE,
    "what-if": RealmKind.WHAT_IF,
    "what": RealmKind.WHAT_IF,
    "test": RealmKind.TEST,
}
PUBLISH_WAIT_S = 10.0


class RealmCalendar(Body):
    """Days off of one simulated realm, instead of the territory's."""

    holidays: list[date] = Field(default_factory=list, max_length=1000)
    school_holidays: list[tuple[date, date]] = Field(
        default_factory=list, max_length=200, description="first and last day of each"
    )

    @model_validator(mode="after")
    def _ordered(self) -> RealmCalendar:
        if any(first > last for first, last in self.school_holidays):
            raise ValueError("school holidays end before they begin")
        return self


class NewRealm(Body):
    id: str | None = Field(
        default=None,
        max_length=64,
        description="whole name, e.g. `92~ex-7`; made from `kind` when absent",
    )
    kind: Literal["exercise", "what-if", "test", "ex", "what"] | None = Field(
        default=None, description="exercise when absent"
    )
    title_code: str = Field(
        default="exercise",
        max_length=32,
        pattern="^[0-9A-Za-z._-]+$",
        description="scenario id or another short code",
    )
    started_at: AwareDatetime | None = Field(
        default=None, description="start of the simulated clock; now when absent"
    )
    speed: float | None = Field(
        default=None,
        gt=0,
        description="simulated seconds per real second; None = as fast as possible",
    )
    lineage: str | None = Field(
        default=None, max_length=64, description="realm where this history began, for forks"
    )
    responders: list[Responder] = Field(
        default_factory=list,
        max_length=500,
        description="how simulated people answer; nobody does by default",
    )
    calendar: RealmCalendar | None = Field(
        default=None, description="days off of this realm; the territory's when absent"
    )


class StepBody(Body):
    to: AwareDatetime | None = None
    minutes: float | None = Field(
        default=None, gt=0, le=MOST_MINUTES, description="from the realm's clock, instead of `to`"
    )

    @model_validator(mode="after")
    def _one(self) -> StepBody:
        if (self.to is None) == (self.minutes is None):
            raise ValueError("give `to` or `minutes`")
        return self


class Pace(Body):
    paused: bool | None = Field(
        default=None, description="`pause` with false lets the clock go on, as `resume` does"
    )
    speed: float | None = Field(default=None, gt=0)


@router.get(
    "",
    summary="Live realms first, then the newest; `as_of` leaves out those that were opened later",
)
async def listed(
    request: Request, part: Cut, principal: Reading, as_of: AsOf = None
) -> Page[Realm]:
    model: ReadModel = request.app.state.model
    return part.of(
        [
            r
            for r in await model.realms(as_of=parse_time(as_of) if as_of else None)
            if principal.sees(r.name)
        ]
    )


@router.get("/{name}")
async def one(request: Request, name: str, principal: Reading, as_of: AsOf = None) -> Realm:
    if not principal.sees(name):
        raise ProblemError("out_of_scope", field="realm")
    model: ReadModel = request.app.state.model
    return await model.realm(name, as_of=parse_time(as_of) if as_of else None)


@router.post(
    "",
    responses=RESPONSES,
    summary="Open a simulated realm and give it the territory's reference data",
)
async def open_realm(author: Running, request: Request, body: NewRealm | None = None) -> Response:
    body = body or NewRealm()
    folder: Path = request.app.state.territory
    decisions: Decisions = request.app.state.decisions
    realm = _name(body, folder.name, decisions.realm_id(author.principal, author.key))
    if not author.principal.sees(realm):
        raise ProblemError("out_of_scope", field="id")
    try:
        territory = await asyncio.to_thread(territory_now, folder)
    except TerritoryInvalid as error:
        raise ProblemError("conflict", what=f"{folder.name}: {error.problems[0]}") from None
    if body.calendar is not None:
        spans = [
            (first.isoformat(), last.isoformat()) for first, last in body.calendar.school_holidays
        ]
        territory = territory.with_calendar(
            [day.isoformat() for day in body.calendar.holidays], spans
        )
    started = instant(body.started_at or now())

    def make(by: str, role: str, reason: str | None) -> Command:
        return OpenRealm(
            author=by,
            role=role,
            reason=reason,
            territory=territory.code,
            title_code=body.title_code,
            started_at=started,
            lineage=body.lineage,
            speed=body.speed,
            responders=tuple(
                r.model_dump(mode="json", exclude_defaults=True) for r in body.responders
            ),
        )

    opened = await decisions.decide(
        "alerts",
        realm,
        author.principal,
        make,
        reason=body.reason,
        key=author.key,
        wait_s=author.wait_s,
    )
    if opened.answer is not None and opened.answer["state"] != "applied":
        return answer(request, opened, author.lang)
    # the console itself sends the reference data, independent of the author's rights
    commands = reference_commands(territory, realm, "system:console", "system")
    published = await decisions.send_all(
        "alerts", realm, author.principal, commands, max(author.wait_s, PUBLISH_WAIT_S)
    )
    if published.answer is not None and published.answer["state"] != "applied":
        return answer(request, published, author.lang)
    return answer(request, _opened(opened, published), author.lang)


def _opened(opened: Outcome, published: Outcome) -> Outcome:
    """Return the outcome of opening a realm: pending until its reference data are published."""
    if opened.answer is None or published.answer is None:
        return Outcome(opened.id, opened.realm, None)
    return opened


def _name(body: NewRealm, territory: str, id: str) -> str:
    """Return the name of the new realm, built from `id` if the body has none.

    Raises ProblemError `invalid`.
    """
    kind = _KINDS[body.kind or "exercise"]
    name = body.id or body.realm or f"{territory}~{kind}-{id}"
    try:
        own, found, _ = parse_realm(name)
    except RealmNameInvalid:
        raise _invalid(
            "id",
            "n’est pas un nom de territoire d’exercice (92~ex-…)",
            "is not the name of a simulated realm (92~ex-…)",
        ) from None
    if is_live(name):
        raise _invalid(
            "id",
            "le territoire réel est ouvert par « vigie up »",
            "the live realm is opened by `vigie up`",
        )
    if own != territory:
        raise _invalid(
            "id", f"le territoire doit être {territory}", f"the territory must be {territory}"
        )
    if body.kind is not None and found is not kind:
        raise _invalid("kind", "ne correspond pas au nom", "does not fit the name")
    return name


def _invalid(field: str, fr: str, en: str) -> ProblemError:
    return ProblemError("invalid", faults=(fault(field, "realm", fr, en),))


def _of(author: Author, realm: str) -> Author:
    """Return the author in the realm of the path."""
    return author.within(Body(realm=realm))


@router.post(
    "/{name}/step",
    responses=RESPONSES,
    summary="Move the clock; answered when every deadline on the way has fired (`Prefer: wait=N`)",
)
async def step(author: Running, name: str, body: StepBody) -> Response:
    if body.to is not None:
        to = instant(body.to)
    else:
        assert body.minutes is not None
        to = instant((await author.model.realm(name)).clock) + int(body.minutes * 60_000)
    return await _decide(author, name, body, StepRequested, to=to)


@router.post("/{name}/pause", responses=RESPONSES, summary="Stop its clock")
async def pause(author: Running, name: str, body: Pace | None = None) -> Response:
    paused = body is None or body.paused is not False
    return await _decide(
        author, name, body, SetPace, paused=paused, speed=await _speed(author, name, body)
    )


@router.post("/{name}/resume", responses=RESPONSES, summary="Let its clock go on, at a speed")
async def resume(author: Running, name: str, body: Pace | None = None) -> Response:
    return await _decide(
        author, name, body, SetPace, paused=False, speed=await _speed(author, name, body)
    )


async def _speed(author: Author, realm: str, body: Pace | None) -> float | None:
    """Return the requested speed, or the current speed of the realm."""
    if body is not None and "speed" in body.model_fields_set:
        return body.speed
    return (await author.model.realm(realm)).speed


@router.post(
    "/{name}/close", responses=RESPONSES, summary="No further report or decision; it stays readable"
)
async def close(author: Running, name: str, body: Body | None = None) -> Response:
    if is_live(name):
        raise _invalid(
            "realm", "un territoire réel ne se ferme pas ici", "a live realm is not closed here"
        )
    return await _decide(author, name, body, CloseRealm)


async def _decide(
    author: Author, realm: str, body: Body | None, kind: type[Command], **fields: Any
) -> Response:
    named = Body(realm=realm, reason=body.reason if body else None)
    return await decide(_of(author, realm), named, "alerts", kind, **fields)
