"""Read continuity plans: triggers, stand-down, action cards and written content."""

from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel

from schemas import plans as p
from schemas import reference as ref
from services.territory.checks import check_plan, check_predicates
from services.territory.plan_checks import PlanChecks, list_plan_nodes
from services.territory.source import (
    SourceFile,
    convert_predicate,
    find_line,
    is_yes,
    parse_clock,
    to_plain_value,
)

PART_BYTES: Final = 120_000
"""Size from which the content of the next plan goes into another part."""
_PHASES: Final = {
    "reflexe": p.CardPhase.REFLEX,
    "continuite": p.CardPhase.CONTINUITY,
    "duree": p.CardPhase.DURATION,
    "retour": p.CardPhase.RETURN,
}
_ORIGINS: Final = {
    "declenchement": p.CardOrigin.TRIGGER,
    "evenement_site": p.CardOrigin.SITE_EVENT,
    "demande": p.CardOrigin.REQUEST,
    "fiche": p.CardOrigin.CARD,
    "levee": p.CardOrigin.STAND_DOWN,
    "debut_jour_de_greve": p.CardOrigin.STRIKE_DAY,
    "heure_locale": p.CardOrigin.LOCAL_TIME,
    "seuil_prevu": p.CardOrigin.FORECAST_THRESHOLD,
}
_EVIDENCE: Final = {
    "photo": p.Evidence.PHOTO,
    "nombre": p.Evidence.NUMBER,
    "heure": p.Evidence.TIME,
    "aucun": p.Evidence.NONE,
}
_WHERE: Final = {"concernes": "concerned", "tous": "all", "designe": "chosen"}
_FLOOD_PLAN: Final = "commune_ppri"


def _read_scope(node: Any, checks: PlanChecks) -> dict[str, Any] | None:
    """Convert `portee`; None for a card of the whole plan.

    `commune_ppri` becomes the list of communes with a flood prevention plan, or of the others.
    """
    if node is None or node.get("type") == "plan":
        return None
    selector = to_plain_value(node.get("selecteur", {}))
    flags = dict(selector.get("drapeaux", {}))
    with_plan = flags.pop(_FLOOD_PLAN, None)
    communes = (
        ()
        if with_plan is None
        else tuple(
            c.insee
            for c in checks.communes.values()
            if ("oui" if c.seine_flood_plan else "non") in with_plan
        )
    )
    return {
        "type": "person" if node.get("type") == "personne" else node.get("type"),
        "where": _WHERE.get(node.get("ou", "concernes"), node.get("ou")),
        "kinds": selector.get("genres", ()),
        "sites": selector.get("sites", ()),
        "statuses": selector.get("etats", ()),
        "causes": selector.get("causes", ()),
        "communes": communes,
        "flags": flags,
        "group": selector.get("groupe"),
        "expected": node.get("total_attendu"),
    }


def _read_card(f: SourceFile, plan: str, nodes: Any, k: int, checks: PlanChecks) -> dict[str, Any]:
    """Convert one card; cards of version 2 have `t_min`, `role`, `tache`, and their rank as id."""
    node = nodes[k]
    if "tache" in node:
        return {
            "id": f"F{k + 1}",
            "t_min": node["t_min"],
            "role": node.get("role"),
            "pole": node.get("pole"),
            "task": str(node["tache"]),
            "effect": node.get("effet"),
        }
    owner, deputy, delay = node["responsable"], node.get("suppleant", {}), node["delai"]
    local_min = None
    if (clock := delay.get("heure")) is not None:
        try:
            local_min = parse_clock(str(clock))
        except ValueError as error:
            f.fault(find_line(nodes, k), f"plan {plan}: card {node.get('id')}: {error}")
    return {
        "id": node.get("id"),
        "t_min": delay["min"],
        "role": owner.get("role"),
        "pole": owner.get("pole"),
        "task": str(node["titre"]),
        "effect": node.get("effet"),
        "phase": _PHASES.get(node.get("phase"), node.get("phase")),
        "deputy_role": deputy.get("role"),
        "deputy_pole": deputy.get("pole"),
        "scope": _read_scope(node.get("portee"), checks),
        "origin": _ORIGINS.get(delay.get("depuis"), delay.get("depuis")),
        "local_min": local_min,
        "depends_on": to_plain_value(node.get("depend_de", [])),
        "evidence": _EVIDENCE.get(kind := node.get("preuve", {}).get("type", "aucun"), kind),
        "formerly": node.get("ancienne_fiche"),
    }


