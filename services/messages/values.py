"""Turn the facts of a notification into the words that its templates need."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from schemas.base import Instant
from schemas.callouts import AGENT
from schemas.continuity import CardReference
from schemas.crisis.area_orders import AREA_ORDER
from schemas.delivery import NotificationRow
from services.messages.names import MessageNames
from services.messages.phrases import Phrases, cut_words, describe_reason

Facts = Mapping[str, str | int | float | bool | None]
CALL_TEMPLATES: Final = ("incident_wave", "level_raised", "answer_stale")
"""Templates that call a person about an incident."""
MAX_COMMUNES: Final = 3
MAX_SITES: Final = 2
MAX_HOSTS: Final = 3
_RESUMED: Final = "reassignment_resumed"
RETURN_TEMPLATES: Final = (
    "reassignment_void",
    "reassignment_stopped",
    _RESUMED,
    "reassignment_over",
    "reassignment_recalled",
)
"""Templates about agents that go on, or come back."""
TERSE_RETURN_TEMPLATES: Final = ("reassignment_stopped", "reassignment_over")
"""Those among them with a text for one SMS."""
_SITE_KIND: Final = "site"
"""Family of incidents without words of its own; its event is named instead."""
_ORDERS: Final = {"evacuation": "evacuated", "shelter_in_place": "sheltering"}
"""Event of an incident that is an order → the order."""
PAGES: Final = {
    "alarm_rto": "/activites",
    "alarm_dmia": "/activites",
    "alarm_rto_local": "/mes-sites",
    "alarm_dmia_local": "/mes-sites",
    "forecast_rto": "/activites",
    "forecast_dmia": "/activites",
    "reentry": "/activites",
    "plan_proposed": "/plans",
    "stand_down_proposed": "/plans",
    "plan_dropped": "/plans",
    "card_overdue": "/plans",
    "resource_unanswered": "/moyens",
    "resource_unfilled": "/moyens",
    "resource_late": "/moyens",
    "resource_expired": "/moyens",
    "resource_return": "/moyens",
    "resource_stopped": "/moyens",
    "resource_resumed": "/moyens",
    "cards_opened": "/mes-sites",
    "cards_over": "/mes-sites",
    "cards_unfinished": "/plans",
    "site_cards_overdue": "/mes-sites",
    "cards_answered": "/mes-sites",
    "reassignment_proposed": "/reaffectation",
    "reassignment_order": "/mes-sites",
    "instruction": "/mes-sites",
    "instruction_withdrawn": "/mes-sites",
    "reassignment_void": "/mes-sites",
    "reassignment_over": "/mes-sites",
    "reassignment_recalled": "/mes-sites",
    "reassignment_refused": "/reaffectation",
    "reassignment_stopped": "/mes-sites",
    "reassignment_resumed": "/mes-sites",
    "action_declined": "/actions",
    "action_cancelled": "/actions",
    "obligation_reminder": "/echeances",
    "obligation_overdue": "/echeances",
    "readiness_hole": "/astreintes",
    "readiness_digest": "/astreintes",
    "shift_ending": "/astreintes",
    "handover": "/releve",
    "sitrep": "/sitrep",
    "vigilance_digest": "/plans",
    "site_order": "/mes-sites",
    "site_danger": "/mes-sites",
    "site_danger_over": "/mes-sites",
    "site_order_over": "/mes-sites",
    "area_order_sites": "/mes-sites",
    "area_order_own_sites": "/mes-sites",
    "verify_request": "/mes-sites",
}
"""Template → page on which to act."""


class Brevity(IntEnum):
    """Form of a place, from the longest to the shortest."""

    WHOLE = 0
    WITHOUT_SCALE = 1
    COUNTED = 2
    SHORTEST = 3


CARD_TITLE_MAX: Final = {
    Brevity.WHOLE: 80,
    Brevity.WITHOUT_SCALE: 40,
    Brevity.COUNTED: 24,
    Brevity.SHORTEST: 16,
}
"""Characters of a card's title in a list of several."""


