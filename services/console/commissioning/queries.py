"""Read the preparation of a realm from the logs. Rule D111."""

from datetime import datetime
from typing import Final

from schemas import reference as ref
from schemas.oncall import ReadinessRow
from schemas.reference_changes import ReferenceChangeRow
from schemas.topics import RealmKind, is_demonstration
from services.console.commissioning.checks import LiveRealm
from services.console.directory.view import list_role_holders
from services.console.oncall.queries import OnCallQueries
from services.console.oncall.schedule import find_newest_probe
from services.console.resource_base import to_datetime

APPROVED: Final = "approved"
EXERCISES_SEARCHED: Final = 20


class CommissioningQueries(OnCallQueries):
    """Queries about the preparation of an installation."""

    async def preparation(self) -> LiveRealm:
        """Return the preparation of a live realm, as its log tells it. Raises RealmUnknown."""
        view = await self.read()
        changes = await view.picture.rows(ReferenceChangeRow)
        readiness = await view.picture.row(ReadinessRow, "proof")
        schedule, at = await self.desk()
        holders = list_role_holders(schedule, at)
        reference = view.picture.reference
        plans = [s.plans for s in reference.sections if isinstance(s, ref.Plans)]
        return LiveRealm(
            version=reference.version,
            sites=len(reference.sites),
            plans=sum(map(len, plans)),
            approval_times={
                change.reference: to_datetime(decision.at)
                for change in changes.values()
                for decision in change.decisions
                if decision.what == APPROVED
            },
            on_call=frozenset(
                person for post in holders for person in (post.holder, post.deputy) if person
            ),
            readiness=readiness,
            drill=max(schedule.drills.values(), key=lambda row: row.at, default=None),
            probe=find_newest_probe(schedule.probes),
            exercise_at=await self._find_exercise(),
        )

    async def _find_exercise(self) -> datetime | None:
        """Return when the newest exercise with a report was opened."""
        exercises = [
            realm
            for realm in await self.realms()
            if realm.kind == RealmKind.EXERCISE and not is_demonstration(realm.name)
        ]
        for realm in exercises[:EXERCISES_SEARCHED]:
            view = await self.of(realm.name).read()
            reports = await view.picture.count("reports")
            if reports:
                return realm.opened_at
        return None
