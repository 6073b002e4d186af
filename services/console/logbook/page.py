"""Show the logbook as a page.

Every line has both times, author, kind, source and certainty; corrections stand beside the line
they correct. Rule D55.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.console.i18n import N_, Translator
from services.console.logbook.line_list import (
    LATE_MIN,
    format_author,
    group_lines,
    label_kind,
    summarise_group,
)
from services.console.logbook.lines import build_key
from services.console.resources import Line, to_instant
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames
from services.runtime.http.pagination import encode_cursor

LINES_SHOWN: Final = 60
WRITABLE_KINDS: Final = {
    "note": N_("note"),
    "fact": N_("fait"),
    "decision": N_("décision"),
    "action": N_("action"),
    "communication": N_("communication"),
}
"""Kinds that a person may write."""

DECIDED_KINDS: Final = ("decision", "action")


@dataclass(frozen=True, slots=True)
class LogbookRow:
    key: str
    id: str
    occurred_at: datetime
    recorded_at: datetime
    late_min: int
    kind: str
    decided: bool
    """A person decided or did it; the line then warns others with an open form."""
    text: str
    by: str
    source: str
    certainty: str
    incident: str | None
    report: str | None
    corrects: str | None
    """Key of the line that it corrects if that is on the page; otherwise its id."""
    corrected_by: str | None
    place: str

    @property
    def late(self) -> bool:
        return self.late_min > LATE_MIN


def get_line_key(line: Line) -> str:
    """Return the key of `services.console.logbook.lines` for a line resource."""
    service, _partition, seq, ordinal = line.place.split("/")
    return build_key(to_instant(line.recorded_at), service, int(seq), int(ordinal))


def build_rows(
    lines: Sequence[Line], notes: Iterable[Line], names: TerritoryNames, _: Translator
) -> list[LogbookRow]:
    """Build the lines of one page.

    `notes` are lines of persons beyond the page, searched for corrections.
    """
    lines_by_id = {line.id: line for line in (*notes, *lines)}
    together = group_lines(lines)
    corrected = {
        line.corrects: get_line_key(line) for line in lines_by_id.values() if line.corrects
    }
    return [
        LogbookRow(
            get_line_key(line),
            line.id,
            line.occurred_at,
            line.recorded_at,
            line.late_min,
            label_kind(line, _),
            line.kind in DECIDED_KINDS or line.change == "verdict",
            summarise_group(line, together, names, _),
            format_author(line, names, _),
            world.name_source(line.source, _),
            w.translate_code(w.CERTAINTY, line.certainty, _),
            line.incident,
            line.report,
            get_line_key(lines_by_id[line.corrects])
            if line.corrects in lines_by_id
            else line.corrects,
            corrected.get(line.id),
            line.place,
        )
        for line in lines
        if line.group is None or together[line.group.key][0] is line
    ]


FULL_PCT: Final = 100
"""Share of a limit, in per cent, below which an alarm stays hidden by default."""


def remove_early_alarms(lines: Sequence[Line]) -> list[Line]:
    """Return the lines without the alarms of limits that are not reached yet."""
    return [
        line
        for line in lines
        if line.group is None or line.group.kind != "alarm" or line.group.pct >= FULL_PCT
    ]


def build_cursor(key: str | None) -> str | None:
    """Return the cursor of the page that begins with this line; None if no line has the key."""
    return encode_cursor(f"{key}~") if key and key.isdigit() else None
