"""Define the contract of Vigie: every input, command and fact.

Importing this package registers all message types.
"""

from schemas import (  # noqa: F401
    alerts,
    calling,
    callouts,
    commands,
    continuity,
    delivery,
    oncall,
    reassignment,
    reference,
    reference_changes,
    reports,
    runtime,
)
from schemas.crisis import (  # noqa: F401
    actions,
    area_orders,
    causes,
    communication,
    contingency,
    handovers,
    maintenance,
    obligations,
    resource_requests,
    stimuli,
)
from schemas.people import attendance  # noqa: F401
