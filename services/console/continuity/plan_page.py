"""Page `/plans/{id}`: content of a plan, progress of its cards, effects of its activation.

Pure: resources in, values for the template out. Rules D83 and D84.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas import reference as ref
from schemas.continuity import CardProof
from schemas.plans import Card as ReferenceCard
from schemas.plans import CardContent, CardOrigin, CardPhase, CardScope, Evidence, PlanContent
from schemas.words import ACTIVE_PLAN_STATES, CardState
from services.console.continuity.plan_view import (
    ActivationEffects,
    CardGroup,
    Detail,
    PlanCard,
    PlanLineItem,
    PlanSections,
    PlanView,
    SiteCardLine,
)
from services.console.directory.view import list_contacts
from services.console.i18n import N_, Translator
from services.console.read_model.reference_index import IndexedReference
from services.console.resources import Card, PlanDetail, SiteCard
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames, shorten_site_name
from services.console.texts.reasons import describe_conditions

NAMES_SHOWN: Final = 12
"""Names of sites in a sentence; the others are counted."""
SITE_CARDS_SHOWN: Final = 150
_PHASES: Final = {
    CardPhase.REFLEX: N_("Réflexe, la première heure"),
    CardPhase.CONTINUITY: N_("Continuité, jusqu’à 8 h"),
    CardPhase.DURATION: N_("Durée, après 8 h"),
    CardPhase.RETURN: N_("Retour à la normale"),
    None: N_("Fiches"),
}
_ORIGINS: Final = {
    CardOrigin.TRIGGER: N_("après le déclenchement"),
    CardOrigin.SITE_EVENT: N_("après le premier fait du site"),
    CardOrigin.REQUEST: N_("après la demande"),
    CardOrigin.CARD: N_("après la fiche précédente"),
    CardOrigin.STAND_DOWN: N_("après le début du retour"),
    CardOrigin.STRIKE_DAY: N_("à compter du début du jour de grève"),
    CardOrigin.FORECAST_THRESHOLD: N_("de l’heure prévue d’atteinte du seuil"),
}
_WHERE: Final = {
    "concerned": N_("une par site concerné : {places}"),
    "all": N_("une par site : {places}"),
    "chosen": N_("une par site que la cellule choisit : {places}"),
}
_POLE_ROLES: Final = frozenset({"directeur_pole", "suppleant_directeur_pole"})
OPEN_CARDS: Final = frozenset((CardState.WAITING, CardState.TO_DO, CardState.DOING))


@dataclass(frozen=True, slots=True)
class PlanPage:
    """Builds the view of a plan for one reader."""

    plan: PlanDetail
    reference: IndexedReference
    now: datetime
    may_work: Callable[[str, str | None], bool]
    """(role, pôle) → the reader may work on cards of this role."""
    translator: Translator

    @property
    def names(self) -> TerritoryNames:
        return self.reference.names

    def build(self) -> PlanView:
        """Build the whole view."""
        library, _ = self.reference.plans[self.plan.id], self.translator
        active = self.plan.state in ACTIVE_PLAN_STATES
        done_count, total = count_cards(self.plan.cards) if active else (0, 0)
        site_done, site_total = count_site_cards(self.plan.cards) if active else (0, 0)
        return PlanView(
            triggers=[
                describe_conditions(one.when, self.names, _.lang) for one in library.triggers
            ],
            stand_down=describe_conditions(library.stand_down.when, self.names, _.lang)
            if library.stand_down is not None
            else [],
            groups=self._group_cards(library, active),
            contents=None if self.plan.content is None else self._build_contents(self.plan.content),
            activation=self.describe_activation(library),
            done=done_count,
            total=total,
            site_done=site_done,
            site_total=site_total,
            active=active,
        )

    def _group_cards(self, library: ref.Plan, active: bool) -> list[CardGroup]:
        static = {card.id: card for card in library.cards}
        titles = {card.id: card.task for card in library.cards}
        groups: dict[CardPhase | None, list[PlanCard]] = {}
        for card in self.plan.cards:
            card_view = self._build_card(card, static[card.id], titles, active)
            groups.setdefault(card.phase, []).append(card_view)
        return [
            CardGroup(phase or "all", self.translator(title), groups[phase])
            for phase, title in _PHASES.items()
            if phase in groups
        ]

    def _build_card(
        self, card: Card, static: ReferenceCard, titles: Mapping[str, str], active: bool
    ) -> PlanCard:
        content = self.plan.content.find_card(card.id) if self.plan.content is not None else None
        running = active and card.due_at is not None
        is_open = running and card.state in (CardState.TO_DO, CardState.DOING)
        late = is_open and card.due_at is not None and card.due_at < self.now and card.overdue
        works = running and self.may_work(card.role, card.pole or self.plan.pole)
        return PlanCard(
            id=card.id,
            title=card.task,
            owner=self._name_owner(static),
            delay=self._describe_delay(static),
            due_at=card.due_at if running else None,
            late=self.now - card.due_at if late and card.due_at is not None else None,
            at=card.at,
            state=card.state.value if running else "",
            waits_for=[titles.get(id, id) for id in card.waits_for],
            depends_on=[titles.get(id, id) for id in card.depends_on],
            where=self._describe_scope(static.scope),
            progress=card.progress if running else None,
            steps=content.steps if content is not None else (),
            done_when=content.done_when if content is not None else "",
            evidence=content.evidence if content is not None else "",
            evidence_kind=static.evidence.value,
            photo=card.proof.photo if running and card.proof is not None else None,
            lacks_photo=running
            and static.scope is None
            and is_photo_missing(card.state, static.evidence.value, card.proof),
            details=self._list_details(content, card) if content is not None else [],
            works=works and static.scope is None and card.state in OPEN_CARDS,
            opens=works and static.scope is not None and static.scope.where == "chosen",
        )

    def _name_owner(self, card: ReferenceCard) -> str:
        _ = self.translator
        owner = self.name_role(card.role, card.pole)
        if card.deputy_role is None:
            return owner
        deputy = self.name_role(card.deputy_role, card.deputy_pole or card.pole)
        return _("{owner}, à défaut {deputy}", owner=owner, deputy=deputy)

    def _describe_delay(self, card: ReferenceCard) -> str:
        _ = self.translator
        if card.local_min is not None:
            return _("à {h} h {m}", h=card.local_min // 60, m=f"{card.local_min % 60:02}")
        span = describe_minutes(abs(card.t_min), _)
        if card.t_min < 0:
            return _("{span} avant l’heure prévue", span=span)
        return _("{span} {origin}", span=span, origin=_(_ORIGINS[card.origin]))

    def _describe_scope(self, scope: CardScope | None) -> str:
        _ = self.translator
        if scope is None:
            return ""
        if scope.type == "person":
            return _("une par personne du groupe")
        if scope.sites:
            names = [shorten_site_name(self.names.site(site)) for site in scope.sites]
            places = join_some(names, NAMES_SHOWN, _)
        elif scope.kinds:
            places = w.join_words(
                [w.translate_code(world.KIND_MANY, kind, _) for kind in scope.kinds], _
            )
        else:
            places = _("tous les genres de sites")
        return _(_WHERE[scope.where], places=places)

    def _list_details(self, content: CardContent, card: Card) -> list[Detail]:
        """List the lines under the steps; lines without a text are left out."""
        _, names = self.translator, self.names
        metiers = [f"{names.metier(metier, _.lang)} ({n})" for metier, n in content.metiers.items()]
        label, unit = w.EFFECT[card.effect] if card.effect is not None else ("", "")
        lines = (
            (N_("Activités"), ", ".join(names.activity(a, _.lang) for a in content.activities)),
            (N_("Métiers, au moins"), ", ".join(metiers)),
            (N_("Systèmes"), ", ".join(world.name_system(s, names, _) for s in content.systems)),
            (N_("Matériel"), ", ".join(content.materials)),
            (N_("À appeler"), ", ".join(self._name_contact(c) for c in content.contacts)),
            (N_("Documents"), ", ".join(self._name_document(d) for d in content.documents)),
            (N_("Personnes fragiles"), content.solidarity),
            (N_("Conditions de travail"), content.working_conditions),
            (N_("Environnement"), content.environment),
            (N_("Règle"), content.rule),
            (N_("Effet à relever"), f"{_(label)} ({unit})" if unit else _(label) if label else ""),
        )
        return [Detail(_(name), text) for name, text in lines if text]

    def _name_contact(self, contact: str) -> str:
        partner = next((c for c in list_contacts(self.reference) if c.id == contact), None)
        if partner is not None:
            return partner.function
        role = self.name_role(contact, None)
        return role if role != contact else contact.replace("_", " ")

    def _name_document(self, document: str) -> str:
        """Return the title of a document of this plan, or of the plan that holds it."""
        own = [self.plan.content] if self.plan.content is not None else []
        others = ref.collect_plan_contents(self.reference.sections).values()
        titles = (d.title for plan in (*own, *others) for d in plan.documents if d.id == document)
        return next(titles, document)

    def _build_contents(self, content: PlanContent) -> PlanSections:
        _, names = self.translator, self.names

        def activity(id: str, text: str) -> PlanLineItem:
            return PlanLineItem(names.activity(id, _.lang), text)

        contacts = dict.fromkeys(c for card in content.cards for c in card.contacts)
        partners = [c for c in list_contacts(self.reference) if c.id in contacts]
        systems = dict.fromkeys(s for card in content.cards for s in card.systems)
        return PlanSections(
            purpose=content.purpose,
            review=self._describe_review(content),
            overdue=content.review is not None and content.review.next_on < self.now.date(),
            deputies=[
                PlanLineItem(
                    self.name_role(d.role, d.pole),
                    _(
                        "{deputy}, ensuite {then}",
                        deputy=self.name_role(d.deputy, d.pole),
                        then=self.name_role(d.then, d.pole),
                    ),
                )
                for d in content.deputies
            ],
            stops=[activity(one.activity, one.detail) for one in content.stops],
            goes_on=[
                activity(
                    one.activity,
                    _(
                        "{pct} % au moins, {staff} le premier jour{how}",
                        pct=w.format_number(one.mbco_pct, _.lang),
                        staff=_.plural("{n} agent", "{n} agents", one.minimum_staff),
                        how=f" ; {one.how}" if one.how else "",
                    ),
                )
                for one in content.goes_on
            ],
            recovery=[activity(one.activity, one.reason) for one in content.recovery],
            documents=[PlanLineItem(d.title, d.support) for d in content.documents],
            partners=[
                PlanLineItem(c.function, _("Dire : {say}\nDemander : {ask}", say=c.say, ask=c.ask))
                for c in partners
            ],
            systems=[world.name_system(s, names, _) for s in systems],
        )

    def name_role(self, role: str, pole: str | None) -> str:
        """Name a role; directors of a pôle without one are those of the plan."""
        scope = pole or self.plan.pole if role in _POLE_ROLES else None
        return w.name_role(role, scope, self.names, self.translator)

    def _describe_review(self, content: PlanContent) -> str:
        review, _ = content.review, self.translator
        if review is None:
            return ""
        return _(
            "{owner}, prochaine revue le {day}",
            owner=self.name_role(review.owner_role, review.owner_pole),
            day=review.next_on.strftime("%d/%m/%Y"),
        )

    def describe_activation(self, library: ref.Plan) -> ActivationEffects:
        """Describe the effects of activating the plan now: cards, roles, sites, messages."""
        effects, _ = self.plan.activation, self.translator
        roles = [self.name_role(role, None) for role in effects.roles]
        sites = [shorten_site_name(self.names.site(site)) for site in effects.sites]
        later = sum(card.phase is CardPhase.RETURN for card in library.cards)
        return ActivationEffects(
            cards=_.plural(
                "{n} fiche du plan s’ouvre", "{n} fiches du plan s’ouvrent", effects.cards
            )
            if effects.cards
            else _("Aucune fiche du plan ne s’ouvre"),
            roles=join_some(roles, len(roles), _),
            sites=_describe_sites(sites, _),
            messages=_.plural(
                "{n} responsable de site reçoit un message, dans la minute, avec ses fiches à faire",
                "{n} responsables de site reçoivent un message, dans la minute, avec leurs fiches à "
                "faire",
                effects.messages,
            )
            if effects.messages
            else _("Aucun message ne part aux sites"),
            later=_.plural(
                "{n} fiche s’ouvrira au retour à la normale",
                "{n} fiches s’ouvriront au retour à la normale",
                later,
            )
            if later
            else "",
        )


def _describe_sites(names: list[str], _: Translator) -> str:
    if not names:
        return _("Aucun site ne reçoit de fiche à lui")
    count = _.plural("{n} site reçoit ses fiches", "{n} sites reçoivent leurs fiches", len(names))
    return _("{count} : {names}", count=count, names=join_some(names, NAMES_SHOWN, _))


def describe_minutes(minutes: int, _: Translator) -> str:
    """Describe a delay: `45 min`, `2 h`, `2 h 30`, `3 jours`."""
    hours, rest = divmod(minutes, 60)
    if hours >= 48 and not rest and hours % 24 == 0:
        return _.plural("{n} jour", "{n} jours", hours // 24)
    if not hours:
        return _("{n} min", n=minutes)
    return _("{h} h {m}", h=hours, m=f"{rest:02}") if rest else _("{h} h", h=hours)


def join_some(names: list[str], most: int, _: Translator) -> str:
    """Join the first names; count the others."""
    if len(names) <= most:
        return w.join_words(names, _)
    more = len(names) - most
    others = _.plural("{n} autre", "{n} autres", more)
    return _("{first} et {last}", first=", ".join(names[:most]), last=others)


def count_cards(cards: Iterable[Card]) -> tuple[int, int]:
    """Return the number of closed cards and of all open or closed ones.

    A card with a card for each site is one card, closed with the last of them.
    """
    opened_cards = [card for card in cards if card.due_at is not None]
    return sum(card.state not in OPEN_CARDS for card in opened_cards), len(opened_cards)


def count_site_cards(cards: Iterable[Card]) -> tuple[int, int]:
    """Return the number of closed site cards and of all site cards."""
    progress = [card.progress for card in cards if card.progress is not None]
    return sum(p.done + p.not_applicable for p in progress), sum(p.total for p in progress)


def is_photo_missing(state: CardState, evidence: str, proof: CardProof | None) -> bool:
    """Return whether a completed card asks for a photo that nobody gave."""
    is_given = proof is not None and proof.photo is not None
    return state is CardState.DONE and evidence == Evidence.PHOTO and not is_given


def list_site_card_lines(
    cards: Iterable[SiteCard], names: TerritoryNames, _: Translator, evidence: str
) -> list[SiteCardLine]:
    """List the cards of sites: overdue first, then open by due time, then closed.

    `evidence` is the kind that the card asks for.
    """
    ordered_cards = sorted(
        cards, key=lambda one: (one.state not in OPEN_CARDS, not one.overdue, one.due_at, one.id)
    )
    return [
        SiteCardLine(
            one.site,
            shorten_site_name(one.name)
            if one.name is not None
            else w.name_role(one.role, one.pole, names, _),
            one.state.value,
            w.translate_code(w.CARD_STATE, one.state, _),
            one.due_at,
            one.overdue,
            one.at,
            one.proof.photo if one.proof is not None else None,
            is_photo_missing(one.state, evidence, one.proof),
        )
        for one in ordered_cards
    ]


def can_open_any(view: PlanView) -> bool:
    """Return whether the reader may open a card at a site of choice."""
    return any(card.opens for group in view.groups for card in group.cards)
