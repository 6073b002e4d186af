"""Read the messages and receipts of SMS gateways from their forms and JSON."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas.words import EventType
from services.intake.field.short_line import read_line
from services.intake.integrations.request import IntegrationRequest, get_first_text, parse_time
from services.runtime.http.problems import ProblemError, build_field_problem

MAX_MESSAGES: Final = 100
MAX_DEPTH: Final = 8
"""Maximum depth of lists and wrappers around a message."""
_NUMBER_FIELDS: Final = (
    "from",
    "From",
    "sender",
    "msisdn",
    "originator",
    "phoneNumber",
    "phone_number",
    "phone",
    "mobile",
    "number",
)
_TEXT_FIELDS: Final = (
    "text",
    "Text",
    "body",
    "Body",
    "message",
    "Message",
    "content",
    "cleanText",
    "msg",
    "payload",
)
_ID_FIELDS: Final = (
    "MessageSid",
    "SmsSid",
    "messageId",
    "message-id",
    "message_id",
    "MessageId",
    "MessageUUID",
    "id",
    "msgId",
    "sms_id",
)
_TIME_FIELDS: Final = (
    "receivedAt",
    "received_at",
    "message-timestamp",
    "timestamp",
    "date",
    "datetime",
    "sent_at",
)
_PART_FIELDS: Final = ("concat-part", "concat_part", "concatPart")
"""Number of a part of a long SMS that the gateway posts part by part, from 1."""
_TOTAL_FIELDS: Final = ("concat-total", "concat_total", "concatTotal")
_REFERENCE_FIELDS: Final = ("concat-ref", "concat_ref", "concatRef", "concatReference")
_LIST_FIELDS: Final = ("results", "messages", "data")
_NUMBER_HASH: Final = re.compile(r"[0-9a-f]{32}")
_PART_NUMBER: Final = re.compile(r"[1-9][0-9]{0,2}")


@dataclass(frozen=True, slots=True)
class SmsReceipt:
    """Receipt of an SMS that was sent."""

    id: str
    """Id of the message at the provider."""
    status: str


@dataclass(frozen=True, slots=True)
class SmsPart:
    """Place of a message in a long text that a gateway posts part by part."""

    reference: str
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class AcceptedReport:
    """A report that a message made."""

    id: str
    type: EventType


@dataclass(frozen=True, slots=True)
class SmsMessage:
    number: str
    """Number of the sender; empty in a replay."""
    caller: str
    """Keyed hash of the number, in a replay."""
    words: str
    id: str | None
    at: datetime | None
    part: SmsPart | None = None
    """Place in a long text; None for a whole one."""
    is_rest: bool = False
    """True for a later part that nothing joins to the others: its first word means nothing."""
    is_open: bool = False
    """True for a text of which parts are awaited: danger is reported, and nobody is answered."""
    completes: AcceptedReport | None = None
    """Report of the parts that came before; this one takes its place."""
    is_answer: bool = False
    """True if it answered a call before it came here."""


def read_messages(request: IntegrationRequest) -> list[SmsMessage]:
    """Read the messages of a request, without receipts and those that the gateway sent itself.

    Raises ProblemError `invalid`, `not_json`.
    """
    return [
        _read_message(one)
        for one in _list_told(request)
        if not get_first_text(one, "direction").lower().startswith(("out", "mt"))
        and _read_receipt(one) is None
    ]


def read_receipts(request: IntegrationRequest) -> list[SmsReceipt]:
    """Read the receipts of a request. Raises ProblemError `invalid`, `not_json`."""
    receipts = (_read_receipt(one) for one in _list_told(request))
    return [receipt for receipt in receipts if receipt is not None]


def _list_told(request: IntegrationRequest) -> list[dict[str, Any]]:
    """List the messages and receipts. Raises ProblemError `invalid`, `not_json`."""
    document: Any = (
        request.json
        if request.kind.endswith("json") or request.body.lstrip()[:1] in (b"{", b"[")
        else request.form()
    )
    messages = list(_find_messages(document))
    if not 1 <= len(messages) <= MAX_MESSAGES:
        raise build_field_problem(
            "body", "list", f"de 1 à {MAX_MESSAGES} messages", f"1 to {MAX_MESSAGES} messages"
        )
    return messages


def _read_receipt(fields: dict[str, Any]) -> SmsReceipt | None:
    """Return the receipt; None for a message of a person."""
    id, status = get_first_text(fields, "message_id"), get_first_text(fields, "status")
    if not id or not status or _read_text(fields):
        return None
    return SmsReceipt(id[:64], status[:32])


def _find_messages(document: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Find messages wherever gateways put them.

    They may be alone, in a list, or under `results`, `messages`, `data` or `payload`.
    """
    if depth > MAX_DEPTH:
        raise build_field_problem(
            "body", "depth", "imbriqué trop profondément", "nested too deeply"
        )
    if isinstance(document, list):
        for one in document[: MAX_MESSAGES + 1]:
            yield from _find_messages(one, depth + 1)
    elif isinstance(document, dict):
        for name in _LIST_FIELDS:
            if isinstance(document.get(name), list | dict):
                yield from _find_messages(document[name], depth + 1)
                return
        inner = document.get("payload")
        yield inner if isinstance(inner, dict) else document
    else:
        raise build_field_problem("body", "object", "un objet est attendu", "an object is expected")