def _read_plan(f: SourceFile, node: Any, checks: PlanChecks) -> ref.Plan | None:
    pole = node["id"].removeprefix("PCA-") if node["id"].startswith("PCA-") else None
    if pole is not None and pole not in checks.poles:
        f.fault(find_line(node, "id"), f"plan {node['id']}: pôle {pole!r} is not declared")
    triggers = node.get("declencheurs") or [
        {"niveau": 0, "texte": node.get("texte", ""), "quand": node.get("quand")}
    ]
    cards = node.get("fiches", [])
    if node.get("decide") not in checks.roles:
        f.fault(
            find_line(node, "decide"),
            f"plan {node['id']}: role {node.get('decide')!r} is not in escalade.yaml",
        )
    auto = is_yes(node.get("auto", False))
    if auto and cards:
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
            card
            for k in range(len(cards))
            if (
                card := f.make(
                    p.Card, find_line(cards, k), **_read_card(f, node["id"], cards, k, checks)
                )
            )
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
        for fault in ref.find_plan_state_faults(plan):
            f.fault(find_line(node, "etat"), fault)
        check_plan(f, node, plan)
        predicates = (*(t.when for t in plan.triggers), plan.stand_down and plan.stand_down.when)
        check_predicates(f, find_line(node), f"plan {plan.id}", predicates, checks.activities)
        checks.check_predicate_values(f, find_line(node), f"plan {plan.id}", predicates)
        if len(plan.cards) == len(cards):
            checks.check_cards(f, cards, plan)
    return plan


def _text(node: Any, key: str) -> str:
    return str(node.get(key) or "")


def _list(node: Any, key: str) -> Any:
    return to_plain_value(node.get(key) or [])


def _read_card_content(f: SourceFile, cards: Any, k: int) -> p.CardContent | None:
    node = cards[k]
    needs = node.get("ressources") or {}
    return f.make(
        p.CardContent,
        find_line(cards, k),
        id=node.get("id"),
        steps=_list(node, "etapes"),
        done_when=_text(node, "critere"),
        evidence=_text(node.get("preuve") or {}, "libelle"),
        activities=_list(node, "activites"),
        metiers=to_plain_value(needs.get("metiers") or {}),
        systems=_list(needs, "systemes"),
        materials=_list(needs, "materiel"),
        contacts=_list(node, "contacts"),
        documents=_list(node, "documents"),
        solidarity=_text(node, "solidarite"),
        working_conditions=_text(node, "conditions_travail"),
        environment=_text(node, "environnement"),
        rule=_text(node, "regle"),
    )


def _read_parts(
    f: SourceFile, model: type[BaseModel], nodes: Any, names: dict[str, str]
) -> list[BaseModel]:
    """Read a list of entries; `names` maps fields to their French keys."""
    return [
        entry
        for k, node in enumerate(nodes or [])
        if (
            entry := f.make(
                model,
                find_line(nodes, k),
                **{field: to_plain_value(node[key]) for field, key in names.items() if key in node},
            )
        )
    ]


def _read_review(f: SourceFile, node: Any) -> p.PlanReview | None:
    review = node.get("revue")
    if review is None:
        return None
    owner = review.get("proprietaire") or {}
    return f.make(
        p.PlanReview,
        find_line(node, "revue"),
        owner_role=owner.get("role"),
        owner_pole=owner.get("pole"),
        last_on=review.get("derniere"),
        next_on=review.get("prochaine"),
        every_months=review.get("periodicite_mois"),
        exercise_every_months=review.get("exercice_au_moins_tous_les_mois"),
    )


