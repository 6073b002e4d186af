"""Typeset the content of a plan, or of all plans of a territory, as PDF (`plan.typ`). Rule D83.

A printed plan holds what does not change during a crisis. Progress of its cards stays on screens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from schemas import reference as ref
from services.console.continuity.activation import foresee_activation
from services.console.continuity.plan_page import PlanPage
from services.console.continuity.plan_view import PlanCard, PlanLineItem, PlanSections
from services.console.directory.view import list_contacts
from services.console.documents import pdf
from services.console.i18n import Translator
from services.console.read_model.reference_index import IndexedReference
from services.console.read_model.shapes import Shaper
from services.console.resources import PlanDetail
from services.console.texts import words as w
from services.console.web import times

Numbers = Mapping[str, Sequence[str]]
"""Contact id → numbers to print."""
Sheet = dict[str, Any]
TEMPLATE: Final = Path(__file__).parent / "plan.typ"
NO_NUMBERS: Final[Numbers] = {}


@cache
def _load_template() -> bytes:
    return TEMPLATE.read_bytes()


def print_plans(
    shape: Shaper,
    ids: Sequence[str],
    translator: Translator,
    at: datetime,
    *,
    numbers: Numbers = NO_NUMBERS,
) -> bytes:
    """Return a PDF of these plans; more than one begin with a table of contents.

    `at` has whole seconds. The same content at the same time gives the same bytes.
    """
    sheet = PlanSheet(shape.reference, shape, translator, at, numbers)
    plans = [sheet.build(id) for id in ids]
    title = plans[0]["title"] if len(plans) == 1 else translator("Plans de continuité")
    return pdf.typeset(_load_template(), {"title": title, "plans": plans}, at)


@dataclass(frozen=True, slots=True)
class PlanSheet:
    """Arranges one plan of a version of the reference data."""

    reference: IndexedReference
    shape: Shaper
    translator: Translator
    at: datetime
    numbers: Numbers

    def build(self, id: str) -> Sheet:
        """Build the values of one plan."""
        _, static = self.translator, self.reference.plans[id]
        plan = self._describe_plan(static)
        page = PlanPage(plan, self.reference, self.at, lambda _role, _pole: False, _)
        view = page.build()
        stand_down = [plan.stand_down_text] if plan.stand_down_text else view.stand_down
        return {
            "lang": _.lang,
            "id": plan.id,
            "title": plan.title,
            "kicker": _("Plan de continuité"),
            "printed": _(
                "Imprimé le {day} à {at}, version {version} des données",
                day=times.to_paris(self.at).strftime("%d/%m/%Y"),
                at=times.hm(self.at),
                version=self.reference.version or "",
            ),
            "page": _("Page {n} / {of}"),
            "purpose": view.contents.purpose if view.contents is not None else "",
            "facts": self._list_facts(plan, page, view.contents),
            "triggers": {
                "title": _("Déclenchement"),
                "any": _("L’une de ces conditions :"),
                "groups": view.triggers,
                "none": _("Par décision d’une personne seulement."),
            },
            "stand_down": {"title": _("Levée"), "lines": stand_down},
            "sections": [] if view.contents is None else self._list_sections(view.contents, id),
            "cards_title": _("Fiches par rôle"),
            "roles": self._list_roles(static, page, [c for g in view.groups for c in g.cards]),
            "labels": {
                "done": _("Fait à"),
                "by": _("par"),
                "done_when": _("C’est fait quand :"),
                "evidence": _("Preuve :"),
                "after": _("Après :"),
            },
        }

    def _describe_plan(self, static: ref.Plan) -> PlanDetail:
        """Return the plan as in the library, without any state of a realm."""
        contents = ref.collect_plan_contents(self.reference.sections)
        effects = foresee_activation(static, self.reference.sites.values(), {})
        plan = self.shape.plan(static, None)
        return self.shape.plan_detail(plan, contents.get(static.id), (), None, effects)

    def _list_facts(
        self, plan: PlanDetail, page: PlanPage, contents: PlanSections | None
    ) -> list[list[str]]:
        _ = self.translator
        facts = [
            (_("Décide"), page.name_role(plan.decides, None)),
            (_("Revue du plan"), contents.review if contents is not None else ""),
            (_("État"), w.translate_code(w.PLAN_STATE, plan.state, _)),
            (_("Systèmes"), ", ".join(contents.systems) if contents is not None else ""),
        ]
        return [[label, text] for label, text in facts if text]

    def _list_sections(self, contents: PlanSections, id: str) -> list[Sheet]:
        _ = self.translator
        section_parts = (
            ("goes_on", _("Mode minimal : ce qui continue"), contents.goes_on),
            ("stops", _("Mode minimal : ce qui s’arrête"), contents.stops),
            ("recovery", _("Ordre de reprise"), contents.recovery),
            ("deputies", _("Suppléances"), contents.deputies),
            ("documents", _("Documents"), contents.documents),
        )
        sections = [
            {"title": title, "columns": [], "rows": _write_rows(items, numbered=key == "recovery")}
            for key, title, items in section_parts
            if items
        ]
        partners = self._list_partners(id)
        if partners:
            columns = [_("Qui"), _("Dire et demander"), _("Numéros")]
            sections.append(
                {"title": _("Partenaires à appeler"), "columns": columns, "rows": partners}
            )
        return sections

    def _list_partners(self, id: str) -> list[list[str]]:
        """List the partners that the cards name; an unknown number leaves room to write it."""
        content = ref.collect_plan_contents(self.reference.sections)[id]
        contacts = {contact for card in content.cards for contact in card.contacts}
        _ = self.translator
        return [
            [
                f"{one.function} ({one.organisation})",
                _("Dire : {say}\nDemander : {ask}", say=one.say, ask=one.ask),
                "\n".join(self.numbers.get(one.id, ())) or "……………………",
            ]
            for one in list_contacts(self.reference)
            if one.id in contacts
        ]

    def _list_roles(
        self, static: ref.Plan, page: PlanPage, cards: Sequence[PlanCard]
    ) -> list[Sheet]:
        """Group the cards by the role that owns them, in the order of their phases."""
        owners = {card.id: page.name_role(card.role, card.pole) for card in static.cards}
        phases = {card.id: card.phase for card in static.cards}
        titles = {group.key: group.title for group in page.build().groups}
        cards_by_role: dict[str, list[Sheet]] = {}
        for card in cards:
            phase = phases[card.id]
            card_lines = _write_card(card, titles[phase or "all"])
            cards_by_role.setdefault(owners[card.id], []).append(card_lines)
        return [{"role": role, "cards": mine} for role, mine in cards_by_role.items()]


def _write_rows(items: Sequence[PlanLineItem], *, numbered: bool) -> list[list[str]]:
    return [
        [f"{n}. {one.name}" if numbered else one.name, one.text] for n, one in enumerate(items, 1)
    ]


def _write_card(card: PlanCard, phase: str) -> Sheet:
    return {
        "id": card.id,
        "title": card.title,
        "phase": phase,
        "owner": card.owner,
        "delay": card.delay,
        "where": card.where,
        "after": card.depends_on,
        "steps": list(card.steps),
        "done_when": card.done_when,
        "evidence": card.evidence,
        "details": [[one.label, one.text] for one in card.details],
    }
