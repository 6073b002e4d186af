"""Select the logbook lines of a page, and gather lines that differ only in their site."""

from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.console.i18n import N_, Translator
from services.console.logbook.lines import SITES
from services.console.resources import Line
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames

LATE_MIN: Final = 15
"""Minutes after which a report is shown as late. Rule D7."""
COMMUNES_SHOWN: Final = 4
TOGETHER_FOR: Final = timedelta(minutes=10)
"""Part of the clock in which like lines are read as one. Rule D55."""
LEAST_TOGETHER: Final = 3
"""Fewer like lines are read at a glance: each stands alone."""
SHOWN_KINDS: Final = (
    "fact",
    "decision",
    "action",
    "communication",
    "watch",
    "alarm",
    "note",
    "runtime",
)
"""Kinds of lines on the page.

Effects on activities are left out: they come with every change of a capacity, and clocks and alarms
show those that matter.
"""
_SHOWN_ELSEWHERE: Final = {
    "TriggerChanged",
    "TaskChanged:open",
    "EscalationChanged:answer",
    "EscalationChanged:declined",
}
KIND_LABELS: Final = {
    "fact": N_("fait"),
    "decision": N_("décision"),
    "action": N_("action"),
    "communication": N_("appel"),
    "watch": N_("veille"),
    "alarm": N_("alarme"),
    "note": N_("note"),
    "runtime": N_("système"),
}


@dataclass(frozen=True, slots=True)
class LogbookEntry:
    id: str
    occurred_at: datetime
    recorded_at: datetime
    late_min: int
    kind: str
    text: str
    by: str
    corrects: str | None
    place: str
    report: str | None = None
    """The report of the line; its page shows the text and photos."""
    danger: bool = False

    @property
    def late(self) -> bool:
        return self.late_min > LATE_MIN


PERSON_LINES: Final = frozenset(
    {"CallOutChanged", "NoteAdded", "QuestionChanged", "StatementChanged"}
)
"""Lines about words of people; other lines of the kind communication are calls of the system."""


def is_written_by_person(line: Line) -> bool:
    """Return whether a line is about a deed or words of a person."""
    is_call = line.kind == "communication" and line.type not in PERSON_LINES
    return not is_call and not line.author.startswith("system")


def label_kind(line: Line, _: Translator) -> str:
    """Return the label of a line's kind; calls of the system differ from words of people."""
    if line.kind == "communication" and line.type in PERSON_LINES:
        return _("communication")
    return _(KIND_LABELS.get(line.kind, line.kind))


def _is_shown(line: Line) -> bool:
    if line.type in _SHOWN_ELSEWHERE or f"{line.type}:{line.change}" in _SHOWN_ELSEWHERE:
        return False
    return line.type != "SiteStatusChanged" or line.change in ("unknown", "normal")


def format_author(line: Line, names: TerritoryNames, _: Translator) -> str:
    if line.source and line.type != "NoteAdded":
        return world.name_source(line.source, _)
    if line.role is not None and line.author not in names.holders:
        return w.name_role(line.role, None, names, _)
    return w.name_person(line.author, names, _) if line.author != "system" else _("système")


def group_lines(lines: Sequence[Line], apart: Collection[str] = ()) -> list[list[Line]]:
    """Return the lines in their order, with those that are read as one at the first of them.

    `apart`: ids of lines that stand alone. Lines of danger and of persons always do. Rule D55.
    """
    keys = [line.place if line.id in apart else _build_group_key(line) for line in lines]
    counts = Counter(keys)
    groups: dict[Hashable, list[Line]] = {}
    for line, key in zip(lines, keys, strict=True):
        is_alone = counts[key] < LEAST_TOGETHER
        groups.setdefault(line.place if is_alone else key, []).append(line)
    return list(groups.values())


def _build_group_key(line: Line) -> Hashable:
    if line.together is None:
        return line.place
    return (
        line.together,
        line.source,
        line.certainty,
        line.role or line.author,
        line.late_min > LATE_MIN,
        line.recorded_at.timestamp() // TOGETHER_FOR.total_seconds(),
    )


def summarise_lines(lines: Sequence[Line], names: TerritoryNames, _: Translator) -> str:
    """Return the sentence of one line, or the one that represents several read as one."""
    line = lines[0]
    if len(lines) == 1 or line.together is None:
        return line.text
    sites = list(dict.fromkeys(one.site for one in lines if one.site is not None))
    if len(sites) < 2:
        return _("{line} ({n} fois)", line=line.text, n=len(lines))
    where = _.plural("{n} site", "{n} sites", len(sites))
    communes = [c for c in dict.fromkeys(map(names.commune_of, sites)) if c]
    if len(communes) > COMMUNES_SHOWN:
        others = _("{n} autres communes", n=len(communes) - COMMUNES_SHOWN + 1)
        communes = [*communes[: COMMUNES_SHOWN - 1], others]
    if communes:
        where = f"{where} ({w.join_words(communes, _)})"
    if SITES not in line.together:
        return _("{what} : {where}", what=line.together, where=where)
    return line.together.replace(SITES, where)


def build_entries(
    lines: Sequence[Line], names: TerritoryNames, _: Translator, limit: int
) -> list[LogbookEntry]:
    """Build at most `limit` entries from `lines`, both newest first."""
    groups = group_lines([line for line in lines if _is_shown(line)])
    return [_build_entry(group, names, _) for group in groups[:limit]]


def _build_entry(lines: Sequence[Line], names: TerritoryNames, _: Translator) -> LogbookEntry:
    line = lines[0]
    return LogbookEntry(
        line.id,
        line.occurred_at,
        line.recorded_at,
        line.late_min,
        label_kind(line, _),
        summarise_lines(lines, names, _),
        format_author(line, names, _),
        line.corrects,
        line.place,
        line.report if line.type == "ReportChanged" and len(lines) == 1 else None,
        line.danger,
    )
