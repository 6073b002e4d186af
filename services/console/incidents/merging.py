"""Follow merged incidents: their facts count for the one that stands."""

from collections.abc import Callable, Collection, Mapping

from schemas.alerts import IncidentRow
from services.console.read_model.snapshot import RealmSnapshot


def find_standing_incident(rows: Mapping[str, IncidentRow], id: str | None) -> str | None:
    """Return the incident, or the one that it was merged into."""
    while (row := rows.get(id or "")) is not None and row.merged_into is not None:
        id = row.merged_into
    return id


def list_merged_incidents(rows: Mapping[str, IncidentRow], incident: str) -> Collection[str]:
    """Return an incident and those that were merged into it."""
    ids = {incident}
    while more := {row.id for row in rows.values() if row.merged_into in ids} - ids:
        ids |= more
    return ids


async def match_incident(
    picture: RealmSnapshot, incident: str | None
) -> Callable[[str | None], bool]:
    """Return the test whether a row is about an incident or one merged into it.

    Without an incident every row is.
    """
    if incident is None:
        return lambda _id: True
    return list_merged_incidents(await picture.rows(IncidentRow), incident).__contains__