@dataclass(frozen=True, slots=True)
class PlaceText:
    """The place of an incident, in words."""

    where: str = ""
    counted: str = ""
    """Shorter form: communes are counted, a site loses its commune."""
    shortest: str = ""
    """Shortest form: for a site, its commune."""
    scale: str = ""
    """Number of sites, if there are several."""


def describe_incident(facts: Facts, phrases: Phrases) -> str:
    """Return the kind of an incident in words, or "" without a known incident.

    An incident without a kind of its own is called after its event, or after its order.
    """
    is_site = facts.get("kind") == _SITE_KIND
    order = facts.get("area_order") or (_ORDERS.get(str(facts.get("event"))) if is_site else None)
    if name := phrases.term("area_orders", order):
        return name
    kind = phrases.term("kinds", facts.get("kind"))
    event = phrases.term("events", facts.get("event"))
    if kind is None:
        return phrases.word("incident") if "number" in facts else ""
    return f"{kind}{phrases.word('colon')}{event}" if is_site and event else kind


def describe_place(facts: Facts, names: MessageNames, phrases: Phrases) -> PlaceText:
    """Return the place of an incident: its site, its communes, or the territory."""
    site = names.sites.get(str(facts.get("only_site")))
    if site is not None:
        name, commune = site
        return PlaceText(name if commune in name else f"{name}, {commune}", name, shortest=commune)
    codes = [
        code for code in str(facts.get("places") or facts.get("commune") or "").split(",") if code
    ]
    commune_names = [names.communes[code] for code in codes if code in names.communes]
    members = facts.get("members")
    scale = phrases.word("sites", n=members) if isinstance(members, int) and members > 1 else ""
    everywhere = names.territory or phrases.word("everywhere")
    total = facts.get("communes")
    number = total if isinstance(total, int) and total > len(commune_names) else len(commune_names)
    if not commune_names or number >= len(names.communes):
        return PlaceText(everywhere, everywhere, scale=scale)
    where = phrases.join_names(commune_names, MAX_COMMUNES)
    if number > len(commune_names):
        where = ", ".join(commune_names[:MAX_COMMUNES]) + phrases.word(
            "more", n=number - len(commune_names[:MAX_COMMUNES])
        )
    return PlaceText(
        where, phrases.word("communes", n=number) if number > 1 else where, scale=scale
    )


def describe_sites(facts: Facts, names: MessageNames, phrases: Phrases) -> str:
    """Return the names of a message's sites, or their number, or "" without names."""
    ids = [id.strip() for id in str(facts.get("site") or "").split(",")]
    site_names = [names.sites[id][0] for id in ids if id in names.sites]
    return (
        phrases.word("sites", n=len(ids)) if len(site_names) > MAX_SITES else ", ".join(site_names)
    )


def describe_scope(scope: str | None, names: MessageNames, phrases: Phrases) -> str:
    """Return the name of a pôle or a site."""
    if scope is None:
        return ""
    if (pole := names.poles.get(scope)) is not None:
        return pole[phrases.lang == "en"]
    site = names.sites.get(scope)
    return "" if site is None else site[0]


def describe_role(role: str, names: MessageNames, phrases: Phrases) -> str:
    """Return the label of a role; "" for everybody of a site."""
    return "" if role == AGENT else phrases.term("roles", role) or names.role(role)


