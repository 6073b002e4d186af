"""Small rotas in words, and local times as instants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from schemas.oncall import DutyRow, Place, Rotation, Shift
from schemas.reference import Holder, Roster
from services.oncall.schedule import Schedule

PARIS = ZoneInfo("Europe/Paris")
ROLE = "astreinte_technique"


def at(text: str, *, fold: int = 0) -> int:
    """Return an instant of Paris time, `2027-03-28T08:00`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=PARIS, fold=fold).timestamp() * 1000)


def said(instant: int) -> str:
    """Write an instant as `28/03 08:00+02:00`."""
    return datetime.fromtimestamp(instant / 1000, PARIS).strftime("%d/%m %H:%M%z")


def rotation(*persons: str, since: str = "2027-03-01", **values: Any) -> Rotation:
    return Rotation(role=ROLE, persons=persons, since=date.fromisoformat(since), **values)


def roster(
    holders: Mapping[str, tuple[str | None, str | None]] | None = None,
    rotations: Sequence[Rotation] = (),
) -> Roster:
    """Build the roster of the whole territory from `{role: (holder, deputy)}`."""
    made = tuple(
        Holder(role=role, holder=h, deputy=d)
        for role, (h, d) in (holders or {ROLE: ("titu", "supp")}).items()
    )
    return Roster(holders=made, channels={}, rotations=tuple(rotations))


def override(
    person: str | None, start: str, end: str, *, number: int = 1, **values: Any
) -> DutyRow:
    shift = Shift(start=at(start), end=at(end), person=person)
    duty_fields = {"kind": "override", "role": ROLE, "place": Place.HOLDER} | values
    return DutyRow(
        id=f"d{number}",
        start=shift.start,
        end=shift.end,
        shifts=(shift,),
        by="coord-pca",
        decided_at=0,
        number=number,
        **duty_fields,
    )


def calendar(
    *shifts: tuple[str, str, str],
    number: int = 1,
    start: str | None = None,
    end: str | None = None,
    **values: Any,
) -> DutyRow:
    made = tuple(Shift(start=at(a), end=at(b), person=p) for p, a, b in shifts)
    duty_fields = {
        "kind": "calendar",
        "role": ROLE,
        "place": Place.HOLDER,
        "calendar": "cal",
    } | values
    return DutyRow(
        id=f"c{number}",
        start=at(start) if start else min(s.start for s in made),
        end=at(end) if end else max(s.end for s in made),
        shifts=made,
        by="coord-pca",
        decided_at=0,
        number=number,
        **duty_fields,
    )


def spans(
    rota: Schedule, start: str, end: str, place: Place = Place.HOLDER, role: str = ROLE
) -> list[tuple[str | None, str, str]]:
    """List the people on call with start and end."""
    return [
        (s.person, said(s.start), said(s.end))
        for s in rota.spans(role, None, place, at(start), at(end))
    ]


def rota_of(
    *duties: DutyRow,
    rotations: Iterable[Rotation] = (),
    holders: Mapping[str, tuple[str | None, str | None]] | None = None,
) -> Schedule:
    return Schedule(roster(holders, tuple(rotations)), duties)
