"""Name the doubts about the place of a report in its receipt. Rule D8, unknown places.

Nothing is refused for it: the report is accepted, and a person links it or asks its sender.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.reports import lacks_place
from services.intake.reports.geography import TerritoryMap
from services.runtime.http.problems import FieldFault, ProblemError, build_fault


def list_place_warnings(
    message: Mapping[str, Any], geography: TerritoryMap, *, has_area: bool
) -> tuple[FieldFault, ...]:
    """Return the doubts about the place of a report.

    Return none while the map cannot be read. `has_area` says that the report names an area, even
    one that the map does not have.
    """
    try:
        warnings = _list_unknown_places(message, geography)
    except ProblemError:
        return ()
    if not has_area and _lacks_place(message):
        warnings.append(
            build_fault(
                "site_id",
                "missing",
                "danger sans lieu : dites où, par une mise à jour de ce signalement",
                "danger without a place: say where, by an update of this report",
            )
        )
    return tuple(warnings)


def _list_unknown_places(message: Mapping[str, Any], geography: TerritoryMap) -> list[FieldFault]:
    warnings, site = [], message.get("site_id")
    if site is not None and not geography.knows(site):
        warnings.append(
            build_fault(
                "site_id",
                "unknown",
                "site inconnu : le signalement attend qu’une personne le rattache à un site",
                "unknown site: the report waits until a person links it to a site",
            )
        )
    for name, codes in (("commune", (message.get("commune"),)), ("zone", message.get("zone", ()))):
        unknown = [code for code in codes if code and not geography.knows_commune(code)]
        if unknown:
            code_list = ", ".join(unknown)
            warnings.append(
                build_fault(
                    name,
                    "unknown",
                    f"hors du territoire : {code_list} ; vérifiez le code",
                    f"outside the territory: {code_list}; check the code",
                )
            )
    return warnings


def _lacks_place(message: Mapping[str, Any]) -> bool:
    measure = message.get("measure") or {}
    places = [message.get(name) for name in ("site_id", "commune", "zone", "sites")]
    return lacks_place(
        message["type"],
        message["severity"],
        message["certainty"],
        message["msg_type"],
        places=(*places, measure.get("object"), measure.get("scope")),
        references=message.get("references", ()),
    )
