"""The typed query layer of the console: everything that REST, live stream and pages read goes through `ReadModel`.

Every method takes a realm and `as_of` (ms): None = now (Redis), else what was known at that time (fold of the logs). `lang` is
`fr` or `en`; `limit` ≤ 1000; `cursor` is the `next` of the page before. No method writes. All raise the problems of
`services.console.http.problems`: RealmUnknown, NotFound, Rebuilding, StoreAway; CursorInvalid of `services.runtime.http.pagination`; with `as_of` also ProblemError `broker_away`.
"""

from __future__ import annotations

from services.console.attention.queries import AttentionQueries
from services.console.documents.queries import Documents
from services.console.http.problems import NotFound, RealmUnknown, Rebuilding, StoreAway
from services.console.maintenance.queries import Works
from services.console.oncall.queries import OnCallQueries
from services.console.read_model.changes import ChangeQueries
from services.console.reassignment.queries import Reassignments
from services.console.reference.queries import Versions

__all__ = ["NotFound", "Queries", "ReadModel", "RealmUnknown", "Rebuilding", "StoreAway"]


class ReadModel(
    AttentionQueries, Documents, ChangeQueries, Works, OnCallQueries, Reassignments, Versions
):
    """All queries. Safe for concurrent use in one event loop."""


Queries = ReadModel
"""What readers depend on."""
