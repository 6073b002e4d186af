"""A decision of delivery in progress."""

from schemas.base import Fact
from schemas.calling import Unreachable
from schemas.delivery import NotificationChanged, NotificationRow
from schemas.words import NotificationState
from services.delivery.evolve import build_terms, evolve
from services.delivery.notifications.attempts import AttemptTerms, plan_next_attempt
from services.delivery.state import DeliveryState
from services.runtime.decider.protocol import Decision


class DeliveryDecision(Decision[DeliveryState]):
    """A decision of delivery, with the rows of notifications that it changes."""

    __slots__ = ()

    def evolve(self, fact: Fact) -> DeliveryState:
        return evolve(self.state, fact, self.at)

    def build_terms(self) -> AttemptTerms:
        """Return the terms in force for the next step of any notification."""
        return build_terms(self.state, self.now)

    def record_rows(self, *rows: NotificationRow) -> None:
        """Record new rows that leave a message with its person, or on its way."""
        self.emit(*(NotificationChanged(row=row) for row in rows))

    def record_step(self, before: NotificationRow, after: NotificationRow) -> None:
        """Record the new row, and `Unreachable` at the moment when no attempt is left.

        The information that a digest contains has not reached the person either.
        """
        failed_state = NotificationState.FAILED
        is_recorded = before.id in self.state.notifications
        self.record_rows(after)
        if after.state is failed_state and not (is_recorded and before.state is failed_state):
            for id in (after.id, *self._list_bundled_information(after)):
                self.emit(Unreachable(notification=id, person=after.person, at=self.now))

    def _list_bundled_information(self, carrier: NotificationRow) -> list[str]:
        """Return the messages without an answer that a message contains, and those in them."""
        if not carrier.bundle_count:
            return []
        carriers, bundled = {carrier.id}, set[str]()
        while carriers:
            rows = [
                row for row in self.state.notifications.values() if row.bundled_into in carriers
            ]
            carriers = {row.id for row in rows} - bundled
            bundled |= {row.id for row in rows if not row.answer_expected}
        return sorted(bundled)

    def record_attempt(self, before: NotificationRow, after: NotificationRow) -> None:
        """Plan the next attempt of a message that has become `after`, and record it."""
        self.record_step(before, plan_next_attempt(after, self.build_terms()))