_CONTENT_KEYS: Final = frozenset(
    ("objet", "contenu", "revue", "suppleances", "mode_minimal", "reprise", "documents")
)


def _read_content(f: SourceFile, node: Any) -> p.PlanContent | None:
    """Read the written content of a plan; None for a plan without any."""
    cards = node.get("fiches", [])
    if not (_CONTENT_KEYS & node.keys() or any("etapes" in card for card in cards)):
        return None
    minimal = node.get("mode_minimal") or {}
    return f.make(
        p.PlanContent,
        find_line(node),
        id=node["id"],
        purpose=_text(node, "objet"),
        status=_text(node, "contenu"),
        review=_read_review(f, node),
        deputies=_read_parts(
            f,
            p.PlanDeputy,
            node.get("suppleances"),
            {"role": "role", "pole": "pole", "deputy": "suppleant", "then": "ensuite"},
        ),
        stops=_read_parts(
            f,
            p.StoppedActivity,
            minimal.get("arrete"),
            {"activity": "activite", "detail": "precision"},
        ),
        goes_on=_read_parts(
            f,
            p.KeptActivity,
            minimal.get("continue"),
            {
                "activity": "activite",
                "mbco_pct": "mbco_pct",
                "minimum_staff": "effectif_j1",
                "how": "comment",
            },
        ),
        recovery=_read_parts(
            f, p.RecoveryStep, node.get("reprise"), {"activity": "activite", "reason": "raison"}
        ),
        documents=_read_parts(
            f,
            p.PlanDocument,
            node.get("documents"),
            {"id": "id", "title": "titre", "support": "support"},
        ),
        cards=[
            content
            for k in range(len(cards))
            if "etapes" in cards[k] and (content := _read_card_content(f, cards, k))
        ],
    )


def read_plans(
    f: SourceFile, doc: Any, checks: PlanChecks
) -> tuple[list[ref.Plan], list[p.PlanContent]]:
    plans: dict[str, ref.Plan] = {}
    contents: list[p.PlanContent] = []
    documents = {
        document["id"] for node in list_plan_nodes(doc) for document in node.get("documents", [])
    }
    for node in list_plan_nodes(doc):
        if (plan := _read_plan(f, node, checks)) is None:
            continue
        if plan.id in plans:
            f.fault(find_line(node, "id"), f"plan {plan.id} stands twice")
        plans[plan.id] = plan
        if (content := _read_content(f, node)) is not None:
            checks.check_content(f, node, plan, content, documents)
            contents.append(content)
    checks.check_library(f, doc, list(plans.values()))
    return list(plans.values()), contents


def split_contents(f: SourceFile, contents: Iterable[p.PlanContent]) -> list[ref.PlanContents]:
    """Divide the content into parts that each fit into one record."""
    parts: list[list[p.PlanContent]] = []
    room = 0
    for content in contents:
        size = len(content.model_dump_json().encode())
        if size > ref.MAX_SECTION_BYTES - PART_BYTES // 2:
            f.fault(0, f"plan {content.id}: its content has {size} bytes, too many for one record")
        if not parts or size > room:
            parts.append([])
            room = PART_BYTES
        parts[-1].append(content)
        room -= size
    if len(parts) > len(ref.PLAN_CONTENT_SECTIONS):
        f.fault(
            0,
            f"the content of the plans needs {len(parts)} records of {PART_BYTES} bytes; "
            f"at most {len(ref.PLAN_CONTENT_SECTIONS)}",
        )
    return [
        ref.PlanContents(section=section, contents=tuple(part))
        for section, part in zip(ref.PLAN_CONTENT_SECTIONS, parts, strict=False)
    ]


def read_contact_ids(f: SourceFile) -> frozenset[str] | None:
    """Return the ids of the contacts, which plans refer to; None without the file."""
    return frozenset(row["id"] for _, row in f.rows()) if f.exists() else None
