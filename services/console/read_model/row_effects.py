"""Derive the changes of the read model from one Transaction.

Projection, time travel and live stream share this rule. Pure. The row rule is generic: the last row
per collection and id wins. The other effects are logbook lines, results of commands, reference data
and the realm itself. Raises UnknownType for a fact that this version does not know: a reader of
logs stops rather than show half of the truth.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from schemas.base import Instant, RowFact, is_command, message_class
from schemas.reports import ReportReceived
from services.console.logbook.lines import LineRecord, make_line
from services.console.read_model.store import MEMBERS
from services.runtime.log.transaction import FactRecord, Transaction

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RowPut:
    """The whole new row of one resource."""

    collection: str
    id: str
    row: Row
    at: Instant
    new: bool
    """The row did not exist before this Transaction, as far as the fact itself can tell."""


@dataclass(frozen=True, slots=True)
class LogbookLineAdded:
    line: LineRecord


@dataclass(frozen=True, slots=True)
class CommandAnswered:
    """Result of a command; `state` is applied, refused or failed."""

    id: str
    command: str
    state: str
    at: Instant
    status: int | None = None
    code: str | None = None
    values: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class InputLost:
    """A report that was accepted but not decided.

    `state` is failed or refused; `source_key` names its source.
    """

    id: str
    state: str
    reason: str
    at: Instant
    source_key: str


@dataclass(frozen=True, slots=True)
class SectionPublished:
    version: str
    section: str
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RealmFieldsChanged:
    """Fields of the realm that changed."""

    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """Reports or sources that joined or left a cause; `index` is one of `store.MEMBERS`."""

    index: str
    cause: str
    added: dict[str, int]
    """Members with their position in the order; a present member moves to the new position."""
    dropped: tuple[str, ...]
    floor: int | None
    """If set, members with a lower position leave, and `dropped` is empty."""


Effect = (
    MembersChanged
    | RowPut
    | LogbookLineAdded
    | CommandAnswered
    | InputLost
    | SectionPublished
    | RealmFieldsChanged
)


@lru_cache(maxsize=512)
def collection_of(wire: str) -> str | None:
    """Return the collection of a row fact, None for any other fact. Raises UnknownType."""
    cls = message_class(wire)
    return cls.collection if issubclass(cls, RowFact) else None


def list_fact_effects(tx: Transaction, fact: FactRecord) -> Iterator[Effect]:
    """Yield the effects of one fact of an accepted Transaction, except its line."""
    collection = collection_of(fact.type)
    if collection is not None:
        yield _build_row_effect(collection, fact)
    else:
        yield from _list_special_effects(tx, fact)


def list_effects(tx: Transaction, partition: int) -> Iterator[Effect]:
    """Yield the effects of one accepted Transaction in the order of its facts."""
    for ordinal, fact in enumerate(tx.facts):
        yield from list_fact_effects(tx, fact)
        line = make_line(tx, fact, partition, ordinal)
        if line is not None:
            yield LogbookLineAdded(line)


_BIRTH_FIELDS = {
    "reports": "recorded_at",
    "incidents": "known_at",
    "tasks": "opened_at",
    "actions": "requested_at",
    "alarms": "raised_at",
    "notifications": "planned_at",
    "escalations": "started_at",
    "maintenance": "planned_at",
}
"""Field of a row that holds the time when the resource was first recorded."""


def _build_row_effect(collection: str, fact: FactRecord) -> RowPut:
    row: Row = fact.data["row"]
    birth = _BIRTH_FIELDS.get(collection)
    return RowPut(collection, row["id"], row, fact.at, birth is not None and row[birth] == fact.at)


_POSITIONS_PER_RECORD: Final = 1024
"""Positions in the order of a cause that one log record may use."""


def _list_member_changes(tx: Transaction, data: dict[str, Any]) -> Iterator[MembersChanged]:
    """Yield the changes of the lists of a cause.

    Older logs hold none: there the rows of sites list all members.
    """
    for index in MEMBERS:
        member_change = data.get(index)
        if member_change is None or not (
            member_change["added"] or member_change["dropped"] or member_change["kept"] is not None
        ):
            continue
        first = tx.seq * _POSITIONS_PER_RECORD
        added_places = {
            id: first + n
            for n, id in enumerate((*(member_change["kept"] or ()), *member_change["added"]))
        }
        yield MembersChanged(
            index,
            data["cause"]["id"],
            added_places,
            tuple(member_change["dropped"]),
            None if member_change["kept"] is None else first,
        )


def _list_special_effects(tx: Transaction, fact: FactRecord) -> Iterator[Effect]:
    data = fact.data
    match fact.name:
        case "CauseChanged":
            yield from _list_member_changes(tx, data)
        case "CommandApplied":
            yield CommandAnswered(
                data["command_id"],
                data["command"],
                "applied",
                fact.at,
                values=data.get("result", {}),
            )
        case "CommandRefused":
            yield CommandAnswered(
                data["command_id"],
                data["command"],
                "refused",
                fact.at,
                data["status"],
                data["code"],
                data.get("values", {}),
            )
        case "InputFailed" | "InputRefused":
            has_failed = fact.name == "InputFailed"
            code = "failed" if has_failed else data["code"]
            if data["input_type"] == ReportReceived.wire_type():
                state, reason = ("failed", data["error"]) if has_failed else ("refused", code)
                yield InputLost(
                    data["input_id"], state, reason, fact.at, tx.src.source.removeprefix("/")
                )
            elif is_command(data["input_type"]):
                name = message_class(data["input_type"]).__name__
                yield CommandAnswered(data["input_id"], name, "failed", fact.at, None, code)
        case "ReferencePublished" if tx.service == "alerts":
            yield SectionPublished(data["reference"], data["data"]["section"], data["data"])
            if data["last"]:
                yield RealmFieldsChanged(
                    {
                        "reference": data["reference"],
                        "reference_at": data.get("published_at") or fact.at,
                    }
                )
        case "RealmOpened" if tx.service == "alerts":
            yield RealmFieldsChanged(
                {
                    "name": tx.realm,
                    "territory": data["territory"],
                    "title_code": data["title_code"],
                    "started_at": data["started_at"],
                    "lineage": data["lineage"],
                    "speed": data.get("speed"),
                    "opened_at": tx.src.appended_at,
                    "state": "open",
                    "began_at": fact.at,
                }
            )
        case "RealmClosed" if tx.service == "alerts":
            yield RealmFieldsChanged({"state": "closed", "closed_at": fact.at})
        case "StepAccepted" if tx.service == "alerts":
            yield RealmFieldsChanged({"stepping_to": data["to"]})
        case "PaceChanged" if tx.service == "alerts":
            yield RealmFieldsChanged({"paused": data["paused"], "speed": data["speed"]})
        case _:
            return
