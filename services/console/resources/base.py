"""What all resources share: times on the wire, pages, reasons."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from schemas.base import END_OF_TIME, Instant

_FIRST: Final[Instant] = -62_135_596_800_000
_LAST: Final[Instant] = END_OF_TIME - 3_600_001
"""23:59:59.999 in Paris."""


def iso(at: datetime) -> str:
    """ISO 8601 in UTC, milliseconds only when there are some: `2027-02-11T08:40:00Z`."""
    at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds").replace(
        "+00:00", "Z"
    )


def when(at: Instant) -> datetime:
    """The aware datetime of an instant.

    Of one that the calendar does not name, in UTC or in Paris, its nearest moment: `9999-12-31T23:59:59-04:00` is somebody's word for never.
    """
    return datetime.fromtimestamp(min(max(at, _FIRST), _LAST) / 1000, UTC)


def ms(at: datetime) -> Instant:
    """Inverse of `when`."""
    return round(at.timestamp() * 1000)


Time = Annotated[
    datetime,
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


Scalar = str | int | float | bool | None


class Resource(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


T = TypeVar("T", bound=Resource)


class Page(Resource, Generic[T]):
    """One page of a list. `next` is given back as `?cursor=`; None at the end."""

    items: list[T]
    next: str | None = None


class Reason(Resource):
    """One reason with its threshold, value and the reports behind it; `text` is the sentence."""

    code: str
    text: str
    metric: str | None = None
    args: dict[str, str | int | float | bool | list[str] | list[int]] = Field(default_factory=dict)
    op: str | None = None
    threshold: Scalar = None
    value: Scalar = None
    at: Time | None = None
    reports: list[str] = Field(default_factory=list)


class Interval(Resource):
    """When a planned cause acts (D9); `to` None = open end."""

    start: Time
    to: Time | None
