"""Read bodies of feeds strictly, without a guess, and write times in French. Pure."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, TypeVar
from zoneinfo import ZoneInfo

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

COLOURS: Final = ("vert", "jaune", "orange", "rouge")


def get_paris_day(time: datetime) -> date:
    return time.astimezone(PARIS).date()


def write_day(day: date) -> str:
    """Write a day as 12/01."""
    return f"{day:%d/%m}"


def write_hour(time: datetime) -> str:
    """Write an hour as `5 h` or `5 h 30`."""
    local = time.astimezone(PARIS)
    return f"{local.hour} h {local.minute:02}" if local.minute else f"{local.hour} h"


def write_end_hour(time: datetime) -> str:
    """Write the hour when a period ends: midnight is that of the day before."""
    local = time.astimezone(PARIS)
    return "minuit" if local.hour == local.minute == 0 else write_hour(time)


def write_day_and_hour(time: datetime) -> str:
    return f"{write_day(get_paris_day(time))} {write_hour(time)}"


def write_moment(time: datetime) -> str:
    """Write a moment as 12/01 à 9 h."""
    return f"{write_day(get_paris_day(time))} à {write_hour(time)}"


def get_last_day(end: datetime) -> date:
    """Return the Paris day when a period ends; midnight belongs to the day before."""
    return get_paris_day(end - timedelta(seconds=1))


def write_metres(value: float) -> str:
    return f"{value:.2f}".replace(".", ",") + " m"


def lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


PARIS: Final = ZoneInfo("Europe/Paris")
FUTURE_TOLERANCE: Final = timedelta(minutes=10)
"""An edition dated later than this after the fetch has a wrong clock."""
_INSTANT: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})", re.ASCII
)
_LOCAL: Final = re.compile(r"\d{8}T\d{6}", re.ASCII)
_DAY: Final = re.compile(r"(\d{4}-\d{2}-\d{2})(T00:00:00(\.0{1,6})?)?", re.ASCII)
ModelT = TypeVar("ModelT", bound=BaseModel)


class BodyRefused(Exception):
    """The body is no document of its kind: it is cut, not JSON, or an attack."""


class FeedDrift(Exception):
    """The body is readable, but has another form than this feed is known to send."""


class StrictModel(BaseModel):
    """Model of the fields that are used. Others may come and go; values are not coerced."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False)


def parse_json(content: bytes) -> Any:
    """Return the document. Raises BodyRefused."""
    try:
        return orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise BodyRefused("not JSON") from error


def validate_model(kind: type[ModelT], value: Any) -> ModelT:
    """Return the value as a model. Raises FeedDrift that names the field, never its content."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise FeedDrift(f"{where}: {first['type']}") from error


def parse_instant(text: Any) -> datetime:
    """Return an ISO time with an offset, in UTC. Raises ValueError."""
    if not isinstance(text, str) or not _INSTANT.fullmatch(text):
        raise ValueError("an ISO time with an offset is expected")
    return datetime.fromisoformat(text).astimezone(UTC)


def parse_local(text: Any) -> datetime:
    """Return a Paris time `YYYYMMDDTHHMMSS` in UTC; an ambiguous one is the later.

    Raises ValueError.
    """
    if not isinstance(text, str) or not _LOCAL.fullmatch(text):
        raise ValueError("YYYYMMDDTHHMMSS is expected")
    local = datetime.strptime(text, "%Y%m%dT%H%M%S")  # noqa: DTZ007  the zone follows
    return local.replace(tzinfo=PARIS, fold=1).astimezone(UTC)


def settle_local(time: datetime, now: datetime) -> datetime:
    """Return the earlier of an ambiguous Paris time if the later is still ahead."""
    earlier = time.astimezone(PARIS).replace(fold=0).astimezone(UTC)
    return earlier if time > now else time


def parse_paris_day(text: Any) -> datetime:
    """Return the Paris midnight of a day without a time, in UTC. Raises ValueError."""
    if not isinstance(text, str) or (day_match := _DAY.fullmatch(text)) is None:
        raise ValueError("a day is expected")
    day = datetime.fromisoformat(day_match.group(1))
    return day.replace(tzinfo=PARIS).astimezone(UTC)


Instant = Annotated[datetime, BeforeValidator(parse_instant)]
LocalTime = Annotated[datetime, BeforeValidator(parse_local)]
ParisDay = Annotated[datetime, BeforeValidator(parse_paris_day)]


def format_instant(time: datetime) -> str:
    """Return a UTC time as in reports."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_stamp(time: datetime) -> str:
    """Return a UTC time as part of an alias."""
    return time.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def format_local(time: datetime) -> str:
    """Return a Paris time as part of an alias."""
    return time.astimezone(PARIS).strftime("%Y%m%dT%H%M%S")


def check_clock(edition: datetime, now: datetime) -> None:
    """Refuse an edition from the future. Raises FeedDrift."""
    if edition > now + FUTURE_TOLERANCE:
        raise FeedDrift("edition: dated in the future")


def get_paris_hour(time: datetime) -> int:
    return time.astimezone(PARIS).hour
