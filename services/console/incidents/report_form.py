"""Define the report form: six fields, big targets, one report per site and kind of trouble.

Rules D1 and D2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.catalogue.event_types import EVENT_TYPES
from services.console.i18n import N_


@dataclass(frozen=True, slots=True)
class Trouble:
    """One button of the form: see `ReportButton`."""

    key: str
    label: str
    type: str
    path: str
    named: bool
    asks: bool


TROUBLES: Final = tuple(
    Trouble(button.key, button.label.fr, row.type.value, button.path, button.named, button.asks)
    for row in EVENT_TYPES.values()
    for button in row.buttons
)


@dataclass(frozen=True, slots=True)
class OperatingState:
    """An answer to the question whether the site can go on.

    The share lost stays open if the site answers « en partie » and power depends on the generator.
    """

    key: str
    label: str
    severity: int
    lost: int


OPERATING_STATES: Final = (
    OperatingState("yes", N_("Oui"), 2, 0),
    OperatingState("part", N_("En partie"), 3, 50),
    OperatingState("no", N_("Non, fermé"), 4, 100),
)
STILL_OPEN: Final = "dire"
"""Value of a link to the form that leaves open whether the site can go on."""
DANGER_SEVERITY: Final = 5
"""Severity of a report with a person in danger. Rule D2."""
