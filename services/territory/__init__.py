"""Reads a territory folder (`territories/92/`) into the sections of `schemas.reference`, and checks it.

French keys of the YAML files become English here, once. Every problem is a `Problem` with file, line and a sentence; nothing
stops at the first. The version of a territory is a hash of its sections, so the same content has the same version.
"""

from services.territory.load import Territory, TerritoryInvalid, load_territory, territory_now
from services.territory.source import Problem

__all__ = ["Problem", "Territory", "TerritoryInvalid", "load_territory", "territory_now"]
