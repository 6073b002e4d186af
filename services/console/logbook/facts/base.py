"""Parts that the modules of this folder share: the type of a line and helpers for its values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from services.console.i18n import Translator
from services.console.resource_base import to_datetime
from services.console.texts.names import TerritoryNames
from services.runtime.log.transaction import FactRecord

Fields = dict[str, Any]
LineMaker = Callable[[FactRecord], Fields | None]
Values = Mapping[str, Any]
PARIS: Final = ZoneInfo("Europe/Paris")


class SentenceSource(Protocol):
    """The part of `services.console.logbook.lines.LineRecord` that sentences need."""

    @property
    def type(self) -> str: ...
    @property
    def change(self) -> str | None: ...
    @property
    def author(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def site(self) -> str | None: ...
    @property
    def certainty(self) -> str | None: ...
    @property
    def values(self) -> Values: ...


Renderer = Callable[[SentenceSource, TerritoryNames, Translator], str]
Predicate = Callable[[SentenceSource], bool]


@dataclass(frozen=True, slots=True)
class LineType:
    """The line of one kind of fact."""

    make: LineMaker
    """Returns its kind, its own times and the values of its sentence; None: no line."""
    render: Renderer
    """Returns its sentence from the stored values."""
    repeats: Predicate | None = None
    """Returns whether close lines that differ only in their site may be read as one."""
    endangers: Predicate | None = None
    """Returns whether it tells of a danger to people."""


def drop_missing(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def pick_fields(data: Fields, /, *names: str, **others: Any) -> Fields:
    """Return these fields and other values, without those that are missing."""
    return drop_missing({name: data.get(name) for name in names} | others)


def get_text_id(reason: str | None) -> str | None:
    """Return the id of the text behind a reason; None if the reason is a code."""
    return (
        reason.removeprefix("text:") if reason is not None and reason.startswith("text:") else None
    )


def has_site(record: SentenceSource) -> bool:
    return record.site is not None


def format_place(record: SentenceSource, names: TerritoryNames) -> str:
    commune = record.values.get("commune")
    return (
        names.site(record.site) if record.site else names.commune(str(commune)) if commune else ""
    )


def join_place(what: str, where: str, _: Translator) -> str:
    return _("{what} : {where}", what=what, where=where) if where else what


def format_local_time(at: int) -> str:
    return to_datetime(at).astimezone(PARIS).strftime("%d/%m %H:%M")
