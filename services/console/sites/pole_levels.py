"""The level of a pôle: the highest of the open incidents in which a site of it has a word of its own (D27).

It is worked out from the incidents and decided nowhere else: it rises at once with them, and falls only when a person lowers or closes
the incident behind it, with a reason (D31). `pole: multi` is no pôle (D29).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from schemas.alerts import IncidentRow, LevelRow, Why


def pole_levels(
    incidents: Iterable[IncidentRow], pole_of: Mapping[str, str]
) -> dict[str, LevelRow]:
    """Pôle → its level above N0, with the reasons of the incident behind it: the one that has been at this level for longest.

    `incidents`: those that are open; `pole_of`: site → pôle. The id of a row is `pole:<id>`.
    """
    found: dict[str, LevelRow] = {}
    for incident in incidents:
        if not incident.level:
            continue
        why = _reasons(incident)
        since = why[-1].at if why and why[-1].at is not None else incident.opened_at
        for pole in {pole_of[site] for site in incident.members if site in pole_of} - {"multi"}:
            known = found.get(pole)
            if known is None or (incident.level, -since) > (known.level, -known.since):
                found[pole] = LevelRow(
                    id=f"pole:{pole}", level=incident.level, since=since, why=why
                )
    return found


def _reasons(incident: IncidentRow) -> tuple[Why, ...]:
    """Why it is at the level that it has now; reasons of a level that it has left are not."""
    return tuple(w for w in incident.why if w.args.get("level") == incident.level)
