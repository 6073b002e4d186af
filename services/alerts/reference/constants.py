"""Numbers of docs/reference/rules.md that no reference file carries, and the words of a report that alerts gives a meaning to.

Everything an organisation may change (thresholds, waves, delays of silence) is reference data and is not here.
"""

from __future__ import annotations

from typing import Final

from schemas import sources, words
from schemas.base import DAY_MS, HOUR_MS, MINUTE_MS
from schemas.words import Effect
from schemas.words import EventType as T

LATE_AFTER_MS: Final = 15 * MINUTE_MS
"""D7: recorded so long after it occurred is flagged `late`."""
FUTURE_AFTER_MS: Final = 5 * MINUTE_MS
"""D7: occurring so long after it was recorded, without windows, is flagged `future`."""
CONTRADICTION_MS: Final = 15 * MINUTE_MS
"""D5: « shut » from one source so soon after « reopened » from another: both cannot hold, somebody must look."""
CLUSTER_MS: Final = 60 * MINUTE_MS
"""D22: a power cut joins a cluster up to here after its last cut."""
CLUSTER_KM: Final = 3.0
"""D22: … and up to here from a member."""
IT_BY_POWER_MS: Final = 12 * HOUR_MS
"""D22: IT and telecom failures on the sites of a power incident belong to it for so long."""
FIRE_BY_SECURITY_MS: Final = 12 * HOUR_MS
"""D22: fires and damage belong to the security incident for so long after its last fact."""
CLOSURE_BY_SECURITY_MS: Final = 24 * HOUR_MS
"""D22: closures near it and transport belong to the security incident for so long."""
SECURITY_KM: Final = 4.0
"""D22: damage and closures are near a security incident up to here from one of its communes."""
IT_BY_FIRE_MS: Final = 2 * HOUR_MS
"""D22: IT failures and closed roads belong to a fire for so long."""
ADDENDUM_MS: Final = 72 * HOUR_MS
"""D26: a late report joins an incident that was closed less than this ago."""
REMEMBER_MS: Final = 7 * DAY_MS
"""D4: ids are known for 7 days, or while their incident is open and 72 h after."""
GAS_ZONE_KM: Final = 0.3
"""D18: zone of a gas leak."""
ZONE_CUSTOMERS: Final = 20_000
"""D18: above it, the communes that the operator names are the zone of a power cut."""
ALL_CLEAR_MS: Final = 60 * MINUTE_MS
"""D20: silence after the operator's all-clear."""
REARM_MS: Final = 60 * MINUTE_MS
"""D31: a threshold is armed again after so long below it by the margin."""
CLOSED_BY_POWER_PCT: Final = 80.0
"""§3: a power cut closes a site without generator from this loss on."""
GENERATOR_LOSS_PCT: Final = 60.0
"""§3: with a generator a power cut takes at most this."""
FLOODED_MAINS_M: Final = 6.5
"""D22: from this river level on, power cuts in the flood plan belong to the flood."""
TRANSIT_STOPS: Final = 4
"""From this severity on, a disruption of the network as a whole means that nobody can count on public transport to be moved (R5)."""
TRANSIT_RUNS: Final = 2
"""… and up to this one it runs again."""
CENTRAL: Final = "site_central"
"""Kind of the sites whose loss is transverse (§13)."""
TRANSVERSE_H: Final = 72.0
"""§13: a central site out for so long is a transverse loss."""
BELOW_OPENING_PCT: Final = 50.0
"""§13: presence that stands for « 1 accueil + 1 entretien »."""
WINDOW_SCAN_MS: Final = DAY_MS
"""§13: windows of cuts and security events are those that started in the last 24 h (or the window, if longer)."""

COLOURS: Final = sources.COLOURS

MOST_PERSONS: Final = 1_000_000_000
"""A measure that counts more people counts so many: `persons_concerned` takes no more either."""


