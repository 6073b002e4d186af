"""Reject plans, cards and contents that refer to nothing, or that cannot work. Rules D83, D84."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas import plans as p
from schemas import reference as ref
from schemas.card_scopes import has_flag_column, list_selected_sites
from schemas.predicates import KNOWN_METRICS, Measured, list_measured
from schemas.ranks import POLE_DIRECTOR_ROLE
from services.territory.source import SourceFile, find_line

_CARD_ID: Final = re.compile(r"[A-Za-z0-9-]{1,32}")
_PHONE: Final = re.compile(r"(?<!\d)0\d(?:[ .-]?\d\d){4}(?!\d)")
MAX_STEPS: Final = 12
MAX_STEP_CHARACTERS: Final = 240


@dataclass(frozen=True, slots=True)
class PlanChecks:
    """Ids that plans may name: everything else in the territory that they refer to."""

    roles: Collection[str]
    groups: Collection[str]
    poles: Collection[str]
    activities: Mapping[str, ref.Activity]
    sites: tuple[ref.Site, ...]
    communes: Mapping[str, ref.Commune]
    metiers: Collection[str]
    spared_systems: Collection[str]
    contacts: Collection[str] | None
    """Ids of contacts.csv; None: the territory has no such file, and names of partners stand."""

    @property
    def kinds(self) -> set[str]:
        return {site.kind for site in self.sites}

    @property
    def systems(self) -> set[str]:
        used = (system for a in self.activities.values() for system in a.systems)
        return {*used, *self.spared_systems}

    def check_predicate_values(
        self, f: SourceFile, line: int, what: str, predicates: Iterable[Any]
    ) -> None:
        """Check the metric of each comparison, and the kinds, systems and pôles that it names."""
        for comparison in (m for predicate in predicates for m in list_measured(predicate)):
            for fault in self._find_measured_faults(comparison):
                f.fault(line, f"{what}: {comparison.metric}: {fault}")

    def _find_measured_faults(self, comparison: Measured) -> Iterator[str]:
        if comparison.metric not in KNOWN_METRICS:
            yield "no such metric"
        values_by_object = {
            "site of kind": (_as_list(comparison, "kind", "kinds"), self.kinds),
            "system": (_as_list(comparison, "system", "systems"), self.systems),
            "pôle": (_as_list(comparison, "pole", "poles"), self.poles),
        }
        for what, (values, valid_values) in values_by_object.items():
            yield from (f"no {what} {value!r}" for value in values if value not in valid_values)

    def check_cards(self, f: SourceFile, nodes: Any, plan: ref.Plan) -> None:
        """Check roles, scopes, time limits and dependencies of the cards of a plan."""
        for k, card in enumerate(plan.cards):
            line = find_line(nodes, k)
            for fault in (*self._find_owner_faults(card), *self._find_scope_faults(plan, card)):
                f.fault(line, f"plan {plan.id}: {fault}")
        for k, fault in (*p.find_card_faults(plan.id, plan.cards), *find_order_faults(plan)):
            f.fault(find_line(nodes, k), fault)

    def _find_owner_faults(self, card: p.Card) -> Iterator[str]:
        if not _CARD_ID.fullmatch(card.id):
            yield f"card {card.id!r}: an id has 1 to 32 letters, digits and hyphens"
        for role in (card.role, card.deputy_role):
            if role is not None and role not in self.roles:
                yield f"role {role!r} is not in escalade.yaml"
        for pole in (card.pole, card.deputy_pole):
            if pole is not None and pole not in self.poles:
                yield f"card {card.id}: pôle {pole!r} is not declared"

    def _find_scope_faults(self, plan: ref.Plan, card: p.Card) -> Iterator[str]:
        scope = card.scope
        if scope is None:
            if card.origin is p.CardOrigin.SITE_EVENT:
                yield f"card {card.id} counts from the event of a site and is not one per site"
            return
        if scope.type == "person":
            if scope.group not in self.groups:
                yield f"card {card.id}: group {scope.group!r} is not in escalade.yaml"
            return
        known_sites = {site.id for site in self.sites}
        for kind in scope.kinds:
            if kind not in self.kinds:
                yield f"card {card.id}: no site of kind {kind!r}"
        for site in scope.sites:
            if site not in known_sites:
                yield f"card {card.id}: site {site!r} is not in sites.csv"
        for flag in scope.flags:
            if not has_flag_column(flag):
                yield f"card {card.id}: {flag!r} is no column of sites by which to select"
                return
        selected_sites = list_selected_sites(scope, self.sites)
        if not selected_sites:
            yield f"card {card.id}: its selector matches no site"
        if scope.expected is not None and scope.expected != len(selected_sites):
            yield (
                f"card {card.id}: total_attendu is {scope.expected}, "
                f"and its selector matches {len(selected_sites)} sites"
            )
        if card.origin is p.CardOrigin.FORECAST_THRESHOLD and not (
            set(scope.flags.get("flood_exposure", ())) <= plan.zone_by_threshold_m.keys()
        ):
            yield f"card {card.id}: zone_par_seuil has no threshold for a selected site"

    def check_content(
        self,
        f: SourceFile,
        node: Any,
        plan: ref.Plan,
        content: p.PlanContent,
        documents: Collection[str],
    ) -> None:
        """Check the ids that the content of a plan names, and its texts.

        `documents` are those of the whole library: a plan may use a document of another.
        """
        line = find_line(node)
        for fault in (*self._find_content_faults(plan, content), *_find_text_faults(content)):
            f.fault(line, f"plan {plan.id}: {fault}")
        nodes = [card for card in node.get("fiches", []) if "etapes" in card]
        for k, card in enumerate(content.cards):
            where = find_line(nodes[k]) if k < len(nodes) else line
            for fault in self._find_card_content_faults(card, documents):
                f.fault(where, f"plan {plan.id}: card {card.id}: {fault}")

    def _find_content_faults(self, plan: ref.Plan, content: p.PlanContent) -> Iterator[str]:
        if content.review is not None and content.review.owner_role not in self.roles:
            yield f"role {content.review.owner_role!r} is not in escalade.yaml"
        for deputy in content.deputies:
            for role in (deputy.role, deputy.then):
                if role not in self.roles:
                    yield f"role {role!r} is not in escalade.yaml"
        activity_ids = [
            *(stop.activity for stop in content.stops),
            *(minimal_service.activity for minimal_service in content.goes_on),
            *(step.activity for step in content.recovery),
        ]
        yield from (
            f"activity {activity!r} is not declared"
            for activity in dict.fromkeys(activity_ids)
            if activity not in self.activities
        )
        for minimal_service in content.goes_on:
            activity = self.activities.get(minimal_service.activity)
            if activity is not None and (
                minimal_service.mbco_pct,
                minimal_service.minimum_staff,
            ) != (activity.mbco_pct, activity.minimum_staff):
                yield (
                    f"minimal mode of {minimal_service.activity}: {minimal_service.mbco_pct:g} % and "
                    f"{minimal_service.minimum_staff} agents, and activities.yaml says "
                    f"{activity.mbco_pct:g} % and {activity.minimum_staff}"
                )
        mine = {a.id for a in self.activities.values() if a.pole == plan.pole}
        if plan.pole is not None and content.recovery:
            missing = sorted(mine - {step.activity for step in content.recovery})
            yield from (f"recovery order: activity {a} is missing" for a in missing)

    def _find_card_content_faults(
        self, card: p.CardContent, documents: Collection[str]
    ) -> Iterator[str]:
        systems = self.systems
        yield from (
            f"activity {a!r} is not declared" for a in card.activities if a not in self.activities
        )
        yield from (f"métier {m!r} is not declared" for m in card.metiers if m not in self.metiers)
        yield from (f"no system {s!r}" for s in card.systems if s not in systems)
        yield from (
            f"contact {c!r} is neither a role nor in contacts.csv"
            for c in card.contacts
            if self.contacts is not None and c not in self.roles and c not in self.contacts
        )
        yield from (
            f"document {d!r} is not listed by any plan"
            for d in card.documents
            if d not in documents
        )
        if not card.done_when:
            yield "it has no criterion (critere)"
        if len(card.steps) > MAX_STEPS:
            yield f"{len(card.steps)} steps, at most {MAX_STEPS}"
        if any(len(step) > MAX_STEP_CHARACTERS for step in card.steps):
            yield f"a step has at most {MAX_STEP_CHARACTERS} characters"

    def check_library(self, f: SourceFile, doc: Any, plans: Iterable[ref.Plan]) -> None:
        """Check that ids of cards and documents are unique in the whole library.

        Cards of version 2 are exempt: their ids are ranks.
        """
        cards: dict[str, str] = {}
        for plan in plans:
            for card in plan.cards:
                other = cards.setdefault(card.id, plan.id)
                if card.phase is not None and other != plan.id:
                    f.fault(
                        _find_plan_line(doc, plan.id),
                        f"plan {plan.id}: card {card.id} stands in plan {other}, too",
                    )
        documents: dict[str, str] = {}
        for node in list_plan_nodes(doc):
            for document in node.get("documents", []):
                other = documents.setdefault(document["id"], node["id"])
                if other != node["id"]:
                    f.fault(
                        find_line(node, "documents"),
                        f"plan {node['id']}: document {document['id']} stands in plan {other}, too",
                    )


def list_plan_nodes(doc: Any) -> list[Any]:
    """Return the entries of all plans of `plans.yaml`."""
    return [node for part in ("plans_poles", "plans_thematiques") for node in doc.get(part, [])]


def _find_plan_line(doc: Any, plan: str) -> int:
    return next((find_line(node) for node in list_plan_nodes(doc) if node["id"] == plan), 0)


def _as_list(comparison: Measured, one: str, many: str) -> list[Any]:
    values = comparison.args.get(many, comparison.args.get(one, []))
    return values if isinstance(values, list) else [values]


def find_order_faults(plan: ref.Plan) -> Iterator[tuple[int, str]]:
    """Yield cards that wait for a card of a later phase, or for one that is due later."""
    cards_by_id = {card.id: card for card in plan.cards}
    for k, card in enumerate(plan.cards):
        for other in (cards_by_id[id] for id in card.depends_on if id in cards_by_id):
            if _rank(other) > _rank(card):
                yield k, f"plan {plan.id}: card {card.id} waits for {other.id} of a later phase"
            elif other.origin is card.origin and other.t_min > card.t_min:
                yield k, f"plan {plan.id}: card {card.id} waits for {other.id}, which is due later"
        if (
            card.role == POLE_DIRECTOR_ROLE
            and plan.pole is not None
            and card.phase is not None
            and card.pole is None
        ):
            yield k, f"plan {plan.id}: card {card.id}: the pôle of its {card.role} is missing"


def _rank(card: p.Card) -> int:
    return p.PHASE_ORDER.index(card.phase) if card.phase is not None else 0


def _find_text_faults(content: p.PlanContent) -> Iterator[str]:
    """Yield telephone numbers; they belong into the directory. Rule D58."""
    yield from (
        f"card {card.id}: a telephone number belongs into contacts.csv"
        for card in content.cards
        if _PHONE.search(
            " ".join(
                (
                    *card.steps,
                    card.done_when,
                    card.solidarity,
                    card.working_conditions,
                    card.environment,
                    card.rule,
                )
            )
        )
    )
