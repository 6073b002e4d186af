"""Lines of an earlier proposal that people decided or have seen.

See `docs/reference/reassignment-model.md`, §4, Incremental.
"""

from __future__ import annotations

from dataclasses import dataclass

TELEWORK = "telework"
"""Place of a line without a host."""
OWN_WORK_NAME = "own"
"""Replaces the demand in the key of displaced agents that continue their own work."""
DISPLACED, RELEASABLE = "d", "r"


@dataclass(frozen=True, slots=True)
class LineKey:
    """Identity of a line: agents, need, place.

    The `need_*` fields are empty for agents that continue their own work.
    """

    site: str
    activity: str
    metier: str
    supply: str
    """`d` displaced, `r` releasable."""
    need_site: str
    need_activity: str
    need_metier: str
    place: str
    """A site, or `telework`."""

    @property
    def own_work(self) -> bool:
        return not self.need_activity

    def fields(self) -> tuple[str, ...]:
        """Return the fields in order."""
        if self.own_work:
            return (self.site, self.activity, self.metier, OWN_WORK_NAME, self.place)
        return (
            self.site,
            self.activity,
            self.metier,
            self.supply,
            self.need_site,
            self.need_activity,
            self.need_metier,
            self.place,
        )

    def list_hash_fields(self) -> tuple[str, ...]:
        """Return the fields as level H hashes them: telework is `tele` there."""
        return (*self.fields()[:-1], "tele" if self.place == TELEWORK else self.place)


@dataclass(frozen=True, slots=True)
class PreviousLine:
    key: LineKey
    count: int
    is_approved: bool
    """An approved line is a lower bound; any other only weighs on stability (K)."""


Previous = tuple[PreviousLine, ...]