CAUSE_TYPES: Final = frozenset(
    {
        T.CLOSURE,
        T.EVACUATION,
        T.FIRE,
        T.SHELTER_IN_PLACE,
        T.OUTAGE_POWER,
        T.OUTAGE_WATER,
        T.OUTAGE_HEATING,
        T.PARTIAL_CLOSURE,
        T.DAMAGE_REPORT,
        T.GAS_LEAK,
        T.SECURITY_INCIDENT,
        T.OUTAGE_IT,
        T.OUTAGE_TELECOM,
        T.STAFF_SHORTAGE,
        T.SANITARY_ALERT,
        T.SUPPLIER_FAILURE,
    }
)
"""Types that hold until something lifts them (§3)."""
MUTE_TYPES: Final = frozenset({T.INFO, T.HEADCOUNT, T.REOPENING})
"""Types that never open an incident and count for no severity (D24, §13)."""
CLAIM_TYPES: Final = CAUSE_TYPES | {T.TRANSPORT_DISRUPTION}
"""Types of which a second source confirms what another said (D6)."""
ACTING_ALONE: Final = frozenset(T) - CAUSE_TYPES - MUTE_TYPES
"""Types that count for a severity and make no cause: weather, river, transport."""
DANGER_TYPES: Final = words.DANGER_TYPES
"""Types under which people may be in danger: their messages are never held back."""
CALM: Final = 2
"""D2: CAP Minor. An `info` above it says that something is the matter."""
EXTREME: Final = 5
"""D2: CAP Extreme. Never planned works, never a mere consequence (D64, D65)."""
CLOSURES: Final = frozenset({T.CLOSURE, T.PARTIAL_CLOSURE})
LEAVE: Final = frozenset({T.EVACUATION, T.FIRE})
"""Orders to leave: they end an earlier one to shelter (§3)."""
ORDERS: Final = LEAVE | {T.SHELTER_IN_PLACE}
"""Of these on one site the latest by occurred_at stands (D5)."""

MEALS_MARK: Final = "meals"
"""Mark of a site with a kitchen while less than half of its meals is left."""
MEALS: Final = "EDU-01"
"""The one activity for which `affected_activities` is trusted (D13)."""
ISOLATION: Final = "total_isolation"
ALL_CLEAR: Final = "all_clear"
"""The one flag of which true says that all is well."""
HEADCOUNT: Final = "headcount_found"
"""People found at a site, of those who were there (D37)."""
HEADCOUNT_DUE_MS: Final = 5 * MINUTE_MS
"""A headcount is to be started so soon after an order to leave or to shelter (D79)."""
INSTRUCTION_DUE_MS: Final = 30 * MINUTE_MS
"""A site is to confirm an instruction of the cell so soon (D99)."""
PHENOMENON_KIND: Final = {
    "crues": "flood",
    "canicule": "heat",
    "neige-verglas": "snow",
    "vent": "wind",
    "vent-violent": "wind",
}
"""Phenomenon of a weather alert → family of D22; any other is the family `weather`."""
SILENCE_KEY: Final = {
    "power": "outage_power",
    "water": "outage_water",
    "gas": "gas_leak",
    "security": "security_incident",
    "flood": "flood",
}
"""Family → entry of `site_inconnu_apres_min`: the families with a rule of silence (D18)."""
OFFERS: Final = frozenset({"desks_offered", "reception_centre"})
"""Measures by which a site offers its means to a crisis elsewhere."""
READ: Final = frozenset(
    {
        "absence_rate",
        "colleges_served",
        "customers_cut",
        "desks_available",
        "desks_offered",
        "estimated_end",
        "evacuees",
        "forecast_absence",
        "headcount_found",
        "ill_persons",
        "reception_centre",
        "river_level",
        "road_closed",
        "room_temperature",
        "sites_not_delivered",
        "strike_notice",
        "system_healthy",
        "system_restored",
        "vaccine_fridge_temperature",
        "water_alert",
        "water_restriction",
        *Effect,
    }
)
"""Measures that some rule reads, beside the flags that predicates name; any other is told to whoever reads the report."""
RESTORED: Final = ("system_restored", "system_healthy")
"""Measures that say that a system or a network works (or does not)."""
COLD_CHAIN: Final = "vaccine_fridge_temperature"
HEAT_HAZARD: Final = "hazard:heat"


def colour_rank(colour: str) -> int:
    """Position of a vigilance colour; -1 for an unknown word, which is below everything."""
    return COLOURS.index(colour) if colour in COLOURS else -1
