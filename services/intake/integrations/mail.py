"""Accept e-mails (MIME, RFC 5322) of listed senders: `POST /webhooks/mail`.

A mail counts only if a rule of its source names its sender (`from`) and the server that checked it
(`authserv`), and that server found DMARC, DKIM or SPF to pass for the sender's domain (RFC 8601).
The topmost `Authentication-Results` is that of the own server. HTML and attachments are not read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Final

from schemas.matchers import matches_whole
from services.intake.integrations.request import IntegrationRequest, Reply
from services.intake.integrations.signals import Transition, TransitionState, find_rule
from services.runtime.http.problems import ProblemError, build_field_problem
from services.runtime.identity.principals import Rule, Source

NAME: Final = "mail"
KEY_LOCATION: Final = "X-Token"
PATHS: Final = ("/webhooks/mail",)
ALIVE_PATH: Final = "/webhooks/mail/alive"
"""Address of signs of life, for a reader of a mailbox without new mails."""
NAMED_BY_RULE: Final = frozenset({"from", "authserv"})
"""Labels that a rule has to name, so that no forgotten rule lets everybody in."""
STRANGER: Final = "nobody@unlisted.invalid"
"""An address that no list of senders holds: a pattern that matches it is no list."""
MAX_TEXT: Final = 50_000
MAX_PARTS: Final = 100
"""Lines that may begin a part, and content types; nested parts take the library long."""
LONGEST_HEADERS: Final = {
    "from": 500,
    "subject": 1_000,
    "date": 100,
    "message-id": 500,
    "in-reply-to": 2_000,
    "references": 8_000,
    "authentication-results": 4_000,
}
LONGEST_CONTENT_HEADER: Final = 1_000
_PART: Final = re.compile(rb"^(?:--|content-type:)", re.IGNORECASE | re.MULTILINE)
_CONTENT_HEADER: Final = re.compile(
    rb"^content-[a-z-]+:[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*", re.IGNORECASE | re.MULTILINE
)
_PLAIN_SIGNS: Final = frozenset(".-_@+")
"""Signs of an address or domain, which alone are kept of a quoted text."""
_METHOD: Final = re.compile(r"\s*(dmarc|dkim|spf)\s*=\s*([a-z]+)", re.IGNORECASE)
_PROPERTY: Final = re.compile(
    r"(?<!\S)(header\.from|header\.d|header\.i|smtp\.mailfrom)\s*=\s*([^\s;]+)", re.IGNORECASE
)
_MESSAGE_ID: Final = re.compile(r"<([^<>\s]{1,250})>")
_UNREADABLE: Final = (ValueError, LookupError, AttributeError, TypeError, RecursionError)
"""Errors that the parser of the library raises for broken mails."""


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """The parts of a mail that are used."""

    sender: str
    subject: str
    text: str
    id: str
    thread: str
    """Id of the first mail of the conversation."""
    at: datetime | None
    authserv: str
    """Server that checked the sender; empty without a result."""
    is_domain_genuine: bool
    """True if that server found the sender's domain to be genuine."""


def signals(request: IntegrationRequest, source: Source) -> list[Transition]:
    """Read one transition, none of a sign of life. Raises ProblemError `invalid`.

    A reply in the same conversation is about the same trouble; a rule with `state: closed` ends it.
    """
    if request.path == ALIVE_PATH:
        return []
    try:
        mail = read_mail(request.body)
    except _UNREADABLE as error:
        raise build_field_problem(
            "body", "mail", "un courriel est attendu", "an e-mail is expected"
        ) from error
    labels = {"from": mail.sender, "subject": mail.subject, "authserv": mail.authserv}
    rule = find_rule(labels, source)
    if rule is None or not rule.drop:
        _check_sender(mail, rule)
    if not mail.text:
        raise build_field_problem(
            "body", "text", "un texte sans HTML est attendu", "a text without HTML is expected"
        )
    title = mail.subject or mail.text.splitlines()[0]
    key = mail.thread or mail.id or request.own_name(mail.at)
    return [
        Transition(
            key, TransitionState.OPEN, title, mail.text, labels, at=mail.at, event=mail.id or None
        )
    ]


def _check_sender(mail: ReceivedMail, rule: Rule | None) -> None:
    """Refuse a sender that is not listed or not genuine. Raises ProblemError `invalid`."""
    if rule is None or not rule.when.keys() >= NAMED_BY_RULE:
        raise _refuse_sender("expéditeur non listé par une règle", "no rule lists the sender")
    if matches_whole(rule.when["from"], STRANGER, any_case=True):
        raise _refuse_sender("la règle admet tout expéditeur", "the rule admits every sender")
    if not mail.authserv or not mail.is_domain_genuine:
        raise _refuse_sender(
            "expéditeur non authentifié (DMARC, DKIM ou SPF)",
            "sender not authenticated (DMARC, DKIM or SPF)",
        )


def _refuse_sender(fr: str, en: str) -> ProblemError:
    return build_field_problem("from", "sender", fr, en)


