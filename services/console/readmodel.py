"""The typed query layer of the console: everything that REST, live stream and pages read goes through `ReadModel`.

Every method takes a realm and `as_of` (ms): None = now (Redis), else what was known at that time (fold of the logs). `lang` is
`fr` or `en`; `limit` ≤ 1000; `cursor` is the `next` of the page before. No method writes. All raise the problems of
`services.console.faults`: RealmUnknown, NotFound, Rebuilding, StoreAway; CursorInvalid of `services.runtime.paging`; with `as_of` also ProblemError `broker_away`.
"""

from __future__ import annotations

from services.console.faults import NotFound, RealmUnknown, Rebuilding, StoreAway
from services.console.queries.attention import AttentionQueries
from services.console.queries.changes import ChangeQueries
from services.console.queries.documents import Documents
from services.console.queries.maintenance import Works
from services.console.queries.oncall import OnCallQueries
from services.console.queries.reassignments import Reassignments
from services.console.queries.reference import Versions

__all__ = ["NotFound", "Queries", "ReadModel", "RealmUnknown", "Rebuilding", "StoreAway"]


class ReadModel(AttentionQueries, Documents, ChangeQueries, Works, OnCallQueries, Reassignments, Versions):
    """All queries. Safe for concurrent use in one event loop."""


Queries = ReadModel
"""What readers depend on."""
