"""Read continuity plans with their triggers and action cards."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from schemas import reference as ref
from services.territory.checks import check_plan, check_predicates
from services.territory.source import Source, line_of, plain, predicate_of, yes


def _plan(
    f: Source, node: Any, roles: Iterable[str], poles: set[str], activities: set[str]
) -> ref.Plan | None:
    pole = node["id"].removeprefix("PCA-") if node["id"].startswith("PCA-") else None
    if pole is not None and pole not in poles:
        f.fault(line_of(node, "id"), f"plan {node['id']}: pôle {pole!r} is not declared")
    triggers = node.get("declencheurs") or [
        {"niveau": 0, "texte": node.get("texte", ""), "quand": node.get("quand")}
    ]
    for k, card in enumerate(node.get("fiches", [])):
        if card.get("role") not in roles:
            f.fault(
                line_of(node["fiches"], k),
                f"plan {node['id']}: role {card.get('role')!r} is not in escalade.yaml",
            )
    if node.get("decide") not in roles:
        f.fault(
            line_of(node, "decide"),
            f"plan {node['id']}: role {node.get('decide')!r} is not in escalade.yaml",
        )
    auto = yes(node.get("auto", False))
    if auto and node.get("fiches"):
        f.fault(
            line_of(node, "auto"),
            f"plan {node['id']}: auto: true is for plans without cards, which call nobody (D49)",
        )
    levee = node.get("levee")
    plan = f.make(
        ref.Plan,
        line_of(node),
        id=node["id"],
        title=node.get("titre"),
        pole=pole,
        state=node.get("etat"),
        decides=node.get("decide"),
        auto=auto,
        triggers=[
            {"level": t["niveau"], "text": str(t["texte"]), "when": predicate_of(t["quand"])}
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
            "when": predicate_of(levee.get("quand")),
            "hold_min": levee.get("maintien_min", 0),
        },
        zone_by_threshold_m=plain(node.get("zone_par_seuil", {})),
        thresholds_m=plain(node.get("seuils_m", {})),
    )
    if plan is not None:
        for fault in ref.plan_faults(plan):
            f.fault(line_of(node, "etat"), fault)
        check_plan(f, node, plan)
        asked = (*(t.when for t in plan.triggers), plan.stand_down and plan.stand_down.when)
        check_predicates(f, line_of(node), f"plan {plan.id}", asked, activities)
    return plan


def plans_of(
    f: Source, doc: Any, roles: Iterable[str], poles: set[str], activities: set[str]
) -> list[ref.Plan]:
    made: dict[str, ref.Plan] = {}
    for node in (
        node for part in ("plans_poles", "plans_thematiques") for node in doc.get(part, [])
    ):
        if (plan := _plan(f, node, roles, poles, activities)) is None:
            continue
        if plan.id in made:
            f.fault(line_of(node, "id"), f"plan {plan.id} stands twice")
        made[plan.id] = plan
    return list(made.values())
