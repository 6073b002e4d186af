"""Page `/a/{token}`: answer a call from a link, without a login.

Opening the page never counts as an answer. Rule D33.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import Request

from schemas.callouts import HEADCOUNT_KEYS, HeadcountAnswer
from schemas.crisis.area_orders import AREA_ORDER
from schemas.people.attendance import AttendanceMode
from schemas.topics import is_live, parse_realm
from schemas.words import Answer, IncidentState, NotificationState
from services.console.directory.view import build_phone_link
from services.console.http.decisions import StatedAttendance
from services.console.http.problems import NotFound
from services.console.i18n import N_, get_translator
from services.console.messages.call_facts import collect_call_facts
from services.console.read_model.queries import Queries
from services.console.resources import CommandResult, Notification, to_datetime
from services.console.staffing.queries import Attendance, CellStaffing
from services.console.texts import words as w
from services.console.web import times
from services.console.web.shell import DisplayChoice
from services.messages import MessageNames, load_phrases
from services.messages.composition import ACTION_DUE
from services.messages.names import TERRITORY
from services.messages.values import describe_place
from services.runtime.http.problems import Language, ProblemError
from services.runtime.identity.signed_links import (
    AnswerLink,
    AnswerLinks,
    LinkExpired,
    LinkInvalid,
)

HEADCOUNT = "headcount"
"""Template of the headcount question (« are you safe? »)."""
DELEGATE = "delegate"
"""Button that asks for another person of the same role."""
RECALL = "recall"
"""Button to take an acknowledgement back."""
CONCERNED_AFTER_ALL = "concerned"
"""Button to say after a no that an order for the area concerns the site. Rule D102."""
COUNTED_STATES = ("applied", "pending")
"""States of an answer that counts, now or in a moment."""
ENDED_STATES = ("superseded", "ended")
"""States of an escalation that waits for no answer any more."""
WITHDRAWAL_TEXTS = {
    "done": N_("L’action est faite."),
    "declined": N_("L’action a été refusée : la cellule la confie à quelqu’un d’autre."),
    "cancelled": N_("L’action est annulée : vous n’avez plus rien à faire."),
    "role_changed": N_("La fonction a changé de titulaire : l’action lui est confiée."),
    "closed": N_("L’incident est clos."),
    "merged": N_("L’incident est rattaché à un autre, suivi par ailleurs."),
    "called_again": N_(
        "Votre réponse précédente ne compte plus : répondez au dernier message reçu."
    ),
    "joined": N_("L’incident est rattaché à un autre, suivi par ailleurs."),
    "over": N_("La consigne est levée pour votre site."),
    "ordered": N_("La consigne est donnée au site lui-même : suivez-la."),
    "replaced": N_("Une autre consigne l’a remplacée : répondez au dernier message reçu."),
    "level_lowered": N_("Le niveau a été abaissé."),
    "superseded": N_("Un autre appel l’a remplacé : répondez à celui-là s’il vous est parvenu."),
}
"""Reason of a withdrawal → its text."""
OTHER_ANSWER_TEXTS = {
    Answer.ACK: N_(
        "Vous avez déjà accepté : cette nouvelle réponse n’est pas prise en compte. Pour vous "
        "désister, touchez « Finalement, je ne peux pas »."
    ),
    Answer.DECLINE: N_(
        "Vous avez déjà refusé : cette nouvelle réponse n’est pas prise en compte. Si vous êtes "
        "disponible, appelez la cellule."
    ),
}
"""Answer that counts → text after the other one from an older page."""
AREA_WITHDRAWAL_TEXTS = {
    Answer.ACK.value: N_("La réponse est donnée : votre site est concerné. Suivez la consigne."),
    Answer.DECLINE.value: N_("La réponse est donnée : votre site n’est pas concerné."),
}
"""Answer that was given elsewhere about an order for an area → its text. Rule D102."""
OTHER_AREA_ANSWER_TEXTS = {
    Answer.ACK: N_(
        "Vous avez déjà répondu que votre site est concerné : cette réponse n’est pas prise en "
        "compte. Pour en changer, touchez « Finalement, mon site n’est pas concerné »."
    ),
    Answer.DECLINE: N_(
        "Vous avez déjà répondu que votre site n’est pas concerné : cette réponse n’est pas prise "
        "en compte. Pour en changer, touchez « Finalement, mon site est concerné »."
    ),
}
"""Same as `OTHER_ANSWER_TEXTS`, about an order for an area."""
_TITLE_ERASED = N_("Le texte de l’action a été effacé : appelez la cellule.")
NOTHING_TO_DO = N_("Il n’y a plus rien à faire ici.")
TEAM_LEVEL: Final = 2
"""Level from which the people called join others; at N1 one person looks at a site."""
CRISIS_LEVEL: Final = 3
"""Level from which a call asks people to come to the crisis cell."""
MAX_CALLS: Final = 1000
"""Most calls of one escalation that are read."""
UNREADABLE_CODES = ("store_away", "rebuilding", "resource_unknown", "realm_unknown")
"""Problem codes of an unavailable read model, or of one that does not have the call yet."""


SendAnswer = Callable[..., Awaitable[CommandResult]]
"""`LinkAnswers.send`, which records the answer of a token."""
KeepAnswer = Callable[[str, HeadcountAnswer], Awaitable[None]]
"""Function that stores a headcount answer, encrypted, before the answer is reported. Rule D37."""


@dataclass(frozen=True, slots=True)
class AreaQuestion:
    """The question whether an order for an area concerns a site, in words. Rule D102."""

    order: str
    where: str
    giver: str
    if_so: str
    """Deeds of a site that is concerned."""
    ordered_at: str


class AnswerPage:
    def __init__(
        self, queries: Queries, links: AnswerLinks, send: SendAnswer, keep: KeepAnswer
    ) -> None:
        self._queries, self._links, self._send, self._keep = queries, links, send, keep

    def link(self, token: str) -> AnswerLink:
        """Read the token.

        Raises ProblemError `link_invalid` if it is forged or truncated, and LinkExpired.
        """
        try:
            return self._links.read(token, times.to_ms(datetime.now(UTC)))
        except LinkExpired:
            raise
        except LinkInvalid as error:
            raise ProblemError("link_invalid") from error

    async def page(self, request: Request, token: str) -> dict[str, Any]:
        """Return the context of `ack.html`.

        If the read model is unavailable, it is the context of `ack_unread.html` (`template`): the
        message itself named the subject. Raises ProblemError.
        """
        link = self.link(token)
        try:
            return await self._build_context(link, token, DisplayChoice.of(request))
        except ProblemError as unread:
            if unread.problem.code not in UNREADABLE_CODES:
                raise
            return {
                "template": "ack_unread.html",
                **_build_link_context(link, token),
                "simulated": not is_live(link.realm),
            }

    async def build_expired_page(self, request: Request, link: AnswerLink) -> dict[str, Any]:
        """Return the context of `message.html` for an expired link, with the telephone of the cell.

        The page gives no telephone while the read model is unavailable.
        """
        choice, problem = DisplayChoice.of(request), ProblemError("link_expired").problem
        try:
            reference = await self._queries.of(link.realm, choice.lang).reference()
            phone = reference.message_names.cell_phone
        except ProblemError as unread:
            if unread.problem.code not in UNREADABLE_CODES:
                raise
            phone = None
        language: Language = "en" if choice.lang == "en" else "fr"
        return {
            "template": "message.html",
            "status": problem.status,
            "title": problem.kind.title[language],
            "detail": problem.sentence(language),
            "phone": None if phone is None else build_phone_link(phone),
            "link": None,
            "link_label": "",
        }

    async def _build_context(
        self, link: AnswerLink, token: str, choice: DisplayChoice, *, refusal: str = ""
    ) -> dict[str, Any]:
        """Return the context of `ack.html`. Raises ProblemError."""
        _ = get_translator(choice.lang)
        queries = self._queries.of(link.realm, choice.lang)
        notification = await queries.notification(link.notification)
        realm, reference = await queries.realm(), await queries.reference()
        names = reference.names
        now = realm.shown_clock if realm.simulated else datetime.now(UTC)
        wave, over, calls = None, notification.withdrawn, []
        if notification.escalation is not None:
            calls = (
                await queries.notifications(escalation=notification.escalation, limit=MAX_CALLS)
            ).items
            ladder = await queries.escalation(notification.escalation)
            wave = next(
                (
                    x
                    for x in ladder.waves
                    if x.wave == notification.wave and x.cycle == notification.cycle
                ),
                None,
            )
            over = over or (ladder.state if ladder.state in ENDED_STATES else None)
            over = over or ("called_again" if _is_called_again(notification, calls) else None)
        withdrawal_texts = WITHDRAWAL_TEXTS
        if notification.template == AREA_ORDER:
            withdrawal_texts = WITHDRAWAL_TEXTS | AREA_WITHDRAWAL_TEXTS
        answer = notification.answer if notification.state is NotificationState.ANSWERED else None
        return {
            **_build_link_context(link, token),
            "shown_at": now,
            "headcount": notification.template == HEADCOUNT,
            **self._action_context(notification, now, choice.lang),
            "area": _describe_area_question(
                notification, reference.message_names, now, choice.lang
            ),
            **await self._build_attendance_context(link, notification),
            "number": notification.values.get("number"),
            "simulated": realm.simulated,
            "level": notification.level,
            "previous": notification.previous_level,
            "role": w.name_role(notification.role, notification.scope, names, _),
            "called_at": notification.planned_at,
            "called_day": times.to_paris(notification.planned_at).strftime("%d/%m"),
            "waited": times.format_duration(now - notification.planned_at, choice.lang),
            "deputy_at": notification.ack_by
            if notification.ack_by and notification.ack_by > now
            else None,
            "answered": answer,
            "answered_at": notification.acknowledged_at,
            "over": None
            if over is None
            else _(
                withdrawal_texts.get(await _explain_end(queries, notification, over), NOTHING_TO_DO)
            ),
            "facts": collect_call_facts(
                notification, calls, reference.message_names, names, _, now
            ),
            "meeting": await queries.meeting_place() if notification.level >= TEAM_LEVEL else None,
            "safety": self._queries.headcount_answer(notification.id) if answer else None,
            **await self._find_end(queries, notification),
            "refusal": refusal,
            "pending": False,
            "positive": max(wave.positive if wave else 0, int(answer == Answer.ACK)),
            "expected": wave.expected if wave else 0,
        }

    def _action_context(
        self, notification: Notification, now: datetime, lang: str
    ) -> dict[str, Any]:
        """Return the words of an action for the page, its limit, and the question."""
        if notification.values.get("action") is None:
            return {"action": None}
        limit = notification.values.get("limit_at")
        return {
            "action": self._queries.words_of(str(notification.values.get("text") or ""))
            or get_translator(lang)(_TITLE_ERASED),
            "action_due": notification.template == ACTION_DUE,
            "action_limit": times.hm_dated(
                to_datetime(limit) if isinstance(limit, int) else None, now, lang
            ),
        }

    async def answer(
        self,
        request: Request,
        token: str,
        answer_code: str,
        instead: str | None = None,
        eta_min: int | None = None,
    ) -> dict[str, Any]:
        """Record the answer of the pressed button and return the context of the page.

        It has `is_settled` if the page of the link says the same by now: show that one, because a
        phone that restores the answer to a form shows an error instead. If the read model is
        unavailable, it is that of `message.html` (`template`). Raises ProblemError and LinkExpired.
        """
        link = self.link(token)
        if answer_code in tuple(AttendanceMode):
            attendance = StatedAttendance(AttendanceMode(answer_code), eta_min)
            return await self._state_attendance(request, link, token, attendance)
        changes = answer_code in (RECALL, CONCERNED_AFTER_ALL)
        if answer_code == RECALL:
            answer_code = Answer.DECLINE.value
        elif answer_code == CONCERNED_AFTER_ALL:
            if not await self._may_be(link, AREA_ORDER):
                raise ProblemError("link_invalid")
            answer_code = Answer.ACK.value
        if answer_code == DELEGATE:
            changes, answer_code = await self._has_said_yes(link), Answer.DECLINE.value
        else:
            instead = None
        if (safety := HEADCOUNT_KEYS.get(answer_code)) is not None:
            if not await self._may_be(link, HEADCOUNT):
                raise ProblemError("link_invalid")
            await self._keep(link.notification, safety)
            answer_code = Answer.ACK.value
        if answer_code not in tuple(Answer):
            raise ProblemError("link_invalid")
        result = await self._send(
            link, token, Answer(answer_code), changes=changes, instead=instead
        )
        try:
            context = await self._build_context(
                link,
                token,
                DisplayChoice.of(request),
                refusal=(result.detail or "") if result.state in ("refused", "failed") else "",
            )
        except ProblemError as unread:
            if result.state not in COUNTED_STATES or unread.problem.code not in UNREADABLE_CODES:
                raise
            return build_received_page(DisplayChoice.of(request))
        is_settled = (
            result.state == "applied"
            and context["answered"] == answer_code
            and (safety is None or context["safety"] == safety.value)
        )
        if result.state in COUNTED_STATES and (
            context["answered"] is None or (changes and context["answered"] != answer_code)
        ):
            context |= {
                "answered": answer_code,
                "answered_at": None,
                "pending": result.state == "pending",
                "positive": max(context["positive"], int(answer_code == Answer.ACK.value)),
            }
        others = OTHER_ANSWER_TEXTS if context["area"] is None else OTHER_AREA_ANSWER_TEXTS
        other = others.get(context["answered"])
        is_other = context["answered"] != answer_code and safety is None and not changes
        if other and is_other and not context["refusal"]:
            context["refusal"] = get_translator(DisplayChoice.of(request).lang)(other)
        if safety is not None:
            context |= {
                "safety": safety.value,
                "answered_at": times.to_paris(datetime.now(UTC))
                if not context["simulated"]
                else context["shown_at"],
            }
        return context | {"is_settled": is_settled}

    async def _state_attendance(
        self, request: Request, link: AnswerLink, token: str, attendance: StatedAttendance
    ) -> dict[str, Any]:
        """Record how the person takes part in the crisis cell; the answer stays. Rule D90."""
        try:
            before = await self._find_attendance(link)
        except ProblemError:
            before = None
        result = await self._send(link, token, Answer.ACK, attendance=attendance)
        try:
            context = await self._build_context(link, token, DisplayChoice.of(request))
        except ProblemError as unread:
            if result.state not in COUNTED_STATES or unread.problem.code not in UNREADABLE_CODES:
                raise
            return build_received_page(DisplayChoice.of(request))
        if result.state in COUNTED_STATES:
            context["is_settled"] = context["attendance"] == attendance.mode.value
            arrival = context["arrival"]
            if arrival is not None and before is not None and arrival.stated_at == before.stated_at:
                context |= {
                    "is_settled": False,
                    "arrival": None,
                }  # the hour of an earlier statement
            context["attendance"] = attendance.mode.value
        else:
            context["refusal"] = result.detail or ""
        return context

    async def _build_attendance_context(
        self, link: AnswerLink, notification: Notification
    ) -> dict[str, Any]:
        """Return how the person takes part: an empty text before a statement, None outside a crisis.

        `arrival` is the person's row while they are on the way.
        """
        asks_otherwise = (
            notification.template == AREA_ORDER or notification.values.get("action") is not None
        )
        if notification.level < CRISIS_LEVEL or asks_otherwise:
            return {"attendance": None, "arrival": None}
        staffing = await self._queries.of(link.realm).cell_staffing()
        if not staffing.called:
            return {"attendance": None, "arrival": None}
        own = _find_person(staffing, link.person)
        on_the_way = own is not None and own.mode is AttendanceMode.EN_ROUTE
        return {
            "attendance": own.mode.value if own is not None else "",
            "arrival": own if on_the_way else None,
        }

    async def _find_attendance(self, link: AnswerLink) -> Attendance | None:
        """Return the last attendance of the person. Raises ProblemError."""
        return _find_person(await self._queries.of(link.realm).cell_staffing(), link.person)

    async def _find_end(
        self, queries: Queries, notification: Notification
    ) -> dict[str, datetime | None]:
        """Return since when nothing reported of the incident lasts, and since when it is closed.

        The level of the territory may keep the call open, though its incident is closed.
        """
        times: dict[str, datetime | None] = {"ended_at": None, "closed_at": None}
        if notification.incident is None:
            return times
        try:
            incident = await queries.incident(notification.incident)
        except NotFound:
            return times
        times["ended_at"] = incident.over_since
        if incident.state is IncidentState.CLOSED:
            times["closed_at"] = incident.closed_at
        return times

    async def _has_said_yes(self, link: AnswerLink) -> bool:
        try:
            return (
                await self._queries.of(link.realm).notification(link.notification)
            ).answer == Answer.ACK.value
        except ProblemError as unread:
            if unread.problem.code not in UNREADABLE_CODES:
                raise
            return False

    async def _may_be(self, link: AnswerLink, template: str) -> bool:
        """Return True if the call may be of a kind: a headcount, an order for an area.

        A call that cannot be read counts as one, so that nobody in danger is turned away. Other
        calls never take its answers.
        """
        try:
            return (
                await self._queries.of(link.realm).notification(link.notification)
            ).template == template
        except ProblemError as unread:
            if unread.problem.code not in UNREADABLE_CODES:
                raise
            return True


async def _explain_end(queries: Queries, notification: Notification, over: str) -> str:
    """Return the reason of a call that ended with its escalation: the incident changed."""
    if over != "ended" or notification.incident is None:
        return over
    try:
        incident = await queries.incident(notification.incident)
    except NotFound:
        return over
    if incident.state in (IncidentState.CLOSED, IncidentState.MERGED):
        return incident.state.value
    return "level_lowered" if incident.level < notification.level else over


def _is_called_again(answered_call: Notification, calls: Iterable[Notification]) -> bool:
    """Return whether the escalation called the person again after the answer, and waits.

    An answer on which nobody acted does not count any more. Rule D33.
    """
    answered_at = answered_call.acknowledged_at
    return answered_at is not None and any(
        one.person_token == answered_call.person_token
        and one.planned_at > answered_at
        and one.answer_expected
        and one.values.get("action") is None
        and one.answer is None
        and one.withdrawn is None
        for one in calls
    )


def _find_person(staffing: CellStaffing, person: str) -> Attendance | None:
    people = (one for function in staffing.items for one in function.people)
    return next((one for one in people if one.person == person), None)


def _describe_area_question(
    notification: Notification, names: MessageNames, now: datetime, lang: str
) -> AreaQuestion | None:
    """Return the words of the question whether an order concerns a site; None for other calls."""
    if notification.template != AREA_ORDER:
        return None
    words, facts = load_phrases(lang), notification.values
    ordered_at, if_so = facts.get("ordered_at"), words.term("order_ifs", facts.get("order")) or ""
    return AreaQuestion(
        order=words.term("orders", facts.get("order")) or "",
        where=describe_place(facts, names, words).where,
        giver=words.term("givers", facts.get("giver")) or "",
        if_so=f"{if_so[:1].upper()}{if_so[1:]}",
        ordered_at=times.hm_dated(to_datetime(ordered_at), now, lang)
        if isinstance(ordered_at, int)
        else "",
    )


def _build_link_context(link: AnswerLink, token: str) -> dict[str, Any]:
    """Return the context that the token alone gives."""
    territory, *_ = parse_realm(link.realm)
    return {
        "token": token,
        "territory": TERRITORY.get(territory, territory),
        "expires_at": datetime.fromtimestamp(link.expires_at / 1000, UTC),
    }


def build_received_page(choice: DisplayChoice) -> dict[str, Any]:
    """Return the context of `message.html`: the answer is stored, its call cannot be shown now."""
    _ = get_translator(choice.lang)
    return {
        "template": "message.html",
        "title": _("Réponse reçue"),
        "link": None,
        "link_label": "",
        "detail": _(
            "Elle est enregistrée et sera transmise à la cellule. Inutile de répondre de nouveau "
            "; vous pouvez fermer cette page."
        ),
    }
