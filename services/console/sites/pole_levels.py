"""Level of a pôle: the highest of the open incidents with a report about one of its sites.

It follows from the incidents and is decided nowhere else. It rises at once with them, and falls
only when a person lowers or closes the incident behind it, with a reason. `pole: multi` is no pôle.
Rules D27, D29, D31.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from schemas.alerts import IncidentRow, LevelRow, Why


def compute_pole_levels(
    incidents: Iterable[IncidentRow], pole_of: Mapping[str, str]
) -> dict[str, LevelRow]:
    """Return pôle → its level above N0, with the reasons of the incident behind it.

    Among incidents of the same level, the one that reached it first counts. `incidents` are the
    open ones, `pole_of` maps site to pôle, and the id of a row is `pole:<id>`.
    """
    found: dict[str, LevelRow] = {}
    for incident in incidents:
        if not incident.level:
            continue
        why = _get_level_reasons(incident)
        since = why[-1].at if why and why[-1].at is not None else incident.opened_at
        for pole in {pole_of[site] for site in incident.members if site in pole_of} - {"multi"}:
            known = found.get(pole)
            if known is None or (incident.level, -since) > (known.level, -known.since):
                found[pole] = LevelRow(
                    id=f"pole:{pole}", level=incident.level, since=since, why=why
                )
    return found


def _get_level_reasons(incident: IncidentRow) -> tuple[Why, ...]:
    """Return the reasons of the incident's current level, without those of earlier levels."""
    return tuple(w for w in incident.why if w.args.get("level") == incident.level)
