"""State of one realm in one decider: the runtime's own data beside the domain state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from schemas.base import Instant
from schemas.wire.envelope import Place
from services.runtime.decider.applied_ids import AppliedIds
from services.runtime.decider.maps import Map

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Watermark:
    """The newest forwarded fact applied from one service, with the hash of its source record."""

    place: Place
    hash: str


@dataclass(frozen=True, slots=True, weakref_slot=True)
class RealmState(Generic[S]):
    realm: str
    lineage: str
    """Realm in which this history began; ids are derived from it, so a fork keeps them."""
    now: Instant
    """The realm's clock; never goes back."""
    closed: bool
    seen: AppliedIds
    marks: Map[str, Watermark]
    """Source service → watermark."""
    domain: S
