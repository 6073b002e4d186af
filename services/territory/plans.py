"""Read continuity plans with their triggers and action cards."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from schemas import reference as ref
from services.territory.checks import check_plan, check_predicates
from services.territory.source import (
    SourceFile,
    convert_predicate,
    find_line,
    is_yes,
    to_plain_value,
)


def _read_plan(
    f: SourceFile, node: Any, roles: Iterable[str], poles: set[str], activities: set[str]
) -> ref.Plan | None:
    pole = node["id"].removeprefix("PCA-") if node["id"].startswith("PCA-") else None
    if pole is not None and pole not in poles:
        f.fault(find_line(node, "id"), f"plan {node['id']}: pôle {pole!r} is not declared")
    triggers = node.get("declencheurs") or [
        {"niveau": 0, "texte": node.get("texte", ""), "quand": node.get("quand")}
    ]
    for k, card in enumerate(node.get("fiches", [])):
        if card.get("role") not in roles:
            f.fault(
                find_line(node["fiches"], k),
                f"plan {node['id']}: role {card.get('role')!r} is not in escalade.yaml",
            )
    if node.get("decide") not in roles:
        f.fault(
            find_line(node, "decide"),
            f"plan {node['id']}: role {node.get('decide')!r} is not in escalade.yaml",
        )
    auto = is_yes(node.get("auto", False))
    if auto and node.get("fiches"):
        f.fault(
            find_line(node, "auto"),
            f"plan {node['id']}: auto: true is for plans without cards, which call nobody (D49)",
        )
    levee = node.get("levee")
    plan = f.make(
        ref.Plan,
        find_line(node),
        id=node["id"],
        title=node.get("titre"),
        pole=pole,
        state=node.get("etat"),
        decides=node.get("decide"),
        auto=auto,
        triggers=[
            {"level": t["niveau"], "text": str(t["texte"]), "when": convert_predicate(t["quand"])}
            for t in triggers
        ],
        cards=[
            {
                "id": f"F{k + 1}",
                "t_min": c["t_min"],
                "role": c["role"],
                "pole": c.get("pole"),
                "task": str(c["tache"]),
                "effect": c.get("effet"),
            }
            for k, c in enumerate(node.get("fiches", []))
        ],
        card_origin=node.get("origine_t"),
        stand_down=levee
        and {
            "text": str(levee["texte"]),
            "when": convert_predicate(levee.get("quand")),
            "hold_min": levee.get("maintien_min", 0),
        },
        zone_by_threshold_m=to_plain_value(node.get("zone_par_seuil", {})),
        thresholds_m=to_plain_value(node.get("seuils_m", {})),
    )
    if plan is not None:
        for fault in ref.find_plan_faults(plan):
            f.fault(find_line(node, "etat"), fault)
        check_plan(f, node, plan)
        asked = (*(t.when for t in plan.triggers), plan.stand_down and plan.stand_down.when)
        check_predicates(f, find_line(node), f"plan {plan.id}", asked, activities)
    return plan


def read_plans(
    f: SourceFile, doc: Any, roles: Iterable[str], poles: set[str], activities: set[str]
) -> list[ref.Plan]:
    made: dict[str, ref.Plan] = {}
    for node in (
        node for part in ("plans_poles", "plans_thematiques") for node in doc.get(part, [])
    ):
        if (plan := _read_plan(f, node, roles, poles, activities)) is None:
            continue
        if plan.id in made:
            f.fault(find_line(node, "id"), f"plan {plan.id} stands twice")
        made[plan.id] = plan
    return list(made.values())