@dataclass(frozen=True, slots=True)
class MessageValues:
    """One message to compose: row, names, language, written or spoken."""

    row: NotificationRow
    names: MessageNames
    phrases: Phrases
    spoken: bool = False

    @property
    def seen_at(self) -> Instant:
        """Time when the person reads it: that of the newest attempt."""
        attempts = self.row.attempts
        return (
            max(self.row.planned_at, attempts[-1].planned_at) if attempts else self.row.planned_at
        )

    def time(self, at: object) -> str:
        """Format a time; "" for anything else."""
        if isinstance(at, bool) or not isinstance(at, int):
            return ""
        return self.phrases.time(at, self.seen_at, spoken=self.spoken)

    def values(self, brevity: Brevity = Brevity.WHOLE) -> dict[str, str | int | float | None]:
        """Return every value that a template may use."""
        row, names, phrases, facts = self.row, self.names, self.phrases, self.row.values
        level, place = int(row.level), describe_place(facts, names, phrases)
        what = self._describe_incident()
        where = place.counted if brevity >= Brevity.COUNTED else place.where
        if brevity is Brevity.SHORTEST:
            where = place.shortest or where
        scale = place.scale if brevity is Brevity.WHOLE else ""
        began = self.time(facts.get("since"))
        event = self._event(what, where, scale, began)
        event_danger = self._its_danger(event)
        limit = facts.get("limit_at")
        lowered_level = facts.get("lowered")
        return {
            "n": level or None,
            "head": f"Vigie N{level}" if level else "Vigie",
            "level": phrases.term("levels", level) or names.levels.get(level),
            "from": self._level_before(),
            "to": lowered_level if isinstance(lowered_level, int) else None,
            "what": what,
            "where": where,
            "scale": scale,
            "since": self.time(facts.get("stopped_at")) if "activity" in facts else began,
            "began": began,
            "event": event,
            "event_danger": event_danger,
            "about": f"{event}{event_danger}",
            "matter": f"{event}{event_danger}" or where,
            "cause": f"{what[:1].lower()}{what[1:]}, {where}" if what else "",
            "danger": phrases.word("danger") if row.danger else "",
            "danger_terse": phrases.word("danger_terse") if row.danger else "",
            "ask": (ask := self._ask(level)),
            "asked": _lower_first_letter(ask),
            "until": self.time(row.ack_by),
            "bridge": names.bridges.get(level),
            "phone": names.cell_phone,
            "activity": self._activity(),
            "site": describe_sites(facts, names, phrases) or self._managed_site(),
            "place": self._place(what),
            "plan": names.plans.get(str(facts.get("plan"))) or str(facts.get("plan_title") or ""),
            "why": describe_reason(facts.get("why"), names, phrases),
            "card": names.cards.get(str(facts.get("card"))),
            "resource": self._resource(),
            "barred": describe_scope(str(facts.get("barred")), names, phrases),
            "bring_back": (bring_back := self._bring_back()),
            "asked_bring_back": _lower_first_letter(bring_back),
            "bring_back_terse": self._bring_back("_terse"),
            "obligation": self._obligation(),
            "cards": phrases.word("cards", n=int(cards))
            if (cards := _to_number(facts.get("cards")))
            else "",
            "numbered": self._number_cards(brevity),
            "applied": self._numbers("applied", str(facts.get("change"))),
            "unknown": self._numbers("unknown", "unknown"),
            "closed": self._numbers("closed", "closed"),
            "stale": self._numbers("over", "over"),
            "missing": phrases.term("card_missing", facts.get("missing")) or "",
            "still": self._still(),
            "photo": self._photo(),
            "unfinished": _to_number(facts.get("unfinished")),
            "total": _to_number(facts.get("total")),
            "pct": self._share(limit),
            "limit": self.time(limit),
            "left": self._format_time_left(limit),
            "deadline": self._deadline(limit),
            "strategy": self._strategy(),
            "back": self.time(facts.get("back_at")),
            "agents": phrases.agents(facts.get("agents")),
            "estimated": phrases.word("estimated") if facts.get("estimated") else "",
            "leave": phrases.agents(facts.get("agents")),
            "moves": self._moves(brevity),
            "task": (task := self._task("choose_people")),
            "task_terse": self._task("choose_people_terse"),
            "asked_task": _lower_first_letter(task),
            "lasting": self._lasting(),
            "come": phrases.agents(facts.get("come")),
            "begins": self.time(
                facts.get("hole_at") if "hole_at" in facts else facts.get("begins_at")
            ),
            "ends": self.time(facts.get("ends_at")),
            "ends_at": self.time(facts.get("shift_end")),
            "found": _to_number(facts.get("found")),
            "expected": _to_number(facts.get("expected")),
            "post": self._post(),
            "hole": phrases.term("holes", facts.get("hole")) or phrases.word("hole"),
            "holes": _to_number(facts.get("holes")),
            "ready": _to_number(facts.get("ready_pct")),
            "phenomena": ", ".join(
                phrases.term("phenomena", p) or p.replace("-", " ")
                for p in split_parts(facts.get("phenomena"))
            ),
            "plans": ", ".join(names.plans.get(p, "") for p in split_parts(facts.get("plans"))),
            "occurrence": phrases.term("events", facts.get("event")),
            "hazard": phrases.term("events", facts.get("hazard")),
            "emergency": phrases.word("emergency") if row.danger else "",
            "kept": phrases.word("kept") if facts.get("answered") else "",
            "noted": phrases.word("help_noted" if facts.get("help") else "nothing_noted"),
            "choices": " ".join(
                phrases.word(f"choice_{subject}") for subject in split_parts(facts.get("subjects"))
            ),
            "order": phrases.term("orders", facts.get("order")),
            "means": phrases.term("order_means", facts.get("order")),
            "if_so": phrases.term("order_ifs", facts.get("order")),
            "order_over": phrases.term("order_ends", facts.get("ended"))
            or phrases.word("order_over"),
            "ordered": self.time(facts.get("ordered_at")),
            "giver": phrases.term("givers", facts.get("giver")),
            "end": phrases.term("call_ends", facts.get("end")) or phrases.word("call_over"),
            "exercise": str(facts.get("exercise") or ""),
            "handover": _to_number(facts.get("handover")),
            "sitrep": _to_number(facts.get("sitrep")),
            "as_of": self.time(facts.get("as_of")),
            "sitrep_level": _to_number(facts.get("sitrep_level")),
            "taker": describe_role(str(facts["taker_role"]), names, phrases)
            if facts.get("taker_role")
            else "",
            "waiting": phrases.word("decisions", n=int(decisions))
            if (decisions := _to_number(facts.get("decisions")))
            else phrases.word("no_decision"),
            "next": self.time(facts.get("next_at")),
            "author": describe_role(str(facts["author_role"]), names, phrases)
            if facts.get("author_role")
            else "",
            "at": self.time(row.planned_at),
        }

    def _describe_incident(self) -> str:
        """Return the incident in words; "" where the message itself names its order."""
        facts = self.row.values
        if self.row.template == AREA_ORDER and "area_order" in facts:
            return ""
        is_order = facts.get("kind") == _SITE_KIND and facts.get("event") in _ORDERS
        if self.row.template == "site_order" and is_order:
            return ""
        if self.row.template == "site_danger" and facts.get("hazard") == facts.get("event"):
            return ""
        what = describe_incident(self.row.values, self.phrases)
        is_call = self.row.template in CALL_TEMPLATES
        return what or (self.phrases.word("incident") if is_call else "")

    def _level_before(self) -> int | None:
        lowered_from = self.row.values.get("from")
        if isinstance(lowered_from, int):
            return lowered_from
        return None if self.row.previous_level is None else int(self.row.previous_level)

    def _event(self, what: str, where: str, scale: str, began: str) -> str:
        """Return event, place and start in one phrase, or "" without a known incident."""
        if not what:
            return ""
        since = self.phrases.word("since", at=began) if began else ""
        return f"{what}, {where}{f' ({scale})' if scale else ''}{since}"

    def _ask(self, level: int) -> str:
        """Return the request of a call to its role; once all is over, to check and close (D72)."""
        if self.row.values.get("over"):
            return self.phrases.word("over_ask")
        request = self.names.ask(level, self.row.role, self.phrases.lang)
        return request or self.phrases.word("default_ask")

    def _its_danger(self, event: str) -> str:
        """Return the end of a phrase on an incident that endangers people, in no call of it."""
        if not event or self.row.danger or not self.row.values.get("danger"):
            return ""
        return f". {self.phrases.word('danger_terse').rstrip('.')}"

    def _activity(self) -> str:
        activity_names = self.names.activities.get(str(self.row.values.get("activity")))
        return "" if activity_names is None else activity_names[self.phrases.lang == "en"]

    def _resource(self) -> str:
        """Return the quantity of a resource request with its kind: « 2 groupes électrogènes »."""
        kind = str(self.row.values.get("resource"))
        quantity = _to_number(self.row.values.get("quantity")) or 0
        resource_names = self.names.resources.get(kind)
        if resource_names is None:
            return self.phrases.word("resources", n=int(quantity))
        one, many = resource_names[2:] if self.phrases.lang == "en" else resource_names[:2]
        return f"{quantity} {one if quantity <= 1 else many}"

    def _number_cards(self, brevity: Brevity) -> str:
        """Return the cards of a message with their numbers: « 1 Couper le gaz, 2 … ». Rule D84."""
        cards = split_parts(self.row.values.get("listed"))
        if len(cards) <= 1:  # its title stands alone
            return ""
        titles = (self.names.cards.get(CardReference.parse(card).card, "") for card in cards)
        listed_titles = "; ".join(
            f"{number} {cut_words(title, CARD_TITLE_MAX[brevity]).rstrip('…')}"
            for number, title in enumerate(titles, start=1)
        )
        more = int(_to_number(self.row.values.get("cards")) or 0) - len(cards)
        return listed_titles + (self.phrases.word("more_cards", n=more) if more > 0 else "")

    def _numbers(self, name: str, word: str) -> str:
        """Return numbers of cards with their new state: « 1, 3 : fait »."""
        numbers = split_parts(self.row.values.get(name))
        outcome = self.phrases.term("card_answers", word)
        if not numbers or outcome is None:
            return ""
        cards = self.phrases.word("one_card" if len(numbers) == 1 else "several_cards")
        return f"{cards}{', '.join(numbers)}{self.phrases.word('colon')}{outcome}"

    def _photo(self) -> str:
        """Ask for the photos of completed cards: « Photo à joindre (2) dans Mes sites. »."""
        numbers = split_parts(self.row.values.get("photos"))
        return self.phrases.word("photo_wanted", numbers=", ".join(numbers)) if numbers else ""

    def _still(self) -> str:
        """Return how many cards of a message are still open after an answer."""
        still = _to_number(self.row.values.get("still"))
        if still is None:
            return ""
        return (
            self.phrases.word("cards_left", n=int(still))
            if still
            else self.phrases.word("no_card_left")
        )

    def _moves(self, brevity: Brevity) -> str:
        """Return how many agents of an order go where, stay at home, and come.

        An order of an old log names no place.
        """
        facts, phrases = self.row.values, self.phrases
        leaving, home = (int(_to_number(facts.get(name)) or 0) for name in ("agents", "stay_home"))
        hosts = self._hosts(brevity)
        counts = [("come", facts.get("come"))]
        if brevity is Brevity.SHORTEST:
            counts.insert(0, ("leave", leaving))
        elif hosts or home:
            counts[:0] = [("away", leaving - home), ("home", home)]
        else:
            counts.insert(0, ("elsewhere", leaving))
        return ", ".join(
            phrases.word(f"moves_{name}", agents=agents, hosts=hosts)
            for name, count in counts
            if (agents := phrases.agents(count))
        )

    def _task(self, choice: str) -> str:
        """Return the request of an order: choose the people, or only receive them.

        `choice` is the word for the first one. It holds if agents leave the site.
        """
        leaving = _to_number(self.row.values.get("agents"))
        return self.phrases.word(choice if leaving else "prepare_welcome")

    def _bring_back(self, form: str = "") -> str:
        """Return the request about agents that go on or come back, in the words of each template.

        Agents do not go back to a site under an order. Rule D78.
        """
        template, phrases = self.row.template, self.phrases
        if template not in (TERSE_RETURN_TEMPLATES if form else RETURN_TEMPLATES):
            return ""
        ids = [
            id for id in split_parts(self.row.values.get("barred_homes")) if id in self.names.sites
        ]
        if not ids:
            return phrases.word(f"{template}{form}")
        if template == _RESUMED:
            return phrases.word(f"{template}_barred")
        site_names = [self.names.sites[id][0] for id in ids]
        homes = phrases.join_names(site_names, MAX_SITES)
        if len(site_names) > MAX_SITES:
            homes = phrases.word("sites", n=len(site_names))
        return phrases.word(f"no_return{form}", homes=homes)

    def _hosts(self, brevity: Brevity) -> str:
        """Return the sites to which the agents of an order go, or their number."""
        facts, phrases = self.row.values, self.phrases
        ids = [id for id in str(facts.get("hosts") or "").split(",") if id in self.names.sites]
        number = max(int(_to_number(facts.get("host_count")) or 0), len(ids))
        if not ids or (brevity >= Brevity.COUNTED and number > 1):
            return phrases.word("sites", n=number) if number else ""
        site_names = [self.names.sites[id][0] for id in ids[:MAX_HOSTS]]
        if number > len(site_names):
            return ", ".join(site_names) + phrases.word("more_sites", n=number - len(site_names))
        return phrases.join_names(site_names, MAX_HOSTS)

    def _lasting(self) -> str:
        """Return until when an order holds; "" for an order of an old log. Rule D80."""
        facts = self.row.values
        if facts.get("begins_at") is None:
            return ""
        ends = self.time(facts.get("ends_at"))
        return (
            self.phrases.word("until_at", at=ends) if ends else self.phrases.word("until_further")
        )

    def _obligation(self) -> str:
        obligation_titles = self.names.obligations.get(str(self.row.values.get("obligation")))
        return "" if obligation_titles is None else obligation_titles[self.phrases.lang == "en"]

    def _managed_site(self) -> str:
        site = self.names.sites.get(self.row.scope or "")
        return "" if site is None else site[0]

    def _place(self, what: str) -> str:
        """Return the place where an activity is hit.

        Its site, else its pôle if no cause names the place.
        """
        site = describe_sites(self.row.values, self.names, self.phrases)
        if site or what:
            return site
        pole = self.row.values.get("pole")
        return (
            describe_scope(str(pole), self.names, self.phrases)
            or self.names.territory
            or self.phrases.word("everywhere")
        )

    def _share(self, limit: object) -> int | float | None:
        """Return the passed share of a delay: 100 % after its limit, even if the message waited."""
        share_pct = _to_number(self.row.values.get("pct"))
        over = isinstance(limit, int) and not isinstance(limit, bool) and limit <= self.seen_at
        return max(share_pct, 100) if share_pct is not None and over else share_pct

    def _format_time_left(self, limit: object) -> str:
        if isinstance(limit, bool) or not isinstance(limit, int):
            return ""
        return self.phrases.format_time_left(limit, self.seen_at, spoken=self.spoken)

    def _deadline(self, limit: object) -> str:
        """Return the time limit of a request, in words."""
        if isinstance(limit, bool) or not isinstance(limit, int):
            return self.phrases.word("now")
        return self.phrases.word(
            "before" if limit > self.seen_at else "at_once", at=self.time(limit)
        )

    def _strategy(self) -> str:
        code, _, _more = str(self.row.values.get("strategy") or "").partition(":")
        name = self.phrases.term("strategies", code.strip())
        return "" if name is None else name

    def _post(self) -> str:
        facts = self.row.values
        role = facts.get("hole_role") or facts.get("shift_role")
        if not role:
            return ""
        name = describe_role(str(role), self.names, self.phrases)
        scope = facts.get("hole_scope")
        scope_text = describe_scope(str(scope), self.names, self.phrases) if scope else ""
        return f"{name}, {scope_text}" if scope_text else name


def _lower_first_letter(text: str) -> str:
    """Return a request as it stands within a sentence."""
    return f"{text[:1].lower()}{text[1:]}"


def split_parts(value: object) -> tuple[str, ...]:
    """Split a value that holds several parts."""
    return tuple(part for part in str(value or "").split("|") if part)


def _to_number(value: object) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == int(value) else value
