"""Plan messages that need no answer, and record withheld ones. Rules D44, D50, D64 and D65."""

from __future__ import annotations

from typing import Final

from schemas.alerts import IncidentRow
from schemas.base import HOUR_MS, Instant
from schemas.calling import NotificationPlanned, RoleUncovered
from schemas.maintenance import PagingWithheld
from schemas.words import Channel
from services.alerts.causes.suppression import behind
from services.alerts.decision import Draft
from services.alerts.escalation.oncall import channels, concerned_by, pair, role_of
from services.alerts.escalation.quiet_hours import quiet_until
from services.alerts.escalation.steps import running, values_of
from services.alerts.levels.levels import CRISIS, TERRITORY
from services.alerts.state import Hush

_CLOCK_ALARMS: Final = frozenset({"alarm_rto", "alarm_dmia", "forecast_rto", "forecast_dmia"})

OF_THE_CRISIS: Final = frozenset(
    {"plan_proposed", "stand_down_proposed", "card_overdue", "reassignment_proposed"}
)
"""Messages that name the gravest incident when they belong to no single one. Rule D70."""


def held_back(row: IncidentRow) -> Hush | None:
    """Return why nobody is called for an incident: planned works, or inhibition below N3.

    Rules D64 and D65.
    """
    return None if row.quiet == "inhibited" and row.level >= CRISIS else row.quiet


def withhold(draft: Draft, incident: str, template: str, roles: tuple[str, ...] = ()) -> None:
    """Record that a message was withheld. Rules D64 and D65."""
    quiet = draft.incident(incident).quiet
    if quiet is not None:
        draft.emit(
            PagingWithheld(
                incident=incident,
                quiet=quiet,
                by=behind(draft, incident),
                template=template,
                roles=roles,
            )
        )


def inform(
    draft: Draft,
    persons: tuple[str, ...],
    incident: str | None,
    template: str,
    values: dict[str, str | int | float | bool | None],
) -> None:
    """Plan a message to people that needs no answer."""
    for person in persons:
        by = channels(draft, person, (Channel.APP, Channel.SMS))
        if by:
            role = role_of(draft, person)
            draft.emit(
                NotificationPlanned(
                    notification=draft.derive("notification"),
                    incident=incident,
                    level=draft.level,
                    role=role,
                    person=person,
                    channels=by,
                    answer_expected=False,
                    template=template,
                    values=values_of(draft, incident) | values,
                    planned_at=draft.clock,
                    quiet_until=quiet_until(draft, person, role, draft.level),
                )
            )


def attend(
    draft: Draft,
    roles: tuple[str, ...],
    *,
    pole: str | None,
    site: str | None,
    incident: str | None,
    template: str,
    values: dict[str, str | int | float | bool | None],
) -> None:
    """Plan a message to each of these roles: alarms, overdue cards, proposals.

    Rules D44 and D50.
    """
    if incident is not None and held_back(draft.incident(incident)) is not None:
        withhold(draft, incident, template, roles)
        return
    about = incident if incident is not None or template not in OF_THE_CRISIS else _gravest(draft)
    for role in roles:
        told: set[str] = set()
        for scope in _scopes(draft, role, pole, site, incident):
            now = pair(draft, role, scope)
            ways = {
                p: channels(draft, p, (Channel.APP, Channel.SMS, Channel.VOICE))
                for p in (now.holder, now.deputy)
                if p is not None
            }
            person, by = next(((p, found) for p, found in ways.items() if found), (None, ()))
            if person is None:
                draft.emit(RoleUncovered(role=role, scope=scope or pole or site))
                continue
            if person in told:
                continue
            told.add(person)
            quiet, by = _held(draft, person, role, template, by)
            draft.emit(
                NotificationPlanned(
                    notification=draft.derive("notification"),
                    incident=incident,
                    level=draft.level,
                    role=role,
                    scope=scope,
                    person=person,
                    channels=by,
                    answer_expected=False,
                    template=template,
                    values=values_of(draft, about) | values,
                    planned_at=draft.clock,
                    quiet_until=quiet,
                )
            )


def _gravest(draft: Draft) -> str | None:
    """Return the open incident behind the level of the territory.

    Plans of no single incident are proposed for it.
    """
    rows = draft.incidents(draft.open_incidents)
    gravest = max(
        rows, key=lambda row: (row.level, row.severity, -row.opened_at, row.id), default=None
    )
    return None if gravest is None else gravest.id


def _held(
    draft: Draft, person: str, role: str, template: str, by: tuple[Channel, ...]
) -> tuple[Instant | None, tuple[Channel, ...]]:
    """Return until when a message is delayed, and its channels.

    Responders of the crisis get alarms of clocks hourly, without voice. Rule D73, alarms.
    """
    crisis = running(draft, TERRITORY)
    silent = tuple(c for c in by if c is not Channel.VOICE)
    if (
        template in _CLOCK_ALARMS
        and silent
        and crisis is not None
        and crisis.level >= CRISIS
        and person in crisis.acknowledged_by
    ):
        return draft.clock - draft.clock % HOUR_MS + HOUR_MS, silent
    return quiet_until(draft, person, role, draft.level), by


def _scopes(
    draft: Draft, role: str, pole: str | None, site: str | None, incident: str | None
) -> tuple[str | None, ...]:
    """Return the scopes in which a role gets a message.

    They are the territory, or the pôle or site of the message, else every site or pôle that the
    incident concerns. (None,) for a role that nobody holds there.
    """
    mine, sites = draft.state.rota.scopes(role), draft.territory.sites
    place = sites.get(site) if site else None
    one = next((s for s in (None, pole, site, place.pole if place else None) if s in mine), "")
    if one != "":
        return (one,)
    near = concerned_by(draft, (incident,)) if incident is not None else frozenset[str]()
    found = tuple(
        s for s in mine if s in near and (pole is None or s not in sites or sites[s].pole == pole)
    )
    return found or (None,)
