"""Values for the deeds before the first crisis. Rule D111."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.delivery import ProbeRow
from schemas.oncall import DrillRow, ReadinessRow
from services.console.feeds.resources import OfficialFeeds


@dataclass(frozen=True, slots=True)
class LiveRealm:
    """The preparation of a live realm, as its log tells it."""

    version: str | None = None
    """Version of the reference data in force."""
    sites: int = 0
    plans: int = 0
    approval_times: Mapping[str, datetime] = field(default_factory=dict)
    """Version → time when a second person approved it."""
    on_call: frozenset[str] = frozenset()
    """Holders and deputies of all roles now, as tokens."""
    readiness: ReadinessRow | None = None
    drill: DrillRow | None = None
    """The newest drill."""
    probe: ProbeRow | None = None
    """The newest test of the channels that ended."""
    exercise_at: datetime | None = None
    """Opening of the newest exercise where something was reported."""


@dataclass(frozen=True, slots=True)
class PersonalAccounts:
    """Open accounts of people."""

    total: int = 0
    deciding: int = 0
    """Accounts with the right to approve changes: two people are needed for one."""
    protected_count: int = 0
    """Accounts with a second factor."""


@dataclass(frozen=True, slots=True)
class PreparationDeeds:
    """Everything that the conditions are computed from."""

    now: datetime
    live: LiveRealm
    accounts: PersonalAccounts
    reachable: frozenset[str]
    """People on call with a number or an address in the directory."""
    confirmation_times: Mapping[str, datetime]
    """Version of the reference data → time when a person confirmed it."""
    backup_at: datetime | None
    feeds: OfficialFeeds
    sources: Sequence[Mapping[str, Any]] | None
    """Sources as the front lists them; None if it was not asked, or does not answer."""
