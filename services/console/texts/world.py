"""Words for the outside world: families of causes, kinds of sites, sources, networks, vigilance."""

from typing import Final

from services.console.i18n import N_, Translator
from services.console.texts import site_kinds
from services.console.texts.names import TerritoryNames
from services.console.texts.words import ROLE, translate_code

FAMILY = {
    "power": N_("électricité"),
    "water": N_("eau"),
    "flood": N_("crue"),
    "heat": N_("chaleur"),
    "snow": N_("neige"),
    "wind": N_("vent"),
    "weather": N_("météo"),
    "kitchen": N_("restauration"),
    "it": N_("informatique"),
    "security": N_("sûreté"),
    "gas": N_("gaz"),
    "absence": N_("absences"),
    "strike": N_("grève"),
    "fire": N_("incendie"),
    "site": N_("site"),
}
KIND_MANY: Final = site_kinds.KIND_MANY
FORMER_KIND: Final = "site_retire"
"""Kind of a site that left the reference data; no territory has it."""
KIND_ONE = {
    "college": N_("collège"),
    "pmi_css": N_("centre de PMI"),
    "parc": N_("parc"),
    "assainissement": N_("station d’assainissement"),
    "pole_social_sst": N_("SST"),
    "gymnase": N_("gymnase"),
    "culture": N_("site culturel"),
    "sport": N_("site sportif"),
    "logistique": N_("site logistique"),
    "protection_enfance": N_("site de protection de l’enfance"),
    "insertion": N_("espace insertion"),
    "site_central": N_("site central"),
    "voirie": N_("centre de voirie"),
    "logement": N_("guichet logement"),
    "datacenter": N_("salle informatique"),
    "mdph": N_("MDPH"),
    FORMER_KIND: N_("retiré des données de référence"),
}
SOURCE = {
    "site_manager": N_("responsable de site"),
    "agent": N_("agent"),
    "responsable_parc": N_("responsable de parc"),
    "vigicrues": "Vigicrues",
    "rh": N_("RH"),
    "supervision": N_("supervision"),
    "siter": "SITER",
    "prefecture": N_("préfecture"),
    "enedis": "Enedis",
    "education_nationale": N_("Éducation nationale"),
    "samu": "SAMU",
    "delegataire_assainissement": N_("délégataire assainissement"),
    "cellule_si": N_("cellule SI"),
    "cellule": N_("cellule de crise"),
    "ssi": N_("centrale SSI"),
    "direction_metier": N_("direction métier"),
    "meteo_france": "Météo-France",
    "idfm": "IDFM",
    "dirif": "DIR Île-de-France",
    "airparif": "Airparif",
    "ssiap": "SSIAP",
    "direction_education": N_("direction de l’éducation"),
    "cellule_autonomie": N_("cellule autonomie"),
    "prefecture_police": N_("préfecture de police"),
    "pompiers": N_("pompiers"),
    "police": N_("police"),
    "concessionnaire_restauration": N_("concessionnaire de restauration"),
    "ars": "ARS",
    "anssi": "ANSSI",
    "rssi": "RSSI",
    "rumour": N_("rumeur"),
    "poster": N_("affiche du site"),
    "page": N_("page Signaler"),
    "systeme": N_("système"),
    "recensement": N_("recensement"),
    "astreinte_eau": N_("astreinte eau"),
    "astreinte_si": N_("astreinte SI"),
    "commune": N_("commune"),
    "communication": N_("communication"),
    "concessionnaire_eau": N_("concessionnaire de l’eau"),
    "delegataire_eau": N_("délégataire de l’eau"),
    "directeur_de_crise": N_("directeur de crise"),
    "edr": "EDR",
    "epi_syv": "Seine et Yvelines Voirie",
    "grdf": "GRDF",
    "juridique": N_("service juridique"),
    "operateur": N_("opérateur"),
    "organisations_syndicales": N_("organisations syndicales"),
    "rte": "RTE",
    "public": N_("public"),
    "water": N_("distributeur d’eau"),
    "citizen": N_("habitant"),
}
FEED = {
    "site_manager": N_("Sites"),
    "supervision": N_("Supervision"),
    "ssi": "SSI",
    "education_nationale": N_("Éduc. nat."),
    "prefecture": N_("Préfecture"),
    "app": N_("Appli"),
    "voice": N_("Voix"),
    "email": N_("Courriel"),
}
"""Short names of sources and channels."""
COLOUR = {"vert": N_("verte"), "jaune": N_("jaune"), "orange": N_("orange"), "rouge": N_("rouge")}
PHENOMENON = {
    "any": N_("météo"),
    "crues": N_("crues"),
    "canicule": N_("canicule"),
    "grand-froid": N_("grand froid"),
    "neige-verglas": N_("neige-verglas"),
    "vent": N_("vent"),
    "orages": N_("orages"),
    "pluie-inondation": N_("pluie-inondation"),
}
FLAG = {
    "total_isolation": N_("isolement total du SI"),
    "edr_critical": N_("alerte EDR critique"),
    "ciso_declaration": N_("déclaration du RSSI"),
    "cod_active": N_("COD activé"),
    "orsec_means_requested": N_("moyens demandés par ORSEC"),
    "strike_notice": N_("préavis de grève"),
    "water_alert": N_("alerte du délégataire de l’eau"),
    "water_restriction": N_("arrêté de restriction d’eau"),
    "prefecture_instruction": N_("consigne de la préfecture"),
    "all_clear": N_("feu vert des secours"),
    "rehousing_needed": N_("relogement nécessaire"),
}
MEASURE = {"fuel_stations_dry_pct": N_("stations-service à sec, en %")}
DEPENDENCY = {
    "down": N_("hors service"),
    "degraded": N_("en mode dégradé"),
    "up": N_("de nouveau en service"),
}
"""State of a network, a system or a supplier."""
DEPENDENCY_NAME = {
    "electricity": N_("réseau électrique"),
    "transit": N_("transports en commun"),
    "mobile": N_("téléphonie mobile"),
    "telephonie": N_("téléphonie"),
    "messagerie": N_("messagerie électronique"),
    "reseau": N_("réseau informatique"),
    "ad": N_("annuaire informatique"),
    "controle_acces": N_("contrôle d’accès"),
    "si_social": N_("SI social"),
    "siter": "SITER",
}
"""Networks, systems and suppliers with an id that is no readable word."""
FLOOD = {
    "non": N_("non"),
    "oui": N_("oui, dès la première montée des eaux"),
    "tier1": N_("oui, zone 1"),
    "tier2": N_("oui, zone 2"),
    "tier3": N_("oui, zone 3, les plus hautes eaux"),
}
"""Exposure of a site to the flood."""


def name_dependency(name: str, _: Translator) -> str:
    """Name a network, a system or a supplier of a report."""
    return (
        _(DEPENDENCY_NAME[name])
        if name in DEPENDENCY_NAME
        else name.replace("_", " ").replace("-", " ")
    )


def name_system(key: str, names: TerritoryNames, _: Translator) -> str:
    """Name a system as the territory does, or else as a network or supplier."""
    system = names.systems.get(key)
    if system is None:
        return name_dependency(key, _)
    return system.name if _.lang == "fr" else system.name_en


def name_station(name: str) -> str:
    """Name a river station (`Austerlitz`)."""
    return name.replace("paris-", "").capitalize()


def name_source(kind: str | None, _: Translator) -> str:
    """Name the source of a report.

    That is its kind, or the role of the person who reported without one. An exercise may use any
    other name.
    """
    if kind is None or kind in SOURCE or kind not in ROLE:
        return translate_code(SOURCE, kind, _).replace("_", " ")
    return _(ROLE[kind])
