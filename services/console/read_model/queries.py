"""Combine all typed queries that REST, live stream and pages use into `ReadModel`.

`of` binds the queries to a realm and a language; they tell its present (Redis). `at` returns the
same queries as of a time (a fold of the logs). `limit` is at most 1000; `cursor` is the `next` of
the page before. No method writes.

All raise the problems of `services.console.http.problems` (RealmUnknown, NotFound, Rebuilding,
StoreAway) and CursorInvalid of `services.runtime.http.pagination`; for the past also ProblemError
`broker_away`.
"""

from services.console.actions.queries import ActionQueries
from services.console.attention.queries import AttentionQueries
from services.console.commissioning.queries import CommissioningQueries
from services.console.communication.queries import CommunicationQueries
from services.console.dependencies.queries import DependencyQueries
from services.console.drills.queries import DrillQueries
from services.console.facilitation.queries import FacilitationQueries
from services.console.handover.queries import HandoverQueries
from services.console.http.problems import NotFound, RealmUnknown, Rebuilding, StoreUnavailable
from services.console.ledger.queries import LedgerQueries
from services.console.logistics.queries import LogisticsQueries
from services.console.maintenance.queries import MaintenanceQueries
from services.console.obligations.queries import ObligationQueries
from services.console.public.queries import PublicationQueries
from services.console.reassignment.queries import ReassignmentQueries
from services.console.reference.queries import ReferenceQueries

__all__ = ["NotFound", "Queries", "ReadModel", "RealmUnknown", "Rebuilding", "StoreUnavailable"]


class ReadModel(
    ActionQueries,
    AttentionQueries,
    HandoverQueries,
    LedgerQueries,
    CommissioningQueries,
    DependencyQueries,
    DrillQueries,
    FacilitationQueries,
    CommunicationQueries,
    LogisticsQueries,
    MaintenanceQueries,
    ObligationQueries,
    PublicationQueries,
    ReassignmentQueries,
    ReferenceQueries,
):
    """All queries. Safe for concurrent use in one event loop."""


Queries = ReadModel
"""Name of the query layer that readers import."""
