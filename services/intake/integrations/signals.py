"""Describe transitions of alerts: they begin, continue, are acknowledged, or end.

The rules of the source's record match labels and give site, type and severity. The result is the
body of a native report. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final

from schemas.matchers import matches_whole
from schemas.reports import END_SUFFIX, Lease
from services.runtime.identity.principals import Rule, Source

MAX_KEY: Final = 120
"""Longest key of a sender. A longer one is replaced by its hash."""
MAX_LABELS: Final = 200
MAX_MATCHABLE_LABELS: Final = 64
"""Maximum number of labels kept for matching, within the lengths below."""
MAX_SITE: Final = 64
MAX_LABEL_NAME: Final = 128
MAX_LABEL_VALUE: Final = 256
_MAX_HEADLINE: Final = 1_024
"""Longest summary of all integrations (PagerDuty)."""
_MAX_DETAILS: Final = 50_000


class TransitionState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
    INFO = "info"
    """Information that begins and ends nothing."""


@dataclass(frozen=True, slots=True)
class RequestPart:
    """The part of a request that holds one of its transitions.

    The report stores it in place of the whole body where that would take too much memory.
    """

    document: Any
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Transition:
    """One transition of an alert, as its sender reports it."""

    key: str
    """The sender's name of the alert: deduplication key, alias or fingerprint."""
    state: TransitionState
    title: str = ""
    details: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    severity: int | None = None
    """Severity from 1 to 5, if the message gives one."""
    at: datetime | None = None
    """Time of the transition, as the sender gives it."""
    began: datetime | None = None
    """Beginning of this episode, if the protocol has one. Another beginning is another episode."""
    matchable: bool = False
    """True if the labels name the alert for maintenance windows and go on the log.

    Fields of other protocols may hold anything and do not. Rule D64, maintenance windows.
    """
    lease: Lease | None = None
    """Time for which the alert holds without a repetition. Rule D66, leases."""
    event: str | None = None
    """The sender's id of this message, if the protocol has one. It takes effect once."""
    part: RequestPart | None = None


@dataclass(frozen=True, slots=True)
class ForwardedReport:
    """A native report that arrived through another protocol."""

    key: str
    """The sender's id of this message. It takes effect once."""
    body: dict[str, Any]
    signature: str | None = None
    """Verdict on the signature, if the protocol has one."""
    part: RequestPart | None = None


@dataclass(frozen=True, slots=True)
class TransitionMeaning:
    """A transition in terms of the territory."""

    site: str | None
    type: str
    severity: int
    state: TransitionState
    drop: bool = False
    phenomenon: str | None = None
    colour: str | None = None


def interpret_transition(signal: Transition, source: Source) -> TransitionMeaning:
    """Apply the first matching rule, then the label `site`, then the source's record."""
    rule = find_rule(signal.labels, source)
    severity = signal.severity or source.severity or 3
    labelled_site = _clean_site(signal.labels.get("site", ""))
    if rule is None:
        return TransitionMeaning(
            labelled_site or source.site, source.type, source.severity or severity, signal.state
        )
    return TransitionMeaning(
        rule.site or labelled_site or source.site,
        rule.type or source.type,
        rule.severity or source.severity or severity,
        signal.state if rule.state is None else TransitionState(rule.state),
        rule.drop,
        rule.phenomenon,
        rule.colour,
    )


def _clean_site(site: str) -> str:
    """Clean a message's site for use in an alias: one short line without the end mark."""
    return "".join(c for c in site if c.isprintable()).strip()[:MAX_SITE].removesuffix(END_SUFFIX)


def find_rule(labels: Mapping[str, str], source: Source) -> Rule | None:
    """Return the first rule that matches all its labels, or None."""
    return next(
        (
            r
            for r in source.rules
            if all(matches_whole(p, labels.get(n, ""), any_case=True) for n, p in r.when.items())
        ),
        None,
    )


def derive_key_from_text(words: str) -> str:
    """Derive a key from text if the sender gives none.

    The same text is the same alert. The log must not hold the text (rule D58, personal data).
    """
    return f"words-{blake2b(words.encode('utf-8', 'surrogatepass'), digest_size=12).hexdigest()}"


def shorten_key(key: str) -> str:
    """Shorten a sender's key by its hash if it is too long or not printable."""
    return (
        key
        if len(key) <= MAX_KEY and key.isprintable()
        else blake2b(key.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
    )


def date_transition(signal: Transition, came: datetime | None) -> Transition:
    """Date a transition without a time by the first arrival of its message."""
    return (
        signal
        if came is None or signal.at is not None or signal.began is not None
        else replace(signal, at=came)
    )


def choose_time(at: datetime | None, now: datetime) -> datetime:
    """Return the sender's time, or now if it is missing, in the future, or before 1971."""
    return at if at is not None and at.year > 1970 and at <= now else now


def build_report(signal: Transition, meaning: TransitionMeaning, now: datetime) -> dict[str, Any]:
    """Build the native report that opens or updates the alert."""
    at = choose_time(signal.began or signal.at, now)
    body: dict[str, Any] = {
        "type": meaning.type,
        "severity": meaning.severity,
        "occurred_at": at.astimezone(UTC).isoformat(),
        "headline": signal.title[:_MAX_HEADLINE] or signal.key[:_MAX_HEADLINE],
    }
    body |= {n: v for n, v in (("phenomenon", meaning.phenomenon), ("colour", meaning.colour)) if v}
    if meaning.site:
        body["site_id"] = meaning.site
    if signal.details:
        body["description"] = signal.details[:_MAX_DETAILS]
    return body


def select_log_labels(signal: Transition) -> dict[str, str]:
    """Return the labels that go on the log."""
    return (
        {
            n[:MAX_LABEL_NAME]: v[:MAX_LABEL_VALUE]
            for n, v in sorted(signal.labels.items())[:MAX_MATCHABLE_LABELS]
        }
        if signal.matchable
        else {}
    )


def flatten_document(document: Any) -> dict[str, str]:
    """Flatten a JSON document into labels by dotted path, at most MAX_LABELS."""
    labels: dict[str, str] = {}
    stack: list[tuple[str, Any]] = [("", document)]
    while stack and len(labels) < MAX_LABELS:
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
            labels[path] = str(value).lower() if isinstance(value, bool) else str(value)[:1000]
    return labels
