"""Kinds of source, and the state of the official feeds.

Kinds of source decide independence (D6) and the right to declare measures (D76). The watch writes
the state of the feeds, the console shows it.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

MANAGER: Final = "site_manager"
STAFF: Final = "agent"
"""Kind of a person of the staff: no manager, or of another site."""
SOURCE_KINDS: Final = frozenset(
    {
        STAFF,
        "airparif",
        "anssi",
        "ars",
        "astreinte_eau",
        "astreinte_si",
        "cellule",
        "cellule_autonomie",
        "cellule_si",
        "commune",
        "communication",
        "concessionnaire_eau",
        "concessionnaire_restauration",
        "delegataire_assainissement",
        "delegataire_eau",
        "directeur_de_crise",
        "direction_education",
        "direction_metier",
        "dirif",
        "edr",
        "education_nationale",
        "enedis",
        "epi_syv",
        "grdf",
        "idfm",
        "juridique",
        "meteo_france",
        "operateur",
        "organisations_syndicales",
        "police",
        "pompiers",
        "prefecture",
        "prefecture_police",
        "responsable_parc",
        "recensement",
        "rh",
        "rssi",
        "rte",
        "rumour",
        "samu",
        MANAGER,
        "siter",
        "ssi",
        "ssiap",
        "supervision",
        "systeme",
        "technician",
        "vigicrues",
    }
)
"""Kinds that a reporter may name as origin of a report in a live realm.

Any other name is free text and might be a person's.
"""


def is_entitled(
    source: str, scope: str | None, sources: Collection[str], scopes: Collection[str]
) -> bool:
    """Return whether a source may declare a measure for a scope, which is its site without one.

    `sources` may; `scopes` are the kinds of scope for which only they may, none = all. Rule D76.
    """
    kind = (scope or "site").partition(":")[0]
    return source in sources or bool(scopes and kind not in scopes)


COLOURS: Final = ("vert", "jaune", "orange", "rouge")
"""Colours of a vigilance, mildest first."""


PARIS: Final = ZoneInfo("Europe/Paris")
LATE_PERIODS: Final = 2
"""A feed counts as silent once it was not understood for this many of its periods."""
LINE_OBJECT: Final = "line:IDFM:"
"""Prefix of a transport line in the object of a report; the id of the line follows."""
WRITTEN_WITHIN: Final = timedelta(seconds=60)
"""An older state says that the watch itself does not run."""


class _FeedPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class LastPost(_FeedPart):
    """The newest report that the front took from a feed."""

    headline: str
    at: datetime | None


class FeedStatus(_FeedPart):
    """State of one feed."""

    name: str
    title: str
    enabled: bool
    verdict: str
    """Result of the last fetch; empty before the first."""
    fault: str
    edition: str
    edition_at: datetime | None
    """Time when the issuer made the edition that was read last."""
    fetched_at: datetime | None
    understood_at: datetime | None
    """Last fetch that was fresh and understood."""
    enabled_at: datetime | None
    poll_s: int
    stale_after_s: int
    heartbeat_s: int
    hours: tuple[int, int] | None = None
    word: str
    """Last word of the feed, in French."""
    last_post: LastPost | None
    waiting: int
    """Reports that the front has not taken yet."""
    read_by: str = ""
    """Name of the machine of a cluster that reads the feed; empty on a single machine."""

    def is_late(self, now: datetime) -> bool:
        """Return whether a feed that is on was not understood for two of its periods."""
        since = self.understood_at or self.enabled_at
        if not self.enabled or since is None:
            return False
        allowed_age = timedelta(seconds=LATE_PERIODS * self.poll_s)
        if self.hours is not None:
            local = now.astimezone(PARIS)
            opening = local.replace(hour=self.hours[0], minute=0, second=0, microsecond=0)
            if not self.hours[0] <= local.hour < self.hours[1]:
                return False
            since = max(since, opening)
        return now - since > allowed_age


class FeedList(_FeedPart):
    """State of all feeds."""

    written_at: datetime
    items: tuple[FeedStatus, ...]
    samples: bool = False
    """Samples are played in place of the publishers."""
