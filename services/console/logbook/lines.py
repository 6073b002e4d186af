"""Make logbook lines from facts: their order, both times and the author.

`services.console.logbook.facts` selects the content of each line and writes its sentence. A line is
stored without text; the sentence is rendered in the reader's language. Pure. Rule D55.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any

from schemas.base import Instant
from schemas.topics import PARTITION_COUNT, is_live, partition_of
from services.console.i18n import get_translator
from services.console.logbook.facts import load_line_types
from services.console.logbook.facts.base import SentenceSource
from services.console.texts.names import TerritoryNames
from services.runtime.log.transaction import FactRecord, Transaction, TransactionSource

SERVICE_ORDER = {"alerts": 0, "continuity": 1, "delivery": 2}
"""Order of lines recorded at the same instant: cause before effect."""
SYSTEM = "system"
SITES = "{sites}"
"""Place of the sites in the sentence of several lines."""
_FACTS_OF_ALL_SERVICES = {"RealmOpened", "RealmClosed", "ReferencePublished"}
"""Facts that every service records; one line is enough."""
_LOG_FACTS = {"LossDeclared", "Rebased"}
"""Facts about the log of a service, not a realm.

An operator caused them, and they concern every realm of the partition.
"""


@dataclass(frozen=True, slots=True)
class LineRecord:
    """One logbook line.

    `key` orders the lines of a realm by (recorded_at, service, seq, ordinal) and is unique in it.
    """

    key: str
    id: str
    type: str
    kind: str
    occurred_at: Instant
    recorded_at: Instant
    author: str
    place: str
    role: str | None = None
    change: str | None = None
    incident: str | None = None
    site: str | None = None
    report: str | None = None
    certainty: str | None = None
    source: str | None = None
    text_id: str | None = None
    corrects: str | None = None
    values: dict[str, Any] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        """Return the line as JSON-compatible fields, without empty ones."""
        return {
            name: value
            for name in _FIELDS
            if (value := getattr(self, name)) is not None and value != {}
        }

    @classmethod
    def load(cls, dump: dict[str, Any]) -> "LineRecord":
        """Build a line from the output of `dump`."""
        return cls(**dump)


_FIELDS = tuple(f.name for f in fields(LineRecord))


def build_key(recorded_at: Instant, service: str, seq: int, ordinal: int) -> str:
    """Build the key of a line; see `LineRecord`."""
    return f"{max(recorded_at, 0):015d}{SERVICE_ORDER[service]}{seq:011d}{ordinal:05d}"


def build_key_after(at: Instant) -> str:
    """Return a key that sorts after every line recorded by `at` and before every later one."""
    return f"{max(at, -1) + 1:015d}"


def build_author_source(token: str, role: str) -> str:
    """Build the CloudEvents `source` of a person's command.

    The log finds in it the author of everything that the command causes.
    """
    return f"person:{token}?role={role}"


def parse_author(src: TransactionSource) -> tuple[str, str | None]:
    """Return (token, role) of the person behind a command; otherwise the system."""
    if not src.source.startswith("person:"):
        return SYSTEM, None
    token, _, role = src.source.removeprefix("person:").partition("?role=")
    return token, role or None


def is_shown_in(realm: str, tx: Transaction, partition: int) -> bool:
    """Return whether the logbook of this realm shows the lines of this record.

    It shows the realm's own records, and for a live realm those about the log of its partition. A
    simulated realm leaves the latter out: its clock stands, so the line would come from the future.
    """
    return tx.realm == realm or (
        not tx.realm and is_live(realm) and partition_of(realm, PARTITION_COUNT) == partition
    )


def make_line(tx: Transaction, fact: FactRecord, partition: int, ordinal: int) -> LineRecord | None:
    """Make the line of a fact, or return None for a fact without one."""
    line_type = load_line_types().get(fact.name)
    if (
        line_type is None
        or (not tx.realm and fact.name not in _LOG_FACTS)
        or (fact.name in _FACTS_OF_ALL_SERVICES and tx.service != "alerts")
    ):
        return None
    line_fields = line_type.make(fact)
    if line_fields is None:
        return None
    author, role = parse_author(tx.src)
    base: dict[str, Any] = {
        "key": build_key(fact.at, tx.service, tx.seq, ordinal),
        "id": fact.id if tx.realm else f"{tx.service}/{fact.id}",
        "type": fact.name,
        "occurred_at": fact.at,
        "recorded_at": fact.at,
        "author": author,
        "role": role,
        "place": f"{tx.service}/{partition}/{tx.seq}/{ordinal}",
    }
    return LineRecord(**base | line_fields)


def render_line(record: SentenceSource, names: TerritoryNames, lang: str) -> str:
    """Return the sentence of a line, or the type name if a newer version wrote it.

    Free text such as notes is not part of it: that is encrypted and limited to readers with the
    right.
    """
    line_type = load_line_types().get(record.type)
    return (
        record.type if line_type is None else line_type.render(record, names, get_translator(lang))
    )


def endangers_people(record: SentenceSource) -> bool:
    """Return whether a line tells of a danger to people."""
    line_type = load_line_types().get(record.type)
    return line_type is not None and line_type.endangers is not None and line_type.endangers(record)


def render_repeated(record: LineRecord, names: TerritoryNames, lang: str) -> str | None:
    """Return the sentence of a line with `{sites}` in place of its site.

    None: the line is never read together with others. Rule D55.
    """
    line_type = load_line_types().get(record.type)
    if line_type is None or line_type.repeats is None or not line_type.repeats(record):
        return None
    anywhere = record if record.site is None else replace(record, site=SITES)
    return line_type.render(anywhere, names, get_translator(lang))
