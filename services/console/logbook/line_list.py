"""Select the logbook lines of a page, and merge silent sites of one minute into one entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.console.i18n import N_, Translator
from services.console.resources import Line
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames

LATE_MIN: Final = 15
"""Minutes after which a report is shown as late. Rule D7."""
COMMUNES_SHOWN: Final = 4
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
    "NotificationChanged:accepted",
    "NotificationChanged:answered",
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


def _summarise_silent_sites(lines: Sequence[Line], names: TerritoryNames, _: Translator) -> str:
    communes = [c for c in dict.fromkeys(names.commune_of(line.site or "") for line in lines) if c]
    visible_communes = (
        communes
        if len(communes) <= COMMUNES_SHOWN
        else [
            *communes[: COMMUNES_SHOWN - 1],
            _("{n} autres communes", n=len(communes) - COMMUNES_SHOWN + 1),
        ]
    )
    return _(
        "{n} sites sans nouvelles à {communes} : levée de doute ouverte",
        n=len(lines),
        communes=w.join_words(visible_communes, _),
    )


def build_entries(
    lines: Sequence[Line], names: TerritoryNames, _: Translator, limit: int
) -> list[LogbookEntry]:
    """Build at most `limit` entries from `lines`, both newest first."""
    entries: list[LogbookEntry] = []
    visible_lines = [line for line in lines if _is_shown(line)]
    together = group_lines(visible_lines)
    k = 0
    while k < len(visible_lines) and len(entries) < limit:
        line = visible_lines[k]
        run = [line]
        if line.group is not None and together[line.group.key][0] is not line:
            k += 1
            continue
        if line.type == "SiteStatusChanged" and line.change == "unknown":
            while k + len(run) < len(visible_lines) and _is_same_minute(
                line, visible_lines[k + len(run)]
            ):
                run.append(visible_lines[k + len(run)])
        text = (
            summarise_group(line, together, names, _)
            if len(run) == 1
            else _summarise_silent_sites(run, names, _)
        )
        entries.append(
            LogbookEntry(
                line.id,
                line.occurred_at,
                line.recorded_at,
                line.late_min,
                label_kind(line, _),
                text,
                format_author(line, names, _),
                line.corrects,
                line.place,
                line.report if line.type == "ReportChanged" and len(run) == 1 else None,
            )
        )
        k += len(run)
    return entries


def group_lines(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Return the lines of each group, in their order."""
    lines_by_group: dict[str, list[Line]] = {}
    for line in lines:
        if line.group is not None:
            lines_by_group.setdefault(line.group.key, []).append(line)
    return lines_by_group


_GROUP_SENTENCES: Final = {
    "rto": N_("{activity} : RTO consommé à {pct} % sur {n} sites"),
    "dmia": N_("{activity} : DMIA consommée à {pct} % sur {n} sites"),
}


def summarise_group(
    line: Line, together: Mapping[str, Sequence[Line]], names: TerritoryNames, _: Translator
) -> str:
    """Return the sentence of a line, or the one that represents all lines of its group."""
    group = line.group
    count = len(together[group.key]) if group is not None else 1
    if group is None or count < 2:
        return line.text
    if group.kind == "unreached":
        return _.plural(
            "{n} appel impossible : aucun canal n’a abouti",
            "{n} appels impossibles : aucun canal n’a abouti",
            count,
        )
    sentence = _GROUP_SENTENCES.get(group.base, N_("{activity} : alarme sur {n} sites"))
    activity = names.activity_label(group.activity, _.lang)
    return _(sentence, activity=activity, pct=group.pct, n=count)


def _is_same_minute(a: Line, b: Line) -> bool:
    same = b.type == a.type and b.change == a.change
    return same and b.recorded_at.replace(second=0, microsecond=0) == a.recorded_at.replace(
        second=0, microsecond=0
    )
