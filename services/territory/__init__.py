"""Read a territory folder (`territories/92/`) into sections of `schemas.reference` and check it.

French YAML keys become English here, once. Every problem is a `Problem` with file, line and
sentence; reading goes on after a problem. The version of a territory is a hash of its sections, so
the same content has the same version.
"""

from services.territory.load import (
    Territory,
    TerritoryInvalid,
    load_current_territory,
    load_territory,
)
from services.territory.source import SourceProblem

__all__ = [
    "SourceProblem",
    "Territory",
    "TerritoryInvalid",
    "load_current_territory",
    "load_territory",
]
