"""The picture of sites that a set of reports gives, by the rules alone: D3, D4, D7 and D14 to D16.

The order of arrival plays no part: a report, its Update, its Cancel and a reopening mean the same
in whatever order they come. The model knows no incident, no index and no state; it reads the whole
set at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["Alert", "Update", "Cancel", "Reopening"]
CLOSED_BY_POWER_PCT = 80
POWER_WITH_GENERATOR_PCT = 60


@dataclass(frozen=True)
class Word:
    """One report. Times are minutes, and no two are equal."""

    name: str
    at: int
    sender: str
    site: str
    kind: Kind
    type: str = ""
    severity: int = 1
    loss: int = 0
    names: tuple[str, ...] = ()
    """Reports that an Update replaces or a Cancel withdraws."""
    lifts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    status: str
    capacity: float
    causes: frozenset[tuple[str, int, int]]
    """(type, severity, loss) of each open cause."""


NORMAL = Picture("normal", 100.0, frozenset())


def list_withdrawn(words: Iterable[Word]) -> frozenset[str]:
    """Return the names of the reports that a Cancel takes back.

    A Cancel takes the reports that it names, and the versions of them that are not later than it.
    """
    by_name = {word.name: word for word in words}
    withdrawn: set[str] = set()
    for cancel in by_name.values():
        if cancel.kind != "Cancel":
            continue
        group = {name for name in cancel.names if name in by_name}
        while True:
            more = {
                word.name
                for word in by_name.values()
                if word.kind in ("Alert", "Update")
                and word.at <= cancel.at
                and (
                    not group.isdisjoint(word.names)
                    or any(word.name in by_name[name].names for name in group)
                )
            } - group
            if not more:
                break
            group |= more
        withdrawn |= group
    return frozenset(withdrawn)


def draw_picture(words: Iterable[Word], site: str, *, generator: bool) -> Picture:
    """Return the status, the capacity and the open causes of a site."""
    words_there = [word for word in words if word.site == site]
    withdrawn = list_withdrawn(words_there)
    causes = []
    for type in sorted({word.type for word in words_there if word.kind in ("Alert", "Update")}):
        reopened = max(
            (w.at for w in words_there if w.kind == "Reopening" and type in w.lifts), default=-1
        )
        standing = [
            word
            for word in words_there
            if word.kind in ("Alert", "Update")
            and word.type == type
            and word.at > reopened
            and word.name not in withdrawn
        ]
        replaced = {name for word in standing for name in word.names}
        newest = [word for word in standing if word.name not in replaced]
        if newest:
            severity, loss = max(w.severity for w in newest), max(w.loss for w in newest)
            causes.append((type, severity, loss))
    losses = [_judge_loss(type, loss, generator=generator) for type, _severity, loss in causes]
    statuses = [_judge_status(type, loss, generator=generator) for type, _severity, loss in causes]
    order = ("evacuated", "closed", "degraded", "normal")
    status = next(s for s in order if s in (*statuses, "normal"))
    return Picture(status, 100.0 - max(losses, default=0), frozenset(causes))


def _judge_loss(type: str, loss: int, *, generator: bool) -> float:
    if type in ("closure", "evacuation"):
        return 100.0
    if type == "outage_power" and generator:
        return float(min(loss, POWER_WITH_GENERATOR_PCT))
    return float(loss)


def _judge_status(type: str, loss: int, *, generator: bool) -> str:
    if type in ("closure", "evacuation"):
        return {"closure": "closed", "evacuation": "evacuated"}[type]
    if type == "outage_power" and loss >= CLOSED_BY_POWER_PCT and not generator:
        return "closed"
    return "degraded"