def _read_message(fields: dict[str, Any]) -> SmsMessage:
    sender = fields.get("from")
    number = (
        get_first_text(sender, "phone_number", "phoneNumber", "number")
        if isinstance(sender, dict)
        else get_first_text(fields, *_NUMBER_FIELDS)
    )
    words, caller = _read_text(fields), get_first_text(fields, "caller")
    if not number and not _NUMBER_HASH.fullmatch(caller):
        raise build_field_problem(
            "from", "missing", "numéro de l’expéditeur attendu", "the sender's number is expected"
        )
    if not words:
        raise build_field_problem(
            "text", "missing", "texte du message attendu", "the text of the message is expected"
        )
    at = next(
        (
            parsed_time
            for n in _TIME_FIELDS
            if (parsed_time := parse_time(fields.get(n))) is not None
        ),
        None,
    )
    part = _read_part(fields)
    if part is not None:
        words = _find_unstripped(fields, words)
    is_rest = part is None and get_first_text(fields, *_PART_FIELDS) not in ("", "1")
    return SmsMessage(
        number, "" if number else caller, words, _read_id(fields), at, part, is_rest=is_rest
    )


def _find_unstripped(fields: dict[str, Any], words: str) -> str:
    """Return a text with the spaces at its ends, which may stand between the words of two parts."""
    body = fields.get("body")
    values = (body if isinstance(body, dict) else fields).values()
    return next((v for v in values if isinstance(v, str) and v.strip() == words), words)


def _read_part(fields: dict[str, Any]) -> SmsPart | None:
    """Return the place in a long text; None for a whole one, or without all of its numbers."""
    reference = get_first_text(fields, *_REFERENCE_FIELDS)[:64]
    number, total = get_first_text(fields, *_PART_FIELDS), get_first_text(fields, *_TOTAL_FIELDS)
    if not (reference and _PART_NUMBER.fullmatch(number) and _PART_NUMBER.fullmatch(total)):
        return None
    is_sensible = 1 <= int(number) <= int(total) and total != "1"
    return SmsPart(reference, int(number), int(total)) if is_sensible else None


def _read_id(fields: dict[str, Any]) -> str | None:
    """Return the id of a message.

    A reply through Octopush has that of the message that it answers: with its time it is one.
    """
    id = get_first_text(fields, *_ID_FIELDS)
    reception_date = get_first_text(fields, "reception_date")
    return f"{id} {reception_date}" if id and reception_date else id or None


def _read_text(fields: dict[str, Any]) -> str:
    """Return the text, without the keyword of a shared number if the whole is no valid line.

    Some gateways send the text with and without that keyword.
    """
    body = fields.get("body")  # smsmode wraps the text
    whole = get_first_text(body if isinstance(body, dict) else fields, *_TEXT_FIELDS)
    bare = get_first_text(fields, "cleanText")
    if bare:
        try:
            read_line(whole)
        except ProblemError:
            return bare
    return whole
