"""Routes for realms: `/realms`. They open, step, pace and close simulated realms.

`vigie up` opens the live realm.
"""

import asyncio
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, Field, model_validator

from schemas.base import Command
from schemas.people.responders import Responder
from schemas.runtime import CloseRealm, OpenRealm, SetPace, StepRequested
from schemas.topics import MAX_STEP_MINUTES, RealmKind, RealmNameInvalid, is_live, parse_realm
from services.console.http.answers import DecisionRouter, build_answer, send_decision
from services.console.http.context import (
    AsOf,
    DecisionBody,
    DecisionContext,
    PageRequest,
    get_server_time,
    parse_time,
    require_decision,
    to_instant,
)
from services.console.http.decisions import CommandDispatcher, CommandOutcome
from services.console.read_model.queries import ReadModel
from services.console.resources import Page, Realm
from services.runtime.http.problems import ProblemError, build_field_problem
from services.runtime.identity.http_access import require_permission
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal
from services.territory import TerritoryInvalid, load_current_territory
from services.territory.publish import build_reference_commands

router = DecisionRouter(prefix="/api/v1/realms", tags=["realms"])
front_router = APIRouter()
LOG_WAIT_S: Final = 3.0
"""Longest wait for the read model to reach the end of the log."""
LOG_PAUSE_S: Final = 0.1
PictureReader = Annotated[Principal, Depends(require_permission(Permission.PICTURE_READ))]
RealmRunner = Annotated[
    DecisionContext, Depends(require_decision(Permission.REALM_RUN, whole_territory=True))
]
_KINDS = {
    "exercise": RealmKind.EXERCISE,
    "ex": RealmKind.EXERCISE,
    "what-if": RealmKind.WHAT_IF,
    "what": RealmKind.WHAT_IF,
    "test": RealmKind.TEST,
}
PUBLISH_WAIT_S = 10.0


class RealmCalendar(DecisionBody):
    """Days off of one simulated realm, instead of the territory's."""

    holidays: list[date] = Field(default_factory=list, max_length=1000)
    school_holidays: list[tuple[date, date]] = Field(
        default_factory=list, max_length=200, description="first and last day of each holiday"
    )

    @model_validator(mode="after")
    def _check_order(self) -> "RealmCalendar":
        if any(first > last for first, last in self.school_holidays):
            raise ValueError("school holidays end before they begin")
        return self


class RealmRequest(DecisionBody):
    id: str | None = Field(
        default=None,
        max_length=64,
        description="full name, e.g. `92~ex-7`; default: made from `kind`",
    )
    kind: Literal["exercise", "what-if", "test", "ex", "what"] | None = Field(
        default=None, description="default: exercise"
    )
    title_code: str = Field(
        default="exercise",
        max_length=32,
        pattern="^[0-9A-Za-z._-]+$",
        description="scenario id or another short code",
    )
    started_at: AwareDatetime | None = Field(
        default=None, description="start of the simulated clock; default: now"
    )
    speed: float | None = Field(
        default=None,
        gt=0,
        description="simulated seconds per real second; None = as fast as possible",
    )
    lineage: str | None = Field(
        default=None, max_length=64, description="realm in which this history began, for forks"
    )
    responders: list[Responder] = Field(
        default_factory=list,
        max_length=500,
        description="answers of simulated people; default: nobody answers",
    )
    calendar: RealmCalendar | None = Field(
        default=None, description="days off of this realm; default: those of the territory"
    )


class StepRequest(DecisionBody):
    to: AwareDatetime | None = None
    minutes: float | None = Field(
        default=None,
        gt=0,
        le=MAX_STEP_MINUTES,
        description="duration from the clock of the realm, instead of `to`",
    )

    @model_validator(mode="after")
    def _one(self) -> "StepRequest":
        if (self.to is None) == (self.minutes is None):
            raise ValueError("give `to` or `minutes`")
        return self


