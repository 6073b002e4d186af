"""Compose the texts of one notification for every channel.

A text that is too long is shortened in steps: first the number of sites goes, then the least needed
passages, then communes are counted. An SMS never ends inside a word. Rules D59 and D70.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from schemas.callouts import HEADCOUNT_KEYS
from schemas.crisis.area_orders import AREA_ORDER
from schemas.delivery import BundledItem, NotificationRow
from schemas.people.replies import HELP_TEMPLATES, UNPARSED_REPLY_TEMPLATE
from schemas.ranks import SITE_MANAGER_ROLE
from services.messages.names import MessageNames
from services.messages.phrases import (
    MissingValue,
    Phrases,
    Value,
    Values,
    count_droppable,
    cut_words,
    render,
    render_lines,
)
from services.messages.values import (
    PAGES,
    Brevity,
    MessageValues,
    describe_role,
    describe_scope,
    split_parts,
)
from services.runtime.http.sms_text import count_septets, reduce_to_gsm7, simplify_text

SMS_MAX_SEPTETS: Final = 306
"""Septets of two segments, including the link."""
VOICE_MAX_CHARACTERS: Final = 520
"""Characters of half a minute of speech, which is repeated."""
SUBJECT_MAX_CHARACTERS: Final = 110
TITLE_MAX_CHARACTERS: Final = 65
PUSH_MAX_CHARACTERS: Final = 240
LIFTED: Final = "lifted"
"""Order that ends the one before it."""
MAX_DIGEST_LINES: Final = 20
MAX_OTHER_CAUSES: Final = 2
"""Most other incidents that a digest names beside its first."""
HEADCOUNT: Final = "headcount"
CALLOUT: Final = "callout"
CORRECTION: Final = "callout_correction"
ACTION_DUE: Final = "action_due"
"""Message that asks whether an action is done."""
WRITTEN: Final = frozenset({CALLOUT, CORRECTION})
"""Templates that carry a text of the cell at any length."""
GRAVITY: Final = (
    "headcount",
    "site_order",
    "site_danger",
    AREA_ORDER,
    "reassignment_stopped",
    "incident_wave",
    "level_raised",
    "answer_stale",
    "exercise_wave",
    "headcount_manager",
    "instruction",
    "instruction_withdrawn",
    "action_overdue",
    "action_due",
    "action_request",
    "action_reminder",
    "action_declined",
    "resource_unanswered",
    "obligation_overdue",
    "obligation_reminder",
    "alarm_dmia",
    "forecast_dmia",
    "alarm_rto",
    "forecast_rto",
    "plan_proposed",
    "plan_dropped",
    "reassignment_void",
    "reassignment_order",
    "reassignment_resumed",
    "reassignment_over",
    "reassignment_recalled",
    "reassignment_refused",
    "reassignment_proposed",
    "resource_stopped",
    "resource_unfilled",
    "resource_late",
    "resource_expired",
    "verify_request",
    "cards_unfinished",
    "site_cards_overdue",
    "card_overdue",
    "cards_opened",
    "cards_over",
    "reentry",
    "stand_down_proposed",
    "resource_resumed",
    "resource_return",
    "handover",
    "sitrep",
    "shift_ending",
    "readiness_hole",
)
"""Templates, gravest first: the order within a digest."""
_PAGES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_SPACE_BEFORE_SIGN: Final = re.compile(r" (?=[:;!?»%])")
_SPACE_AFTER_QUOTE: Final = re.compile(r"(?<=«) ")
_SIGNS: Final = re.compile(r"[\[\]«»“”–()]")
_LINE_BREAK: Final = re.compile(r"\s*\n\s*")
_LEVEL: Final = re.compile(r"\bN([0-4])\b")


def compose_message(
    row: NotificationRow,
    names: MessageNames,
    phrases: Phrases,
    link: str | None,
    cell_text: str | None = None,
    *,
    public_url: str = "",
    spare_link: str | None = None,
) -> "MessageText":
    """Return the texts of a notification.

    `cell_text` is a text written by the crisis cell. `spare_link` is the link at another machine of
    the cluster. An unknown template becomes an information, never nothing.
    """
    link, spare_link = (link, spare_link) if row.answer_expected else (None, None)
    return MessageText(_unwrap_bundle(row), names, phrases, link, cell_text, public_url, spare_link)


def read_card_list(row: NotificationRow) -> tuple[str, ...]:
    """Return the cards that a message names by number; a digest of several names none. Rule D84."""
    row = _unwrap_bundle(row)
    return () if row.bundle else split_parts(row.values.get("listed"))


def _unwrap_bundle(row: NotificationRow) -> NotificationRow:
    """Return the one message of a bundle that overtook its others, or the row itself."""
    if not row.bundle or row.answer_expected or row.bundle_count > len(row.bundle):
        return row
    items = _split_bundle(row)
    return items[0] if len(items) == 1 else row


def _select_template(row: NotificationRow) -> str:
    """Return the name of the template for a row."""
    name, facts = row.template, row.values
    if name == "information" and facts.get("lowered") is not None and facts.get("from") is not None:
        return "information_lowered"
    if name == "level_raised" and (row.previous_level is None or facts.get("first_call")):
        return "incident_wave"
    if name in ("alarm_rto", "alarm_dmia") and facts.get("site") and row.role == SITE_MANAGER_ROLE:
        return f"{name}_local"
    if name == "site_order" and facts.get("order") == LIFTED:
        return "site_order_over"
    if name == "site_danger" and facts.get("ended") is not None:
        return "site_danger_over"
    if name == AREA_ORDER and facts.get("order") == LIFTED:
        return "area_order_over"
    if name == AREA_ORDER and facts.get("task") is None:
        return "area_order_own_sites" if row.role == SITE_MANAGER_ROLE else "area_order_sites"
    if name == UNPARSED_REPLY_TEMPLATE and facts.get("task"):
        return "reply_unread_area"
    if name == UNPARSED_REPLY_TEMPLATE and facts.get("headcount"):
        return "reply_unread_headcount"
    if name == UNPARSED_REPLY_TEMPLATE and facts.get("card_list"):
        return "reply_unread_cards"
    return name


@dataclass(frozen=True)
class MessageText:
    """A message in the form of every channel. A form is composed when it is read, and kept.

    A form without the values that its template needs asks to call the crisis cell.
    """

    row: NotificationRow
    names: MessageNames
    phrases: Phrases
    link: str | None
    said: str | None
    public_url: str
    spare_link: str | None = None
    """The same link at another machine, for forms with room for it."""

    @property
    def lang(self) -> str:
        """Language of the message."""
        return self.phrases.lang

    @cached_property
    def subject(self) -> str:
        """Subject of the e-mail, clear without opening it."""
        return self._build_title("subject", SUBJECT_MAX_CHARACTERS)

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """Lines of the e-mail: event, place, start, request."""
        try:
            return self._lines(self._shapes["body"])
        except MissingValue:
            return (self._typeset(self._minimal({"link": ""})),)

    @cached_property
    def sms(self) -> str:
        """SMS that can be answered."""
        answer = "reply_done_terse" if self.row.template == ACTION_DUE else "reply_terse"
        reply = self._reply()
        return self._sms(
            {
                "reply": reply,
                "on_page": "" if reply else self.phrases.word("cards_on_page"),
                "reply_again": self.phrases.word("reply_again"),
                "reply_terse": self.phrases.word(answer),
            }
        )

    @cached_property
    def sms_one_way(self) -> str:
        """SMS for senders that receive no answers."""
        on_page = self.phrases.word("cards_on_page")
        return self._sms(
            {"reply": "", "on_page": on_page, "numbered": "", "reply_again": "", "reply_terse": ""}
        )

    @cached_property
    def voice(self) -> str:
        """Text of a call."""
        try:
            return self._fit_text(
                self._shapes["voice"],
                {"keys": self._keys()},
                self._limit(VOICE_MAX_CHARACTERS),
                len,
                spoken=True,
                cuts=True,
            )
        except MissingValue:
            return _to_speech(self._minimal({"link": ""}), self.phrases)

    @property
    def voice_noted(self) -> str:
        """Words of a call after a pressed key."""
        return self.phrases.word("voice_noted")

    @cached_property
    def push_title(self) -> str:
        """Title of a notification of the app."""
        return self._build_title("push_title", TITLE_MAX_CHARACTERS)

    @cached_property
    def push(self) -> str:
        """Text of a notification of the app."""
        try:
            return self._fit_text(
                self._shapes["push"], {}, self._limit(PUSH_MAX_CHARACTERS), len, cuts=True
            )
        except MissingValue:
            return self._typeset(self._minimal({"link": ""}))

    @property
    def link_says(self) -> str:
        """Words before the link."""
        return self._typeset(self.phrases.word("answer_at") + self.phrases.word("colon").rstrip())

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys to listen for in a call; empty if no answer is asked."""
        if self.link is None:
            return ()
        return tuple(HEADCOUNT_KEYS if self.row.template == HEADCOUNT else ("1", "2"))

    @cached_property
    def heading(self) -> str:
        """First line of the e-mail: the territory."""
        territory = self.names.territory
        return self.phrases.word(
            "heading",
            of_territory=self.phrases.word("of_territory", territory=territory)
            if territory
            else " ",
        )

    @cached_property
    def footer(self) -> tuple[str, ...]:
        """Last lines of the e-mail: role, time and how to answer."""
        return tuple(self._footer())

    def plain(self) -> str:
        """Return the body of an e-mail, one line per fact."""
        answer = () if self.link is None else ("", self.link_says, self.link)
        return "\n".join((self.heading, "", *self.lines, *answer, "", *self.footer)) + "\n"

    def html(self) -> str:
        """Return the same text as HTML, without images, scripts or external resources."""
        return _PAGES.get_template("mail.html").render(text=self)

    def _minimal(self, more: Values) -> str:
        """Return the message for a row that lacks values of its template."""
        return render(str(self.phrases.words["minimal"]), self._values(spoken=False) | dict(more))

    def _build_title(self, name: str, most: int) -> str:
        try:
            title = self._fit_text(self._shapes[name], {}, most, len, cuts=True)
        except MissingValue:
            title = self._minimal_subject()
        return _LINE_BREAK.sub(" ", title)  # a mail with two lines in its subject cannot be sent

    def _minimal_subject(self) -> str:
        values = self._values(spoken=False)
        return self._typeset(render(str(self.phrases.words["minimal_subject"]), values))

    def _limit(self, most: int) -> int:
        """Return the limit of a form; a text that the cell wrote has none."""
        return 1_000_000 if self.row.template in WRITTEN and not self._is_bundle else most

    @property
    def _is_bundle(self) -> bool:
        """True for a digest of several messages. A call that mentions others is still a call."""
        return bool(self.row.bundle) and not self.row.answer_expected

    @cached_property
    def _shapes(self) -> dict[str, str]:
        if self._is_bundle:
            return dict(self.phrases.words["bundle"])
        templates = self.phrases.templates
        return dict(templates.get(_select_template(self.row), templates["information"]))

    def _values(self, *, spoken: bool, brevity: Brevity = Brevity.WHOLE) -> dict[str, Value]:
        values = self._known_values.get((spoken, brevity))
        if values is None:
            values = self._known_values[spoken, brevity] = self._find_values(spoken, brevity)
        return values

    @cached_property
    def _known_values(self) -> dict[tuple[bool, Brevity], dict[str, Value]]:
        return {}

    def _find_values(self, spoken: bool, brevity: Brevity) -> dict[str, Value]:
        page = PAGES.get(_select_template(self.row))
        values = MessageValues(self._gravest(), self.names, self.phrases, spoken).values(brevity)
        if self._is_bundle:
            values["lines"] = self._told_first(self._list_bundle_lines(spoken=spoken), 1)
        if self._is_bundle and values["about"] and brevity is not Brevity.SHORTEST:
            causes = self._other_causes(spoken=spoken)
            values["about"] = f"{values['event']}{causes}{values['event_danger']}"
        address = f"{self.public_url}{page}" if page and self.public_url else ""
        if values["photo"] and address and not spoken:
            values["photo"] = f"{values['photo']} {address}"
        return values | {
            "link": self.link,
            "page": address,
            "text": self.said,
            "count": self.phrases.word(
                "messages", n=self.row.bundle_count + 1 - self._count_outdated()
            ),
            "also": self._also(),
        }

    def _also(self) -> str:
        """Return the number of other messages that a call stands for, as a phrase, or ""."""
        if not self.row.bundle or self._is_bundle:
            return ""
        return self.phrases.word(
            "also", count=self.phrases.word("messages", n=self.row.bundle_count)
        )

    def _reply(self) -> str:
        if not self.row.answer_expected:
            cards = read_card_list(self.row)
            names = {0: "", 1: "reply_card"}
            return self.phrases.word(name) if (name := names.get(len(cards), "reply_cards")) else ""
        return self.phrases.word(f"reply_{self._kind_of_answer()}")

    def _kind_of_answer(self) -> str:
        """Return which answers the message asks for, as in the names of the phrases."""
        kinds = {HEADCOUNT: "headcount", ACTION_DUE: "done", AREA_ORDER: "area"}
        return kinds.get(self.row.template, "call")

    def _keys(self) -> str:
        if self.link is None:
            return ""
        return self.phrases.word(f"keys_{self._kind_of_answer()}")

    def _sms(self, reply: Mapping[str, str]) -> str:
        """Return the SMS in at most two segments, but for a text that the cell wrote.

        Without room for it, the link goes if an answer by SMS is possible. A digest leaves out its
        other causes last.
        """
        shapes, most = self._shapes, self._limit(SMS_MAX_SEPTETS)
        try:
            if most > SMS_MAX_SEPTETS:
                return simplify_text(self._fit_text(shapes["sms"], reply, most, _count_septets))
            text = reduce_to_gsm7(self._fit_text(shapes["sms"], reply, most, _count_septets))
            if count_septets(text) <= most:
                return text
            if (terse := shapes.get("sms_terse")) is None:
                return reduce_to_gsm7(cut_words(text, most - 2)) if self.link is None else text
            for brevity in (Brevity.COUNTED, Brevity.SHORTEST):
                values = {**self._values(spoken=False, brevity=brevity), **reply}
                text = reduce_to_gsm7(render(terse, values, lang=self.lang))
                if count_septets(text) <= most:
                    return text
            if self._is_bundle:
                return reduce_to_gsm7(cut_words(text, most - 2))
            if not reply["reply"]:
                return text
            return reduce_to_gsm7(render(terse, {**values, "link": ""}, lang=self.lang))
        except MissingValue:
            return simplify_text(self._minimal({}))

    def _fit_text(
        self,
        shape: str,
        more: Values,
        most: int,
        measure: Callable[[str], int],
        *,
        spoken: bool = False,
        cuts: bool = False,
    ) -> str:
        """Return the longest form that fits.

        If none fits, returns the shortest, cut between two words with `cuts`.
        """
        filled_text = ""
        for values, drop in self._steps(shape, spoken=spoken, counts_first=cuts):
            filled_text = render(shape, {**values, **more}, drop=drop, lang=self.lang)
            filled_text = (
                _to_speech(filled_text, self.phrases) if spoken else self._typeset(filled_text)
            )
            if measure(filled_text) <= most:
                return filled_text
        return cut_words(filled_text, most) if cuts else filled_text

    def _steps(
        self, shape: str, *, spoken: bool, counts_first: bool
    ) -> Iterator[tuple[dict[str, Value], int]]:
        """Yield ever shorter forms: (values, number of passages to leave out)."""
        most = count_droppable(shape)
        if self._is_bundle:
            bundled_lines = self._list_bundle_lines(spoken=spoken)
            for number in range(len(bundled_lines), 0, -1):
                brevity = Brevity.WHOLE if number == len(bundled_lines) else Brevity.COUNTED
                values = self._values(spoken=spoken, brevity=brevity) | {
                    "lines": self._told_first(bundled_lines, number)
                }
                yield values, 0 if number == len(bundled_lines) else most
                yield values, most
            return
        yield self._values(spoken=spoken), 0
        shorter = self._values(spoken=spoken, brevity=Brevity.WITHOUT_SCALE)
        count_values = self._values(spoken=spoken, brevity=Brevity.COUNTED)
        yield shorter, 0
        for drop in range(most + 1):
            yield count_values if counts_first else shorter, drop
        yield count_values, most

    def _lines(self, shape: str) -> tuple[str, ...]:
        values = self._values(spoken=False)
        if not self._is_bundle:
            return tuple(self._typeset(line) for line in render_lines(shape, values, self.lang))
        bundled_lines = self._list_bundle_lines(spoken=False)
        lines = "\n".join(
            (*(f"– {line}" for line in bundled_lines), *self._more(len(bundled_lines)))
        )
        filled_text = render_lines(shape, values | {"lines": lines}, self.lang)
        return tuple(self._typeset(line) for one in filled_text for line in one.split("\n"))

    def _items(self) -> list[NotificationRow]:
        return _split_bundle(self.row)

    def _count_outdated(self) -> int:
        """Return how many messages of a bundle a graver one of the same clock has overtaken."""
        if not self._is_bundle:
            return 0
        return len(self.row.bundle) + 1 - len(self._items())

    def _gravest(self) -> NotificationRow:
        """Return the row with the main incident of a digest, or the row itself."""
        if not self._is_bundle:
            return self.row
        items = self._items()
        return next((one for one in items if "kind" in one.values), items[0])

    def _list_bundle_lines(self, *, spoken: bool) -> list[str]:
        """Return one line per message of a digest, gravest first, without repetitions."""
        templates = self.phrases.templates
        lines: dict[str, None] = {}
        for one in self._items():
            shape = templates.get(_select_template(one), templates["information"])["line"]
            lines[
                render(
                    shape,
                    MessageValues(one, self.names, self.phrases, spoken).values(Brevity.COUNTED),
                    lang=self.lang,
                )
            ] = None
        return list(lines)[:MAX_DIGEST_LINES]

    def _other_causes(self, *, spoken: bool) -> str:
        """Return the causes of a digest other than that of its gravest message."""
        cause_numbers = {self._gravest().values.get("number")}
        causes: list[str] = []
        for one in self._items():
            number = one.values.get("number")
            if (
                number is not None
                and number not in cause_numbers
                and len(causes) < MAX_OTHER_CAUSES
            ):
                cause_numbers.add(number)
                causes.append(
                    str(
                        MessageValues(one, self.names, self.phrases, spoken).values(
                            Brevity.COUNTED
                        )["cause"]
                    )
                )
        return "".join(f" ; {cause}" for cause in causes if cause)

    def _told_first(self, bundled_lines: list[str], number: int) -> str:
        """Return the first sentences of a digest and the number of remaining ones."""
        sentences = [f"{line[:1].upper()}{line[1:]}." for line in bundled_lines[:number]]
        return " ".join((*sentences, *self._more(number)))

    def _more(self, number: int) -> tuple[str, ...]:
        rest = self.row.bundle_count + 1 - self._count_outdated() - number
        return (self.phrases.word("others", n=rest),) if rest > 0 else ()

    def _footer(self) -> Iterator[str]:
        role = describe_role(self.row.role, self.names, self.phrases)
        if role:
            scope = (
                describe_scope(self.row.scope, self.names, self.phrases) if self.row.scope else ""
            )
            word_key = "called_as" if self.row.answer_expected else "told_as"
            yield self._typeset(
                render(str(self.phrases.words[word_key]), {"role": role, "scope": scope})
            )
        if not self.row.answer_expected and self.row.template not in HELP_TEMPLATES:
            yield self.phrases.word("no_answer")
        page = PAGES.get(_select_template(self.row))
        if page and self.public_url and not self.row.answer_expected:
            yield self._typeset(self.phrases.word("to_do", page=f"{self.public_url}{page}"))
        yield self._typeset(self.phrases.word("sent", at=self.phrases.stamp(self.row.planned_at)))
        if self.link is not None:
            yield self.phrases.word("opening")
        if self.spare_link is not None:
            yield self._typeset(self.phrases.word("spare", link=self.spare_link))

    def _typeset(self, text: str) -> str:
        """Keep French punctuation with its word: no line break before `:`."""
        return (
            _SPACE_AFTER_QUOTE.sub("\u00a0", _SPACE_BEFORE_SIGN.sub("\u00a0", text))
            if self.phrases.lang == "fr"
            else text
        )


