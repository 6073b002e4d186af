"""Define the report form: six fields, big targets, one report per site and kind of trouble.

Rules D1 and D2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.console.i18n import N_


@dataclass(frozen=True, slots=True)
class Trouble:
    """One button: its label, its drawing, and the type of the report.

    `named` puts the label before the sentence, for buttons that share a type. `asks` demands a
    sentence; it sends `info`, which calls no one, only while the site goes on and no one is in
    danger.
    """

    key: str
    label: str
    type: str
    path: str
    named: bool = False
    asks: bool = False


TROUBLES: Final = (
    Trouble("power", N_("Électricité"), "outage_power", "M9 1 3 9h4l-1 6 7-9H8l1-5Z"),
    Trouble(
        "water",
        N_("Eau"),
        "outage_water",
        "M8 1.5C5 5.5 3.5 7.8 3.5 10a4.5 4.5 0 0 0 9 0C12.5 7.8 11 5.5 8 1.5Z",
    ),
    Trouble(
        "heating",
        N_("Chauffage, froid"),
        "outage_heating",
        "M6 9.5V3a2 2 0 1 1 4 0v6.5a3.5 3.5 0 1 1-4 0ZM8 6v6",
    ),
    Trouble("it", N_("Informatique, téléphone"), "outage_it", "M1.5 3h13v8h-13ZM5.5 14h5M8 11v3"),
    Trouble(
        "gas",
        N_("Odeur ou fuite de gaz"),
        "gas_leak",
        "M3 12.5c0-3 2-3 2-5.5S3.5 4 4.5 2M8 12.5c0-3 2-3 2-5.5S8.5 4 9.5 2M1.5 14.5h13",
    ),
    Trouble(
        "fire",
        N_("Incendie, fumée"),
        "fire",
        (
            "M8 1c.5 3 4 4.5 4 8.5a4 4 0 0 1-8 0C4 7.5 5.2 6.7 5.5 5 6.8 5.5 7 6.5 7 7c1-1.5 "
            "1.2-3.5 1-6Z"
        ),
    ),
    Trouble(
        "evacuation", N_("Évacuation"), "evacuation", "M2.5 14V2h6v12M8.5 8h6M12 5.5 14.5 8 12 10.5"
    ),
    Trouble(
        "shelter", N_("Confinement"), "shelter_in_place", "M1.5 8 8 2l6.5 6M3.5 7v7h9V7M8 9v2.5"
    ),
    Trouble(
        "security",
        N_("Intrusion, violence"),
        "security_incident",
        "M8 1.5 13.5 4v4c0 3.5-2.5 5.5-5.5 6.5C5 13.5 2.5 11.5 2.5 8V4ZM8 5v4M8 10.8v1",
    ),
    Trouble("illness", N_("Personnes malades"), "sanitary_alert", "M6 2h4v4h4v4h-4v4H6v-4H2V6h4Z"),
    Trouble(
        "staff",
        N_("Sous-effectif"),
        "staff_shortage",
        "M6 7.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM1 14c0-3 2-5 5-5s5 2 5 5M11.5 5h4",
    ),
    Trouble(
        "flooding",
        N_("Inondation"),
        "damage_report",
        (
            "M1.5 7 8 1.5 14.5 7M1 10.5c1.5-1.5 3-1.5 4.5 0s3 1.5 4.5 0 3-1.5 4.5 0M1 14c1.5-1.5 "
            "3-1.5 4.5 0s3 1.5 4.5 0 3-1.5 4.5 0"
        ),
        named=True,
    ),
    Trouble(
        "building",
        N_("Dégâts au bâtiment"),
        "damage_report",
        "M2.5 14V5L8 1.5 13.5 5v9ZM6.5 14v-4h3v4",
    ),
    Trouble("other", N_("Autre"), "info", "M3 8h.01M8 8h.01M13 8h.01", asks=True),
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
DANGER_SEVERITY: Final = 5
"""Severity of a report with a person in danger. Rule D2."""