class PaceRequest(DecisionBody):
    paused: bool | None = Field(default=None, description="false resumes the clock, like `resume`")
    speed: float | None = Field(default=None, gt=0)


@router.get(
    "", summary="List the realms: live ones first, then the newest; `as_of` leaves out later ones"
)
async def list_realms(
    request: Request, part: PageRequest, principal: PictureReader, as_of: AsOf = None
) -> Page[Realm]:
    model: ReadModel = request.app.state.model
    return part.of(
        [
            r
            for r in await model.realms(as_of=parse_time(as_of) if as_of else None)
            if principal.sees(r.name)
        ]
    )


@router.get("/{name}", summary="Show one realm")
async def get_realm(
    request: Request, name: str, principal: PictureReader, as_of: AsOf = None
) -> Realm:
    if not principal.sees(name):
        raise ProblemError("out_of_scope", field="realm")
    model: ReadModel = request.app.state.model
    return await model.of(name).at(parse_time(as_of) if as_of else None).realm()


@router.decision("", "Open a simulated realm and give it the territory's reference data")
async def open_realm(
    author: RealmRunner, request: Request, body: RealmRequest | None = None
) -> Response:
    body = body or RealmRequest()
    folder: Path = request.app.state.territory
    decisions: CommandDispatcher = request.app.state.decisions
    realm = _choose_name(body, folder.name, decisions.realm_id(author.principal, author.key))
    if not author.principal.sees(realm):
        raise ProblemError("out_of_scope", field="id")
    try:
        territory = await asyncio.to_thread(load_current_territory, folder)
    except TerritoryInvalid as error:
        raise ProblemError("conflict", what=f"{folder.name}: {error.problems[0]}") from None
    if body.calendar is not None:
        spans = [
            (first.isoformat(), last.isoformat()) for first, last in body.calendar.school_holidays
        ]
        territory = territory.with_calendar(
            [day.isoformat() for day in body.calendar.holidays], spans
        )
    started_at = to_instant(body.started_at or get_server_time())

    def make(by: str, role: str, reason: str | None) -> Command:
        return OpenRealm(
            author=by,
            role=role,
            reason=reason,
            territory=territory.code,
            title_code=body.title_code,
            started_at=started_at,
            lineage=body.lineage,
            speed=body.speed,
            responders=tuple(
                r.model_dump(mode="json", exclude_defaults=True) for r in body.responders
            ),
        )

    opening = await decisions.decide(
        "alerts",
        realm,
        author.principal,
        make,
        reason=body.reason,
        key=author.key,
        wait_s=author.wait_s,
    )
    if opening.answer is not None and opening.answer["state"] != "applied":
        return build_answer(request, opening, author.lang)
    # the console itself sends the reference data, independent of the author's rights
    commands = build_reference_commands(territory, realm, "system:console", "system")
    publication = await decisions.send_all(
        "alerts", realm, author.principal, commands, max(author.wait_s, PUBLISH_WAIT_S)
    )
    if publication.answer is not None and publication.answer["state"] != "applied":
        return build_answer(request, publication, author.lang)
    return build_answer(request, _combine_outcomes(opening, publication), author.lang)


def _combine_outcomes(opening: CommandOutcome, publication: CommandOutcome) -> CommandOutcome:
    """Return the outcome of opening a realm: pending until its reference data are published."""
    if opening.answer is None or publication.answer is None:
        return CommandOutcome(opening.id, opening.realm, None)
    return opening


def _choose_name(body: RealmRequest, territory: str, id: str) -> str:
    """Return the name of the new realm, built from `id` if the body has none.

    Raises ProblemError `invalid`.
    """
    kind = _KINDS[body.kind or "exercise"]
    name = body.id or body.realm or f"{territory}~{kind}-{id}"
    try:
        own, realm_kind, _ = parse_realm(name)
    except RealmNameInvalid:
        raise _make_invalid(
            "id",
            "n’est pas un nom de territoire d’exercice (92~ex-…)",
            "is not the name of a simulated realm (92~ex-…)",
        ) from None
    if is_live(name):
        raise _make_invalid(
            "id",
            "le territoire réel est ouvert par « vigie up »",
            "the live realm is opened by `vigie up`",
        )
    if own != territory:
        raise _make_invalid(
            "id", f"le territoire doit être {territory}", f"the territory must be {territory}"
        )
    if body.kind is not None and realm_kind is not kind:
        raise _make_invalid("kind", "ne correspond pas au nom", "does not fit the name")
    return name