def _split_bundle(row: NotificationRow) -> list[NotificationRow]:
    """Return the messages of a digest as rows of their own, gravest first."""
    own = BundledItem(
        template=row.template, level=row.level, role=row.role, scope=row.scope, values=row.values
    )
    return [
        row.model_copy(
            update={
                "template": item.template,
                "values": item.values,
                "level": item.level,
                "role": item.role,
                "scope": item.scope,
                "bundle": (),
                "bundle_count": 0,
                "previous_level": None,
            }
        )
        for item in _newest(sorted((own, *row.bundle), key=_get_gravity))
    ]


def _newest(items: Iterable[BundledItem]) -> list[BundledItem]:
    """Return the items without overtaken alarms of the same clock, gravest first."""
    items_by_clock: dict[object, BundledItem] = {}
    for number, item in enumerate(items):
        is_alarm = item.template in ("alarm_rto", "alarm_dmia")
        clock = (
            (item.template, item.values.get("activity"), item.values.get("site"))
            if is_alarm
            else number
        )
        items_by_clock.setdefault(clock, item)
    return list(items_by_clock.values())


def _get_gravity(item: BundledItem) -> tuple[int, int, float]:
    pct = item.values.get("pct")
    rank = GRAVITY.index(item.template) if item.template in GRAVITY else len(GRAVITY)
    return rank, -int(item.level), -float(pct) if isinstance(pct, int | float) else 0.0


def _count_septets(text: str) -> int:
    return count_septets(reduce_to_gsm7(text))


def _to_speech(text: str, phrases: Phrases) -> str:
    """Return a text for speech: levels in words, no signs that a voice stumbles over."""
    level = phrases.word("level", n=0).replace("0", "").strip().lower()
    spoken = _LEVEL.sub(lambda match: f"{level} {match[1]}", text)
    spoken = _SIGNS.sub(
        " ",
        spoken.replace(" (", ", ")
        .replace(")", " ")
        .replace("%", "pour cent" if phrases.lang == "fr" else "per cent"),
    )
    before = ".," if phrases.lang == "fr" else ".,;"
    return re.sub(rf"\s+([{before}])", r"\1", re.sub(r"\s+", " ", spoken)).strip()