def read_mail(content: bytes) -> ReceivedMail:
    """Read a mail. Raises the errors of the library for one that is broken.

    Anybody can send a mail: sizes are bounded before the library reads what takes it long.
    """
    if len(_PART.findall(content)) > MAX_PARTS:
        raise ValueError("too many parts")
    if any(len(header) > LONGEST_CONTENT_HEADER for header in _CONTENT_HEADER.findall(content)):
        raise ValueError("a header is too long")
    message = message_from_bytes(content, _class=EmailMessage, policy=policy.default)
    raw = _list_raw_headers(message)
    if len(raw.get("from", ())) != 1:
        raise ValueError("not one From")
    (address,) = message["from"].addresses
    sender = address.addr_spec.lower()
    authserv, has_passed = judge_sender(
        raw.get("authentication-results", [""])[0], address.domain.lower()
    )
    own = _find_ids(raw, "message-id")
    thread = [*_find_ids(raw, "references"), *_find_ids(raw, "in-reply-to"), *own]
    date = message["date"]
    at = date.datetime if date is not None else None
    return ReceivedMail(
        sender,
        " ".join(str(message["subject"] or "").split()),
        _read_text(message),
        own[0] if own else "",
        thread[0] if thread else "",
        at if at is not None and at.tzinfo is not None else None,
        authserv,
        has_passed,
    )


def _list_raw_headers(message: EmailMessage) -> dict[str, list[str]]:
    """Return the headers that are used, as they came. Raises ValueError for one too long."""
    headers: dict[str, list[str]] = {}
    for name, value in message.raw_items():
        longest = LONGEST_HEADERS.get(name.lower())
        if longest is None:
            continue
        if len(value) > longest:
            raise ValueError(f"{name}: too long")
        headers.setdefault(name.lower(), []).append(str(value))
    return headers


def _find_ids(raw: Mapping[str, list[str]], name: str) -> list[str]:
    return _MESSAGE_ID.findall(raw.get(name, [""])[0])


def _read_text(message: EmailMessage) -> str:
    """Return the plain text; empty if there is none."""
    part = message.get_body(preferencelist=("plain",))
    if part is None or part.get_content_type() != "text/plain":
        return ""
    text = part.get_payload(decode=True)
    if not isinstance(text, bytes):
        return ""
    charset = part.get_content_charset() or "utf-8"
    try:
        words = text.decode(charset, "replace")
    except LookupError:
        words = text.decode("utf-8", "replace")
    return words.replace("\x00", "").strip()[:MAX_TEXT]


def judge_sender(header: str, domain: str) -> tuple[str, bool]:
    """Return the server of an Authentication-Results, and whether a domain passed there.

    DMARC decides if it is told; else DKIM or SPF has to pass for the domain or one above it.
    """
    plain = _blank_free_text(header)
    if plain is None:
        return "", False
    server, *parts = plain.split(";")
    authserv = (server.split() or [""])[0].lower()
    results = [
        (method.group(1).lower(), method.group(2).lower(), _read_properties(part))
        for part in parts
        if (method := _METHOD.match(part)) is not None
    ]
    dmarc = [(result, properties) for name, result, properties in results if name == "dmarc"]
    if dmarc:
        return authserv, all(
            result == "pass" and properties.get("header.from", domain) == domain
            for result, properties in dmarc
        )
    has_passed = any(
        result == "pass" and any(_is_aligned(domain, value) for value in properties.values())
        for _name, result, properties in results
    )
    return authserv, has_passed


def _blank_free_text(header: str) -> str | None:
    """Return a header without comments, and without signs of syntax in quoted texts.

    Senders choose those: an address may be `"; dmarc=pass ("@example.org`. The result is None if a
    comment or quoted text has no end.
    """
    signs, depth, is_quoted, is_escaped = list[str](), 0, False, False
    for sign in header:
        if is_escaped:
            is_escaped = False
            signs.append("_")
        elif sign == "\\" and (is_quoted or depth):
            is_escaped = True
        elif sign == '"' and not depth:
            is_quoted = not is_quoted
            signs.append(sign)
        elif is_quoted:
            signs.append(sign if sign.isalnum() or sign in _PLAIN_SIGNS else "_")
        elif sign == "(" or (sign == ")" and depth):
            depth += 1 if sign == "(" else -1
            signs.append(" ")
        elif not depth:
            signs.append(sign)
    return None if is_quoted or depth else "".join(signs)


def _read_properties(part: str) -> Mapping[str, str]:
    """Return the domains that a result is about."""
    return {
        name.lower(): value.strip('"').rpartition("@")[2].lower()
        for name, value in _PROPERTY.findall(part)
    }


def _is_aligned(domain: str, checked_domain: str) -> bool:
    return "." in checked_domain and (
        domain == checked_domain or domain.endswith(f".{checked_domain}")
    )


def build_reply(request: IntegrationRequest, outcome: list[Transition]) -> Reply:  # noqa: ARG001  protocol of integrations
    return Reply(200, {"signals": len(outcome)})
