"""Kinds of source.

They decide independence (D6) and the right to declare measures (D76).
"""

from __future__ import annotations

from typing import Final

SOURCE_KINDS: Final = frozenset(
    {
        "airparif",
        "anssi",
        "ars",
        "astreinte_eau",
        "astreinte_si",
        "cellule",
        "cellule_autonomie",
        "cellule_si",
        "commune",
        "communication",
        "concessionnaire_eau",
        "concessionnaire_restauration",
        "delegataire_assainissement",
        "delegataire_eau",
        "directeur_de_crise",
        "direction_education",
        "direction_metier",
        "dirif",
        "edr",
        "education_nationale",
        "enedis",
        "epi_syv",
        "grdf",
        "idfm",
        "juridique",
        "meteo_france",
        "operateur",
        "organisations_syndicales",
        "police",
        "pompiers",
        "prefecture",
        "prefecture_police",
        "responsable_parc",
        "recensement",
        "rh",
        "rssi",
        "rte",
        "rumour",
        "samu",
        "site_manager",
        "siter",
        "ssi",
        "ssiap",
        "supervision",
        "systeme",
        "technician",
        "vigicrues",
    }
)
"""Kinds that a reporter may name as origin of a report in a live realm.

Any other name is free text and might be a person's.
"""

COLOURS: Final = ("vert", "jaune", "orange", "rouge")
"""Colours of a vigilance, mildest first."""
