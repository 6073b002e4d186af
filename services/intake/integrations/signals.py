"""What machine dialects have in common: a signal says that something began, goes on, is being looked at, or is over.

A source's record says where a signal is about, of what type and how grave it is (`Rule`s over its labels); the result is the body of a
native report. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final

from schemas.patterns import whole_match
from schemas.reports import END, Lease
from services.runtime.identity.principals import Rule, Source

MAX_KEY: Final = 120
"""A longer key of a sender is kept by its hash."""
MAX_LABELS: Final = 200
MATCHABLE: Final = 64
"""So many labels of an alert are kept for matching, each within these bounds."""
SITE: Final = 64
LABEL_NAME: Final = 128
LABEL_VALUE: Final = 256
_HEADLINE: Final = 1_024
"""The longest summary that a dialect here knows (PagerDuty)."""
_DETAILS: Final = 50_000


class State(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
    INFO = "info"
    """Worth knowing; begins and ends nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one signal is of a body that holds many: kept with its report in place of the whole, where that would be too much."""

    document: Any
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Signal:
    """One transition that a sender tells of."""

    key: str
    """The sender's own name of the matter (dedup key, alias, fingerprint)."""
    state: State
    title: str = ""
    details: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    severity: int | None = None
    """1–5, when the message says one."""
    at: datetime | None = None
    """When it happened, as the sender says."""
    began: datetime | None = None
    """When this episode of the matter began, where the dialect has such a time: two with different ones are two episodes."""
    matchable: bool = False
    """Its labels name the alert for maintenance windows (D64) and go on the log; the fields of other dialects may say anything, and do not."""
    lease: Lease | None = None
    """How long it holds if nothing more is heard of it (D66)."""
    event: str | None = None
    """The sender's own name of this message, where the dialect has one: the same again has no second effect, whatever came between."""
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A native report that came in another dialect."""

    key: str
    """The sender's own name of this message: the same again has no second effect."""
    body: dict[str, Any]
    signature: str | None = None
    """Verdict on its signature, where the dialect has one."""
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Meaning:
    """A signal in the terms of the territory."""

    site: str | None
    type: str
    severity: int
    state: State
    drop: bool = False
    phenomenon: str | None = None
    colour: str | None = None


def meaning_of(signal: Signal, source: Source) -> Meaning:
    """The first rule that matches, then the labels `site` and `type`, then what the source's record says."""
    rule = rule_for(signal.labels, source)
    severity = signal.severity or source.severity or 3
    said = _site(signal.labels.get("site", ""))
    if rule is None:
        return Meaning(said or source.site, source.type, source.severity or severity, signal.state)
    return Meaning(
        rule.site or said or source.site,
        rule.type or source.type,
        rule.severity or source.severity or severity,
        signal.state if rule.state is None else State(rule.state),
        rule.drop,
        rule.phenomenon,
        rule.colour,
    )


def _site(said: str) -> str:
    """What a message calls its site, as it is named in the alias of its episode too: one line, within bounds, and no end of one."""
    return "".join(c for c in said if c.isprintable()).strip()[:SITE].removesuffix(END)


def rule_for(labels: Mapping[str, str], source: Source) -> Rule | None:
    """The first rule whose labels all match."""
    return next(
        (
            r
            for r in source.rules
            if all(whole_match(p, labels.get(n, ""), any_case=True) for n, p in r.when.items())
        ),
        None,
    )


def named_by_words(words: str) -> str:
    """The name of a matter that its sender names by nothing but words: the same words are the same matter, and the log carries no words (D58)."""
    return f"words-{blake2b(words.encode('utf-8', 'surrogatepass'), digest_size=12).hexdigest()}"


def short(key: str) -> str:
    """A sender's key within bounds."""
    return (
        key
        if len(key) <= MAX_KEY and key.isprintable()
        else blake2b(key.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
    )


def dated(signal: Signal, came: datetime | None) -> Signal:
    """One that says of no time is of when its message came first."""
    return (
        signal
        if came is None or signal.at is not None or signal.began is not None
        else replace(signal, at=came)
    )


def credible(at: datetime | None, now: datetime) -> datetime:
    """A machine's time; now when it has none, or one that cannot be."""
    return at if at is not None and at.year > 1970 and at <= now else now


def body_of(signal: Signal, meaning: Meaning, now: datetime) -> dict[str, Any]:
    """Body of the native report that opens or updates the matter."""
    at = credible(signal.began or signal.at, now)
    body: dict[str, Any] = {
        "type": meaning.type,
        "severity": meaning.severity,
        "occurred_at": at.astimezone(UTC).isoformat(),
        "headline": signal.title[:_HEADLINE] or signal.key[:_HEADLINE],
    }
    body |= {n: v for n, v in (("phenomenon", meaning.phenomenon), ("colour", meaning.colour)) if v}
    if meaning.site:
        body["site_id"] = meaning.site
    if signal.details:
        body["description"] = signal.details[:_DETAILS]
    return body


def kept_labels(signal: Signal) -> dict[str, str]:
    """What goes on the log of the labels."""
    return (
        {n[:LABEL_NAME]: v[:LABEL_VALUE] for n, v in sorted(signal.labels.items())[:MATCHABLE]}
        if signal.matchable
        else {}
    )


def flat(document: Any, prefix: str = "") -> dict[str, str]:
    """Scalars of a JSON document by dotted path, at most MAX_LABELS: the labels that rules can ask for."""
    found: dict[str, str] = {}
    stack: list[tuple[str, Any]] = [(prefix, document)]
    while stack and len(found) < MAX_LABELS:
        path, value = stack.pop()
        if isinstance(value, dict):
            stack += [
                (f"{path}.{name}" if path else str(name), inner)
                for name, inner in reversed(list(value.items()))
            ]
        elif isinstance(value, list):
            stack += [
                (f"{path}.{n}" if path else str(n), inner)
                for n, inner in reversed(list(enumerate(value[:50])))
            ]
        elif value is not None and path:
            found[path] = str(value).lower() if isinstance(value, bool) else str(value)[:1000]
    return found
