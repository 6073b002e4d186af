"""Bundling (D36): who was told enough gets one message for several. Pure.

Only what asks for no answer is bundled, never danger, never by voice: a call must be answerable on its own. The first continuity alarm
to a person goes at once, those of the next minutes together; beyond the hourly budget everything else waits for a digest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

from schemas.base import HOUR_MS, Instant
from schemas.delivery import BundledItem, NotificationRow
from schemas.words import Channel
from services.delivery.policies import Rules
from services.runtime.maps import Map

ALARMS: Final = frozenset({
    "alarm_rto", "alarm_dmia", "forecast_rto", "forecast_dmia", "reentry", "plan_proposed", "stand_down_proposed", "card_overdue",
    "reassignment_proposed", "reassignment_order", "reassignment_void", "reassignment_recalled",
})  # fmt: skip
MAX_ITEMS: Final = 20
"""Messages that one digest tells; more are counted."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one person was told lately."""

    at: tuple[Instant, ...] = ()
    """Messages of the last hour that count for the budget."""
    alarm_at: Instant | None = None
    """The last continuity alarm, or digest of such."""


@dataclass(frozen=True, slots=True)
class Bundles:
    told: Map[str, Told] = Map()
    """Person → what they were told."""
    waiting: Map[str, tuple[str, ...]] = Map()
    """Person → notifications that wait for the next digest, oldest first."""
    quiet: Map[str, tuple[str, ...]] = Map()
    """Person → notifications that wait for the end of the quiet hours, oldest first."""

    def until(self, row: NotificationRow, rules: Rules, now: Instant) -> Instant | None:
        """When the digest goes out that this message must wait for; None = it goes now."""
        if not is_bundled(row) or (row.quiet_until is not None and now < row.quiet_until):
            return None
        told = self.told.get(row.person, Told())
        if row.template in ALARMS and told.alarm_at is not None and now < told.alarm_at + rules.digest_ms:
            return told.alarm_at + rules.digest_ms
        if len([at for at in told.at if at > now - HOUR_MS]) >= rules.budget_per_hour:
            return now + rules.digest_ms
        return None

    def handed(self, row: NotificationRow, at: Instant) -> Self:
        """The first attempt on this message was planned."""
        if not counts(row):
            return self
        told = self.told.get(row.person, Told())
        recent = tuple(t for t in told.at if t > at - HOUR_MS)[-50:]
        alarm = at if row.template in ALARMS or any(item.template in ALARMS for item in row.bundle) else told.alarm_at
        return replace(self, told=self.told.set(row.person, Told((*recent, at), alarm)))

    def placed(self, row: NotificationRow, *, bundled: bool, quiet: bool) -> Self:
        """With this message among those that wait for a digest, for the end of the quiet hours, or for neither."""
        waiting, silent = _placed(self.waiting, row, waits=bundled), _placed(self.quiet, row, waits=quiet)
        return self if waiting is self.waiting and silent is self.quiet else replace(self, waiting=waiting, quiet=silent)

    def dump(self) -> dict[str, list[tuple[str, object]]]:
        """JSON-able collections."""
        return {
            "told": [(person, [list(told.at), told.alarm_at]) for person, told in self.told.items()],
            "bundles": [(person, list(ids)) for person, ids in self.waiting.items()],
            "quiet": [(person, list(ids)) for person, ids in self.quiet.items()],
        }

    @classmethod
    def load(cls, dumped: dict[str, list[tuple[str, object]]]) -> Self:
        """Inverse of dump."""
        told = {}
        for person, value in dumped.get("told", ()):
            assert isinstance(value, (list, tuple))
            told[person] = Told(tuple(value[0]), value[1])
        return cls(Map(told), _lists(dumped, "bundles"), _lists(dumped, "quiet"))


def _lists(dumped: dict[str, list[tuple[str, object]]], name: str) -> Map[str, tuple[str, ...]]:
    found = {}
    for person, ids in dumped.get(name, ()):
        assert isinstance(ids, (list, tuple))
        found[person] = tuple(ids)
    return Map(found)


def _placed(queues: Map[str, tuple[str, ...]], row: NotificationRow, *, waits: bool) -> Map[str, tuple[str, ...]]:
    mine = queues.get(row.person, ())
    if waits == (row.id in mine):
        return queues
    now = (*mine, row.id) if waits else tuple(id for id in mine if id != row.id)
    return queues.set(row.person, now) if now else queues.delete(row.person)


def counts(row: NotificationRow) -> bool:
    """It counts for the budget: wave 1 and voice are exempt, and danger."""
    voice = bool(row.channels) and row.channels[0] is Channel.VOICE
    return not row.danger and row.wave != 1 and not voice


def is_bundled(row: NotificationRow) -> bool:
    """It may wait for a digest."""
    return counts(row) and not row.answer_expected and row.campaign is None


def spoken_for(row: NotificationRow, others: tuple[NotificationRow, ...]) -> tuple[NotificationRow, ...]:
    """Of the quiet hours' messages to one person those that one message tells, this one among them: all that asks for no answer; of the
    calls, which must be answerable on their own, those of one ladder.
    """
    if not row.answer_expected:
        return (row, *(o for o in others if not o.answer_expected))
    return (row, *(o for o in others if o.answer_expected and row.escalation is not None and o.escalation == row.escalation))


def newest_call(rows: tuple[NotificationRow, ...]) -> tuple[NotificationRow, ...]:
    """Of several calls of one ladder to one person the newest, which stands for the others, then those."""
    carrier = max(rows, key=lambda r: (r.planned_at, r.cycle or 0, r.wave or 0, r.id))
    told = (r.model_copy(update={"bundled_into": carrier.id, "why": "bundled", "not_before": None}) for r in rows if r.id != carrier.id)
    return (carrier.model_copy(update={"why": None, "not_before": None}), *told)


def bundle(carrier: NotificationRow, others: tuple[NotificationRow, ...]) -> tuple[NotificationRow, ...]:
    """The carrier with what the others say, then the others, told by it."""
    items = tuple(BundledItem(template=r.template, level=r.level, values=r.values, role=r.role, scope=r.scope) for r in others[:MAX_ITEMS])
    told = tuple(r.model_copy(update={"bundled_into": carrier.id, "why": "bundled", "not_before": None}) for r in others)
    return (carrier.model_copy(update={"bundle": items, "bundle_count": len(others), "why": None, "not_before": None}), *told)
