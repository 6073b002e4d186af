"""What people have already decided of an earlier proposal, and what they have seen of it (§4, Incremental)."""

from __future__ import annotations

from dataclasses import dataclass

TELEWORK = "telework"
"""Place of a line without a host."""
OWN = "own"
"""Stands for the demand of a line where displaced agents go on with their own work."""
DISPLACED, RELEASABLE = "d", "r"


@dataclass(frozen=True, slots=True)
class LineKey:
    """What makes two lines the same: whose agents, for which need, where. `need_*` are empty for agents who go on with their own work."""

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
        """The keys in their order."""
        if self.own_work:
            return (self.site, self.activity, self.metier, OWN, self.place)
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

    def hashed(self) -> tuple[str, ...]:
        """The keys as level H hashes them: telework is the model's place `tele` there (§2, Places)."""
        return (*self.fields()[:-1], "tele" if self.place == TELEWORK else self.place)


@dataclass(frozen=True, slots=True)
class PreviousLine:
    key: LineKey
    count: int
    approved: bool
    """An approved line is a lower bound; another only weighs on stability (K)."""


Previous = tuple[PreviousLine, ...]
