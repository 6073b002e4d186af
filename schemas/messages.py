"""Register every message type by importing the modules that declare them.

`load_messages` in `schemas.base` imports this module when a type is asked for by its wire name. A
program that names its classes itself imports only their modules.
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
    publication,
    resource_requests,
    stimuli,
)
from schemas.people import attendance  # noqa: F401
