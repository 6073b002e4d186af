"""Define the contract of Vigie: every input, command and fact.

Importing this package registers all message types.
"""

from schemas import (  # noqa: F401
    actions,
    alerts,
    attendance,
    calling,
    callouts,
    causes,
    commands,
    communication,
    contingency,
    continuity,
    delivery,
    maintenance,
    oncall,
    reassignment,
    reference,
    reference_changes,
    reports,
    resource_requests,
    runtime,
)