def _make_invalid(field: str, fr: str, en: str) -> ProblemError:
    return build_field_problem(field, "realm", fr, en)


@router.decision(
    "/{name}/step",
    "Move the clock; answers after all deadlines until then have fired (`Prefer: wait=N`)",
)
async def step_realm(author: RealmRunner, name: str, body: StepRequest) -> Response:
    if body.to is not None:
        to = to_instant(body.to)
    else:
        assert body.minutes is not None
        to = to_instant((await author.model.of(name).realm()).clock) + int(body.minutes * 60_000)
    return await _decide(author, name, body, StepRequested, to=to)


@router.decision("/{name}/pause", "Stop the clock of a simulated realm")
async def pause_realm(author: RealmRunner, name: str, body: PaceRequest | None = None) -> Response:
    is_paused = body is None or body.paused is not False
    return await _decide(
        author, name, body, SetPace, paused=is_paused, speed=await _get_speed(author, name, body)
    )


@router.decision("/{name}/resume", "Resume the clock of a simulated realm, at a speed")
async def resume_realm(author: RealmRunner, name: str, body: PaceRequest | None = None) -> Response:
    return await _decide(
        author, name, body, SetPace, paused=False, speed=await _get_speed(author, name, body)
    )


async def _get_speed(author: DecisionContext, realm: str, body: PaceRequest | None) -> float | None:
    """Return the requested speed, or the current speed of the realm."""
    if body is not None and "speed" in body.model_fields_set:
        return body.speed
    return (await author.model.of(realm).realm()).speed


@router.decision(
    "/{name}/close",
    "Close a simulated realm: it stays readable, without further reports or decisions",
)
async def close_realm(author: RealmRunner, name: str, body: DecisionBody | None = None) -> Response:
    if is_live(name):
        raise _make_invalid(
            "realm", "un territoire réel ne se ferme pas ici", "a live realm is not closed here"
        )
    return await _decide(author, name, body, CloseRealm)


async def _decide(
    author: DecisionContext,
    realm: str,
    body: DecisionBody | None,
    kind: type[Command],
    **fields: Any,
) -> Response:
    decision_body = DecisionBody(realm=realm, reason=body.reason if body else None)
    return await send_decision(
        author.within(DecisionBody(realm=realm)), decision_body, "alerts", kind, **fields
    )


@front_router.get("/realm.json", include_in_schema=False)
async def get_realm_state(request: Request, name: str) -> dict[str, bool | None]:
    """Return whether a realm was ever opened, and whether it is closed, for the front.

    `known` is null if the log is not all read.
    """
    state = request.app.state
    is_known, is_closed = await find_realm(state.model.of(name), state.kafka)
    return {"known": is_known, "closed": is_closed}


async def find_realm(model: ReadModel, kafka: str) -> tuple[bool | None, bool]:
    """Return whether the realm was ever opened, and whether it is closed.

    An unknown realm, perhaps opened a moment ago on another machine, is looked for until the read
    model has reached what is the end of the log now; None if that takes too long.
    """
    realm_state, _ = await model.find_own_realm()
    if realm_state is not None:
        return True, realm_state == "closed"
    end = await model.find_log_end(kafka)
    try:
        async with asyncio.timeout(LOG_WAIT_S):
            while True:
                realm_state, position = await model.find_own_realm()
                if realm_state is not None or position >= end:
                    return realm_state is not None, realm_state == "closed"
                await asyncio.sleep(LOG_PAUSE_S)
    except TimeoutError:
        return None, False
