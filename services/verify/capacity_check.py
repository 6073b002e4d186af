"""Check that reassignments count no agent and no desk twice.

Compares approved lines with staff and desks of the reference data, with arithmetic of its own. Only
the needed part of a line counts: agents that the newest proposal sends back may be proposed again
before their release.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

TELEWORK: Final = "telework"
FINISHED_STATES: Final = frozenset({"released", "void", "refused"})
GYMNASIUM: Final = "gymnase"
GYMNASIUM_DESKS: Final = 20
"""Desks of a gymnasium, instead of its own number (docs/reference/reassignment-model.md, §2)."""

StaffCell = tuple[str, str, str]
"""Site, activity, métier."""


def find_overcommitments(
    reassignments: Mapping[str, Any], reference: Mapping[str, Any], situation: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield (subject, sentence) for each cell and each host that is overcommitted.

    A cell is overcommitted if it gives more agents than it has, a host if it holds more than its
    free desks. `reference`: section → published content. `situation`: that of the newest proposal,
    for the agents missing at a host.
    """
    if not {"sites", "staffing"} <= reference.keys():
        return
    lines = [
        row
        for row in reassignments.values()
        if row["state"] not in FINISHED_STATES and row["needed"]
    ]
    staff: Counter[StaffCell] = Counter()
    for cell in reference["staffing"]["cells"]:
        staff[cell["site"], cell["activity"], cell["metier"]] += cell["staff"]
    agents_by_cell: Counter[StaffCell] = Counter()
    for row in lines:
        agents_by_cell[row["site"], row["activity"], row["metier"]] += row["needed"]
    for key in sorted(agents_by_cell):
        if agents_by_cell[key] > staff[key]:
            yield (
                "/".join(key),
                f"{agents_by_cell[key]} agents of {' '.join(key)} are reassigned and there are {staff[key]}",
            )
    free = _count_free_desks(reference, situation)
    agents_by_host: Counter[str] = Counter()
    desk = {rule["activity"]: rule["needs_desk"] for rule in reference["staffing"]["rules"]}
    for row in lines:
        served_activity, where = (
            row["need_activity"] or row["activity"],
            row["need_site"] or row["site"],
        )
        if row["place"] not in (TELEWORK, where) and desk.get(served_activity, False):
            agents_by_host[row["place"]] += row["needed"]
    for place in sorted(agents_by_host):
        if agents_by_host[place] > free[place]:
            yield (
                place,
                f"{agents_by_host[place]} agents are sent to {place}, which has {free[place]} free desks",
            )


def _count_free_desks(reference: Mapping[str, Any], situation: Mapping[str, Any]) -> Counter[str]:
    """Count the free desks of each site, never too few.

    Agents present at a site with absences are rounded down cell by cell.
    """
    pct = {site["site"]: site["staff_pct"] for site in situation.get("sites", ())}
    desk = {rule["activity"]: rule["needs_desk"] for rule in reference["staffing"]["rules"]}
    used: Counter[str] = Counter()
    for cell in reference["staffing"]["cells"]:
        if desk.get(cell["activity"], False):
            used[cell["site"]] += cell["staff"] * pct.get(cell["site"], 100) // 100
    free: Counter[str] = Counter()
    for site in reference["sites"]["sites"]:
        free[site["id"]] = max(
            0, (GYMNASIUM_DESKS if site["kind"] == GYMNASIUM else site["desks"]) - used[site["id"]]
        )
    return free
