"""The contract of Vigie: every input, command and fact. Importing this package registers all message types."""

from schemas import alerts, callouts, commands, contingency, continuity, delivery, maintenance, oncall, reference, reports, runtime  # noqa: F401
