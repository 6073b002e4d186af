"""Show an order for communes or an area: the sites inside and their answers. Rule D102."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from schemas.alerts import TaskRow
from schemas.crisis.area_orders import CONCERNED, NOT_CONCERNED, AreaOrderRow
from schemas.delivery import NotificationRow
from schemas.ranks import SITE_MANAGER_ROLE
from schemas.words import NotificationState, TaskState
from services.console.i18n import N_, Translator
from services.console.incidents.queries import AreaAnswer, AreaOrderAnswers, is_changeable
from services.console.logbook.facts.cell import AREA_ORDERS
from services.console.resource_base import to_datetime, to_optional_datetime
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.console.web import times
from services.messages import load_phrases

COMMUNES_SHOWN: Final = 4
_OPEN_STATES: Final = (TaskState.OPEN, TaskState.TAKEN)
SiteAnswerState: TypeAlias = Literal[
    "waiting", "concerned", "not_concerned", "over", "ordered", "replaced", "closed"
]
ANSWER_TEXTS: Final[Mapping[SiteAnswerState, str]] = {
    "waiting": N_("sans réponse"),
    "concerned": N_("concerné"),
    "not_concerned": N_("non concerné"),
    "over": N_("consigne levée pour ce site"),
    "ordered": N_("consigne donnée au site lui-même"),
    "replaced": N_("interrogé de nouveau"),
    "closed": N_("incident clos sans réponse"),
}
"""Answer of a site, or why none is needed, in words."""
_ANSWER_TONES: Final[Mapping[SiteAnswerState, str]] = {
    "waiting": "soon",
    "concerned": "over",
    "not_concerned": "ok",
}
_TONES: Final = ("over", "soon", "ok", "mute")
"""Order of the lines: concerned first, then without an answer."""


@dataclass(frozen=True, slots=True)
class AreaSiteLine:
    """A site in the area of an order, and its answer."""

    site: str
    name: str
    answer: str
    tone: str
    at: datetime | None
    recipients: str
    is_unreachable: bool
    question: str | None
    """The question, if it is open or its answer may be changed."""
    outcome: str | None
    """Present answer to that question; None while it is open."""

    @property
    def is_silent(self) -> bool:
        return self.question is not None and self.outcome is None


@dataclass(frozen=True, slots=True)
class AreaOrderView:
    """An order for an area in words, with its sites."""

    id: str
    title: str
    given: str
    counts: str
    silent_text: str
    is_over: bool
    lines: tuple[AreaSiteLine, ...]

    @property
    def is_asking(self) -> bool:
        """True while a site may answer, or change its answer."""
        return any(line.question is not None for line in self.lines)


def build_area_order_views(
    orders: Iterable[AreaOrderAnswers], now: datetime, names: TerritoryNames, _: Translator
) -> list[AreaOrderView]:
    return [_build_view(one, now, names, _) for one in orders]


@dataclass(frozen=True, slots=True)
class SiteAnswer:
    """The answer of a site to an order for its area, which the site may change."""

    question: str
    outcome: str
    order: str
    text: str


def describe_site_answers(
    answers: Iterable[AreaAnswer], now: datetime, names: TerritoryNames, _: Translator
) -> dict[str, list[SiteAnswer]]:
    """Return the answers in words, by site."""
    by_site: dict[str, list[SiteAnswer]] = {}
    for one in answers:
        answer = _describe_answer(one.question, now, _)[0]
        at = times.hm_dated(to_optional_datetime(one.question.done_at), now, _.lang)
        by_site.setdefault(one.question.site or "", []).append(
            SiteAnswer(
                one.question.id,
                one.question.outcome or "",
                describe_area_order(one.order, now, names, _),
                _("Réponse à {at} : {answer}", at=at, answer=answer),
            )
        )
    return by_site


def describe_area_order(
    row: AreaOrderRow, now: datetime, names: TerritoryNames, _: Translator
) -> str:
    """Return an order in one line: «Consigne d’évacuation, Gennevilliers, depuis 16:00 (préfecture)»."""
    since = times.hm_dated(to_datetime(row.ordered_at), now, _.lang)
    giver = load_phrases(_.lang).term("givers", row.source)
    text = _("{order}, depuis {at}", order=write_title(row, names, _), at=since)
    return f"{text} ({giver})" if giver else text


def write_title(row: AreaOrderRow, names: TerritoryNames, _: Translator) -> str:
    """Return the order and its communes."""
    where = w.join_words([names.commune(c) for c in row.communes[:COMMUNES_SHOWN]], _)
    more = len(row.communes) - COMMUNES_SHOWN
    if more > 0:
        where = _.plural(
            "{where} et {n} autre commune", "{where} et {n} autres communes", more, where=where
        )
    return f"{_(AREA_ORDERS[row.order.value])}, {where}"


def _build_view(
    one: AreaOrderAnswers, now: datetime, names: TerritoryNames, _: Translator
) -> AreaOrderView:
    row = one.order
    lines = [_build_line(one, site, now, names, _) for site in one.sites]
    lines.sort(key=lambda line: (_TONES.index(line.tone), line.name))
    outcomes = [t.outcome for t in one.questions.values() if t.state is TaskState.DONE]
    silent = sum(line.is_silent for line in lines)
    return AreaOrderView(
        id=row.id,
        title=write_title(row, names, _),
        given=_describe_origin(row, now, names, _),
        counts=", ".join(_list_counts(outcomes, silent, len(lines), _)),
        silent_text=_("{n} sans réponse", n=silent) if silent else "",
        is_over=row.ended_at is not None,
        lines=tuple(lines),
    )


def _describe_origin(row: AreaOrderRow, now: datetime, names: TerritoryNames, _: Translator) -> str:
    if row.ended_at is None:
        return f"{describe_area_order(row, now, names, _)}."
    at = times.hm_dated(to_datetime(row.ended_at), now, _.lang)
    return _("{order}, levée {at}.", order=describe_area_order(row, now, names, _), at=at)


def _list_counts(
    outcomes: Sequence[str | None], silent: int, total: int, _: Translator
) -> Iterable[str]:
    yield _.plural("{n} site dans la zone", "{n} sites dans la zone", total)
    if yes := outcomes.count(CONCERNED):
        yield _.plural("{n} concerné", "{n} concernés", yes)
    if no := outcomes.count(NOT_CONCERNED):
        yield _.plural("{n} non concerné", "{n} non concernés", no)
    if silent:
        yield _("{n} sans réponse", n=silent)


def _build_line(
    one: AreaOrderAnswers, site: str, now: datetime, names: TerritoryNames, _: Translator
) -> AreaSiteLine:
    task = one.questions.get(site)
    answer, tone = _describe_answer(task, now, _)
    calls = [one.calls[id] for id in task.calls if id in one.calls] if task is not None else []
    is_open = task is not None and task.state in _OPEN_STATES
    is_settled = task is not None and is_changeable(one.order, task)
    recipients, is_unreachable = _describe_recipients(task, calls, names, _)
    return AreaSiteLine(
        site=site,
        name=names.site(site),
        answer=answer,
        tone=tone,
        at=None if task is None else to_optional_datetime(task.done_at),
        recipients=recipients,
        is_unreachable=is_unreachable and is_open,
        question=task.id if task is not None and (is_open or is_settled) else None,
        outcome=task.outcome if task is not None and is_settled else None,
    )


def _describe_answer(task: TaskRow | None, now: datetime, _: Translator) -> tuple[str, str]:
    """Return the answer of a site in words, and its tone."""
    state = find_answer_state(task)
    text, tone = _(ANSWER_TEXTS[state]), _ANSWER_TONES.get(state, "mute")
    if state == "waiting" and task is not None and task.due_at is not None:
        text = _("sans réponse, à appeler") if to_datetime(task.due_at) <= now else text
    return text, tone


def find_answer_state(task: TaskRow | None) -> SiteAnswerState:
    """Return the answer of a site by the newest question about it; without one it was ordered."""
    if task is None:
        return "ordered"
    if task.state in _OPEN_STATES:
        return "waiting"
    return next((state for state in ANSWER_TEXTS if state == task.outcome), "over")


def _describe_recipients(
    task: TaskRow | None, calls: Sequence[NotificationRow], names: TerritoryNames, _: Translator
) -> tuple[str, bool]:
    """Return the people called, by function, and True if none of the site could be reached."""
    if task is None:
        return "", False
    if not task.calls:
        return _("personne de joignable : appelez le site"), True
    roles = dict.fromkeys((call.role, call.scope) for call in calls)
    functions = ", ".join(w.name_role(role, scope, names, _) for role, scope in roles)
    if calls and all(call.state is NotificationState.FAILED for call in calls):
        return _("{role} : aucun canal n’a abouti", role=functions), True
    if calls and calls[0].role != SITE_MANAGER_ROLE:
        return _("responsable injoignable ; demandé à {role}", role=functions), True
    return functions, False
