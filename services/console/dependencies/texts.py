"""Name resources that may be lost."""

from __future__ import annotations

from typing import Final

from services.console.dependencies.losses import ROLE_SIGN
from services.console.dependencies.network import LostResource, ResourceKind
from services.console.i18n import N_, Translator
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames

KIND_TITLES: Final = {
    ResourceKind.SYSTEM: N_("Systèmes"),
    ResourceKind.SUPPLIER: N_("Fournisseurs et partenaires"),
    ResourceKind.KITCHEN: N_("Cuisines"),
    ResourceKind.LINE: N_("Lignes de transport"),
    ResourceKind.SITE_KIND: N_("Natures de sites"),
    ResourceKind.SITE: N_("Sites"),
    ResourceKind.PERSON: N_("Personnes d’astreinte"),
}
NOT_MODELLED_TITLES: Final = {"transport_line": N_("lignes de transport")}


def name_resource(one: LostResource, names: TerritoryNames, _: Translator) -> str:
    """Name a resource; people are named by role. Rule D58."""
    match one.kind:
        case ResourceKind.SITE:
            return names.site(one.id)
        case ResourceKind.SITE_KIND:
            kind = w.translate_code(world.KIND_MANY, one.id, _).replace("_", " ")
            return _("tous les sites : {kind}", kind=kind)
        case ResourceKind.PERSON:
            return w.name_person(one.id, names, _)
        case ResourceKind.LINE:
            return names.line(one.id)
        case ResourceKind.SYSTEM:
            return world.name_system(one.id, names, _)
        case _:
            return names.suppliers.get(one.id) or world.name_dependency(one.id, _)


def name_failure(failure: str, names: TerritoryNames, _: Translator) -> str:
    """Name an activity, a commune without a line, or a role in its scope."""
    if failure in names.activities:
        return names.activity(failure, _.lang)
    if failure in names.communes:
        return _("{commune} sans ligne", commune=names.commune(failure))
    role, sign, scope = failure.partition(ROLE_SIGN)
    return w.name_role(role, scope if sign else None, names, _)
