"""Words for kinds of sites, as `kind` of sites and fallback strategies name them."""

from typing import Final

from services.console.i18n import N_

KIND_MANY: Final = {
    "college": N_("collèges"),
    "pmi_css": N_("centres de PMI"),
    "parc": N_("parcs"),
    "assainissement": N_("stations d’assainissement"),
    "pole_social_sst": N_("SST"),
    "gymnase": N_("gymnases"),
    "culture": N_("sites culturels"),
    "sport": N_("sites sportifs"),
    "logistique": N_("sites logistiques"),
    "protection_enfance": N_("sites de protection de l’enfance"),
    "insertion": N_("espaces insertion"),
    "site_central": N_("sites centraux"),
    "voirie": N_("centres de voirie"),
    "logement": N_("guichets logement"),
    "datacenter": N_("salles informatiques"),
    "mdph": N_("MDPH"),
}
