"""Types of events: one row per type; every other table is derived from it.

To add a type, add a member and a row here; the tests name a missing text.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final, NamedTuple


class EventType(StrEnum):
    """Type of a report (docs/reference/rules.md, section 3)."""

    CLOSURE = "closure"
    DAMAGE_REPORT = "damage_report"
    EVACUATION = "evacuation"
    FIRE = "fire"
    FLOOD_LEVEL = "flood_level"
    GAS_LEAK = "gas_leak"
    HEADCOUNT = "headcount"
    INFO = "info"
    OUTAGE_HEATING = "outage_heating"
    OUTAGE_IT = "outage_it"
    OUTAGE_POWER = "outage_power"
    OUTAGE_TELECOM = "outage_telecom"
    OUTAGE_WATER = "outage_water"
    PARTIAL_CLOSURE = "partial_closure"
    REOPENING = "reopening"
    SANITARY_ALERT = "sanitary_alert"
    SECURITY_INCIDENT = "security_incident"
    SHELTER_IN_PLACE = "shelter_in_place"
    STAFF_SHORTAGE = "staff_shortage"
    SUPPLIER_FAILURE = "supplier_failure"
    TRANSPORT_DISRUPTION = "transport_disruption"
    WEATHER_ALERT = "weather_alert"


class EventKind(Enum):
    """The effect of a report."""

    CAUSE = "cause"
    """It holds at its site or zone until something lifts it."""
    PASSING = "passing"
    """It counts for a severity without making a cause: weather, river, transport."""
    SILENT = "silent"
    """It never opens an incident and counts for no severity. Rule D24, one incident."""


PERSON_IN_DANGER: Final = 5
"""Severity of a report with a person in danger. Rule D2."""


class Text(NamedTuple):
    """A text in both languages of the screens and messages."""

    fr: str
    en: str


@dataclass(frozen=True, slots=True)
class ReportButton:
    """A button of the report form: its label and the path of its drawing.

    `named` puts the label before the sentence, for buttons that share a type. `asks` demands a
    sentence; it sends `info`, which calls no one, only while the site goes on and no one is in
    danger.
    """

    key: str
    label: Text
    path: str
    named: bool = False
    asks: bool = False


@dataclass(frozen=True, slots=True)
class EventTypeRow:
    """Everything that the system knows of a type of events."""

    type: EventType
    kind: EventKind
    label: Text
    """Title on screens."""
    trouble: Text | None = None
    """Trouble of a site, in a table cell; causes have one."""
    phrase: Text | None = None
    """Name in the middle of a sentence of a message."""
    danger_from: int = PERSON_IN_DANGER
    """Least severity at which it is a danger to people: its messages are never held back."""
    total_loss: bool = False
    """It takes the whole capacity of its site, whichever loss a report names."""
    plannable: bool = False
    """Planned works may cause it."""
    supply: bool = False
    """A supply, which a text message such as `EAU OK` reports as back."""
    sms_words: str = ""
    """Words of a short text message that mean it."""
    free_words: str = ""
    """Words that tell of it anywhere in a text message that begins with none of `sms_words`.

    Only words of danger to people stand here: people in danger write no codes.
    """
    sms_severity: int = 3
    """Severity of such a message, as of the report form for a site that can partly go on."""
    buttons: tuple[ReportButton, ...] = ()
    """Buttons of the report form, which shows them in the order of this table."""


_ROWS: Final = (
    EventTypeRow(
        EventType.OUTAGE_POWER,
        EventKind.CAUSE,
        label=Text("Coupure d’électricité", "Power cut"),
        trouble=Text("sans courant", "without power"),
        phrase=Text("coupure d’électricité", "power cut"),
        plannable=True,
        supply=True,
        sms_words="ELEC ELECTRICITE COURANT POWER",
        buttons=(
            ReportButton("power", Text("Électricité", "Power"), "M9 1 3 9h4l-1 6 7-9H8l1-5Z"),
        ),
    ),
    EventTypeRow(
        EventType.OUTAGE_WATER,
        EventKind.CAUSE,
        label=Text("Coupure d’eau", "Water cut"),
        trouble=Text("sans eau", "without water"),
        phrase=Text("coupure d’eau", "water cut"),
        plannable=True,
        supply=True,
        sms_words="EAU WATER",
        buttons=(
            ReportButton(
                "water",
                Text("Eau", "Water"),
                "M8 1.5C5 5.5 3.5 7.8 3.5 10a4.5 4.5 0 0 0 9 0C12.5 7.8 11 5.5 8 1.5Z",
            ),
        ),
    ),
    EventTypeRow(
        EventType.OUTAGE_HEATING,
        EventKind.CAUSE,
        label=Text("Chauffage en panne", "Heating failure"),
        trouble=Text("sans chauffage", "without heating"),
        phrase=Text("panne de chauffage", "heating failure"),
        plannable=True,
        supply=True,
        sms_words="CHAUF CHAUFFAGE HEATING",
        buttons=(
            ReportButton(
                "heating",
                Text("Chauffage, froid", "Heating, cold"),
                "M6 9.5V3a2 2 0 1 1 4 0v6.5a3.5 3.5 0 1 1-4 0ZM8 6v6",
            ),
        ),
    ),
    EventTypeRow(
        EventType.OUTAGE_IT,
        EventKind.CAUSE,
        label=Text("Panne informatique", "IT outage"),
        trouble=Text("sans informatique", "without IT"),
        phrase=Text("panne informatique", "IT outage"),
        plannable=True,
        supply=True,
        sms_words="SI IT INFORMATIQUE RESEAU INTERNET",
        buttons=(
            ReportButton(
                "it",
                Text("Informatique, téléphone", "IT, telephone"),
                "M1.5 3h13v8h-13ZM5.5 14h5M8 11v3",
            ),
        ),
    ),
    EventTypeRow(
        EventType.OUTAGE_TELECOM,
        EventKind.CAUSE,
        label=Text("Panne téléphonique", "Telephone outage"),
        trouble=Text("sans téléphone", "without telephone"),
        phrase=Text("panne de téléphone", "telephone outage"),
        plannable=True,
        supply=True,
        sms_words="TEL TELEPHONE PHONE",
    ),
    EventTypeRow(
        EventType.GAS_LEAK,
        EventKind.CAUSE,
        label=Text("Fuite de gaz", "Gas leak"),
        trouble=Text("fuite de gaz", "gas leak"),
        phrase=Text("fuite de gaz", "gas leak"),
        danger_from=1,
        sms_words="GAZ GAS",
        free_words="GAZ GAS MONOXYDE TOXIQUE TOXIQUES",
        sms_severity=4,
        buttons=(
            ReportButton(
                "gas",
                Text("Odeur ou fuite de gaz", "Smell of gas or leak"),
                "M3 12.5c0-3 2-3 2-5.5S3.5 4 4.5 2M8 12.5c0-3 2-3 2-5.5S8.5 4 9.5 2M1.5 14.5h13",
            ),
        ),
    ),
    EventTypeRow(
        EventType.FIRE,
        EventKind.CAUSE,
        label=Text("Incendie", "Fire"),
        trouble=Text("incendie", "fire"),
        phrase=Text("incendie", "fire"),
        danger_from=1,
        total_loss=True,
        sms_words="FEU FUMEE INCENDIE FIRE",
        free_words="FEU FUMEE FUMEES INCENDIE INCENDIES FLAMME FLAMMES BRULE BRULENT CRAME FLAMBE "
        "EXPLOSION EXPLOSIONS EXPLOSE DETONATION FIRE SMOKE",
        sms_severity=4,
        buttons=(
            ReportButton(
                "fire",
                Text("Incendie, fumée", "Fire, smoke"),
                (
                    "M8 1c.5 3 4 4.5 4 8.5a4 4 0 0 1-8 0C4 7.5 5.2 6.7 5.5 5 6.8 5.5 7 6.5 7 7c1-1.5 "
                    "1.2-3.5 1-6Z"
                ),
            ),
        ),
    ),
    EventTypeRow(
        EventType.EVACUATION,
        EventKind.CAUSE,
        label=Text("Évacuation", "Evacuation"),
        trouble=Text("évacuation", "evacuation"),
        phrase=Text("évacuation", "evacuation"),
        danger_from=1,
        total_loss=True,
        sms_words="EVAC EVACUE EVACUATION",
        free_words="EVAC EVACU EVACUE EVACUEE EVACUES EVACUEES EVACUONS EVACUENT EVACUER EVACUEZ "
        "EVACUATION",
        sms_severity=4,
        buttons=(
            ReportButton(
                "evacuation",
                Text("Évacuation", "Evacuation"),
                "M2.5 14V2h6v12M8.5 8h6M12 5.5 14.5 8 12 10.5",
            ),
        ),
    ),
    EventTypeRow(
        EventType.SHELTER_IN_PLACE,
        EventKind.CAUSE,
        label=Text("Confinement", "Shelter in place"),
        trouble=Text("confinement", "sheltering"),
        phrase=Text("confinement", "sheltering"),
        danger_from=1,
        total_loss=True,
        sms_words="CONFINE CONFINEMENT ABRI SHELTER",
        free_words="CONFINE CONFINEE CONFINES CONFINEES CONFINONS CONFINEZ CONFINEMENT",
        sms_severity=4,
        buttons=(
            ReportButton(
                "shelter",
                Text("Confinement", "Shelter in place"),
                "M1.5 8 8 2l6.5 6M3.5 7v7h9V7M8 9v2.5",
            ),
        ),
    ),
    EventTypeRow(
        EventType.SECURITY_INCIDENT,
        EventKind.CAUSE,
        label=Text("Incident de sûreté", "Security incident"),
        trouble=Text("incident de sûreté", "security incident"),
        phrase=Text("incident de sûreté", "security incident"),
        danger_from=1,
        sms_words="INTRUSION VIOLENCE AGRESSION",
        free_words="INTRUSION AGRESSION AGRESSE ATTENTAT TIRS FUSILLADE ARME ARMES COUTEAU OTAGE OTAGES "
        "BOMBE EXPLOSIF EXPLOSIFS TERRORISTE TERRORISTES BAGARRE RIXE FUSIL PISTOLET MACHETTE "
        "TIREUR INTRUS AGRESSEE AGRESSES POIGNARDE POIGNARDEE",
        buttons=(
            ReportButton(
                "security",
                Text("Intrusion, violence", "Intrusion, violence"),
                "M8 1.5 13.5 4v4c0 3.5-2.5 5.5-5.5 6.5C5 13.5 2.5 11.5 2.5 8V4ZM8 5v4M8 10.8v1",
            ),
        ),
    ),
    EventTypeRow(
        EventType.SANITARY_ALERT,
        EventKind.CAUSE,
        label=Text("Alerte sanitaire", "Health alert"),
        trouble=Text("alerte sanitaire", "health alert"),
        phrase=Text("alerte sanitaire", "health alert"),
        danger_from=3,
        sms_words="MALADE MALADES SANITAIRE",
        free_words="BLESSE BLESSEE BLESSES BLESSEES INCONSCIENT INCONSCIENTE INTOXICATION SOS "
        "MALAISE MALAISES CARDIAQUE INFARCTUS AVC NOYADE NOIE NOYE NOYEE DECES DECEDE DECEDEE "
        "EVANOUI EVANOUIE ELECTROCUTE ELECTROCUTEE ELECTROCUTION HEMORRAGIE ETOUFFE SUICIDE "
        "OVERDOSE DANGER",
        buttons=(
            ReportButton(
                "illness", Text("Personnes malades", "People ill"), "M6 2h4v4h4v4h-4v4H6v-4H2V6h4Z"
            ),
        ),
    ),
    EventTypeRow(
        EventType.STAFF_SHORTAGE,
        EventKind.CAUSE,
        label=Text("Sous-effectif", "Staff shortage"),
        trouble=Text("sous-effectif", "staff shortage"),
        phrase=Text("sous-effectif", "staff shortage"),
        buttons=(
            ReportButton(
                "staff",
                Text("Sous-effectif", "Staff shortage"),
                "M6 7.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM1 14c0-3 2-5 5-5s5 2 5 5M11.5 5h4",
            ),
        ),
    ),
    EventTypeRow(
        EventType.DAMAGE_REPORT,
        EventKind.CAUSE,
        label=Text("Dégâts", "Damage"),
        trouble=Text("dégâts", "damage"),
        phrase=Text("dégâts au bâtiment", "damage to the building"),
        sms_words="DEGAT DEGATS BATIMENT DAMAGE",
        free_words="EFFONDREMENT EFFONDRE EFFONDREE ECROULE ECROULEE ECROULEMENT",
        buttons=(
            ReportButton(
                "flooding",
                Text("Inondation", "Flooding"),
                (
                    "M1.5 7 8 1.5 14.5 7M1 10.5c1.5-1.5 3-1.5 4.5 0s3 1.5 4.5 0 3-1.5 4.5 0M1 14c1.5-1.5 "
                    "3-1.5 4.5 0s3 1.5 4.5 0 3-1.5 4.5 0"
                ),
                named=True,
            ),
            ReportButton(
                "building",
                Text("Dégâts au bâtiment", "Damage to the building"),
                "M2.5 14V5L8 1.5 13.5 5v9ZM6.5 14v-4h3v4",
            ),
        ),
    ),
    EventTypeRow(
        EventType.PARTIAL_CLOSURE,
        EventKind.CAUSE,
        label=Text("Fermeture partielle", "Partial closure"),
        trouble=Text("fermé en partie", "partly closed"),
        phrase=Text("fermeture partielle", "partial closure"),
        plannable=True,
    ),
    EventTypeRow(
        EventType.CLOSURE,
        EventKind.CAUSE,
        label=Text("Fermeture", "Closure"),
        trouble=Text("fermé", "closed"),
        phrase=Text("fermeture", "closure"),
        total_loss=True,
        plannable=True,
        sms_words="FERME FERMEE FERMETURE CLOSED",
        sms_severity=4,
    ),
    EventTypeRow(
        EventType.SUPPLIER_FAILURE,
        EventKind.CAUSE,
        label=Text("Fournisseur défaillant", "Supplier failure"),
        trouble=Text("fournisseur défaillant", "supplier failure"),
        phrase=Text("fournisseur défaillant", "supplier failure"),
    ),
    EventTypeRow(
        EventType.TRANSPORT_DISRUPTION,
        EventKind.PASSING,
        label=Text("Transports perturbés", "Transport disruption"),
        phrase=Text("transports perturbés", "transport disruption"),
    ),
    EventTypeRow(
        EventType.WEATHER_ALERT,
        EventKind.PASSING,
        label=Text("Vigilance météo", "Weather watch"),
        phrase=Text("intempéries", "bad weather"),
    ),
    EventTypeRow(
        EventType.FLOOD_LEVEL,
        EventKind.PASSING,
        label=Text("Hauteur d’eau", "Water level"),
        phrase=Text("montée des eaux", "rising water"),
    ),
    EventTypeRow(EventType.HEADCOUNT, EventKind.SILENT, label=Text("Recensement", "Headcount")),
    EventTypeRow(
        EventType.INFO,
        EventKind.SILENT,
        label=Text("Information", "Information"),
        buttons=(
            ReportButton(
                "other", Text("Autre", "Something else"), "M3 8h.01M8 8h.01M13 8h.01", asks=True
            ),
        ),
    ),
    EventTypeRow(EventType.REOPENING, EventKind.SILENT, label=Text("Réouverture", "Reopening")),
)
EVENT_TYPES: Final = {row.type: row for row in _ROWS}
"""Type → its row."""


def select_types(*kinds: EventKind) -> frozenset[EventType]:
    """Return the types of these kinds."""
    return frozenset(row.type for row in _ROWS if row.kind in kinds)


DANGER_TYPES: Final = frozenset(row.type for row in _ROWS if row.danger_from == 1)
"""Types that are a danger to people by themselves."""


def endangers_people(type: EventType, severity: int) -> bool:
    """Return whether trouble of this type and severity is a danger to people. Rule D2.

    The fronts, the decider and the screens all ask here.
    """
    return severity >= EVENT_TYPES[type].danger_from


def may_endanger_people(type: EventType) -> bool:
    """Return whether a type is a danger to people before anybody says that a person is."""
    return EVENT_TYPES[type].danger_from < PERSON_IN_DANGER


def list_texts() -> list[Text]:
    """List the texts of screens, which their translator needs beside its catalogue."""
    texts = [text for row in _ROWS for text in (row.label, row.trouble) if text is not None]
    return texts + [button.label for row in _ROWS for button in row.buttons]
