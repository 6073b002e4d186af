"""Base of all resources: times on the wire, pages, reasons."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from schemas.base import END_OF_TIME, Instant

_FIRST_INSTANT: Final[Instant] = -62_135_596_800_000
_LAST_INSTANT: Final[Instant] = END_OF_TIME - 3_600_001
"""Last instant: 23:59:59.999 in Paris."""


def format_iso(at: datetime) -> str:
    """Format ISO 8601 in UTC, with milliseconds only if there are some: `2027-02-11T08:40:00Z`."""
    at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds").replace(
        "+00:00", "Z"
    )


def to_datetime(at: Instant) -> datetime:
    """Return the aware UTC datetime of an instant.

    An instant outside the calendar, in UTC or in Paris, becomes the nearest moment inside: senders
    use `9999-12-31T23:59:59-04:00` for never.
    """
    return datetime.fromtimestamp(min(max(at, _FIRST_INSTANT), _LAST_INSTANT) / 1000, UTC)


def to_optional_datetime(at: Instant | None) -> datetime | None:
    return None if at is None else to_datetime(at)


def to_instant(at: datetime) -> Instant:
    """Return the instant of a datetime, the inverse of `to_datetime`."""
    return round(at.timestamp() * 1000)


def _read_time(raw_time: object) -> object:
    """Accept the instant of a row where a resource shows a time."""
    return to_datetime(raw_time) if type(raw_time) is int else raw_time


Time = Annotated[
    datetime,
    BeforeValidator(_read_time),
    PlainSerializer(format_iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


Scalar = str | int | float | bool | None


class Resource(BaseModel):
    """Base of resources. Rows inside rows become resources field by field."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)

    @classmethod
    def from_row(cls, row: object, **computed: Any) -> Self:
        """Build from the fields of a row with the same name; `computed` holds the others.

        Raises AttributeError if a required field is in neither.
        """
        for name, field in cls.model_fields.items():
            if name not in computed and (field.is_required() or hasattr(row, name)):
                computed[name] = getattr(row, name)
        return cls.model_validate(computed)


T = TypeVar("T", bound=Resource)


class Page(Resource, Generic[T]):
    """One page of a list. Pass `next` as `?cursor=` for the next page; None at the end."""

    items: list[T]
    next: str | None = None

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Return the name of the schema: `IncidentPage`, not `Page[Incident]`."""
        return f"{params[0].__name__}Page"


class Reason(Resource):
    """One reason with its threshold, value and reports; `text` is the sentence."""

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
    """Time when a planned cause acts; `to` None is an open end. Rule D9."""

    start: Time
    to: Time | None
