"""Replace free text in a report before it goes on the log (rule D58, personal data).

The log is kept forever, so it holds tokens: codes, ids, numbers. A sender's own name of a report
and other free text become keyed hashes. The same text gives the same hash, so reports can still be
found and compared. The original lies in `texts`, encrypted and erasable.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from schemas.base import is_token
from schemas.reports import END_SUFFIX
from schemas.topics import is_live
from schemas.words import EventType

HASH_PREFIX: Final = "h:"
"""Prefix of every such hash."""
HASH_CHARS: Final = 22
_PLAN: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}( (niveau|level) [0-4])?")
_UNIT: Final = re.compile(r"[A-Za-z0-9_.:/%°µ€²³-]{1,32}")
_OBJECT: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}|[a-z]{1,16}:\*")
_TIME: Final = re.compile(r"[0-9TtWZ:., +-]{8,40}")
"""Characters of an ISO 8601 time with offset: they cannot form text."""
_SERIES: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\dZ(?: \+\d{1,2}h=\d\.\d\d/\d\.\d\d/\d\.\d\d){1,16}", re.ASCII
)
"""Levels to come after a time (rule D124): they cannot form text."""
_OBJECT_PREFIX: Final = re.compile(
    r"(?:flag|hazard|kind|kitchen|network|pole|river|road|station|supplier|system|zone):"
)
"""Prefixes of objects and scopes that rules read, so they stay."""
_TYPES: Final = "|".join(EventType)
_EPISODE_ALIAS: Final = re.compile(
    rf"(?P<head>.+)@(?P<began>\d{{1,15}})(?P<tail>:(?:{_TYPES}):(?P<site>.{{0,64}})|#\d{{1,15}})",
    re.DOTALL,
)
_CAP_ALIAS: Final = re.compile(
    r""
    rf"(?P<head>.+)#(?P<sent>\d{{1,15}})\.(?P<tail>(?:{_TYPES})\.[A-Za-z0-9_.:-]{{0,128}}(?:#over)?)",
    re.DOTALL,
)
_LIMITS: Final = {
    "site_id": 64,
    "commune": 8,
    "urgency": 16,
    "phenomenon": 64,
    "colour": 16,
    "zone": 8,
    "sites": 64,
    "affected_activities": 64,
}
"""Length limit of each field in its schema."""
_OBJECT_CHARS: Final = 256


@dataclass(frozen=True, slots=True)
class RedactedReport:
    """Report message as the log may hold it."""

    message: dict[str, Any]
    own_words: dict[str, Any]
    """Original values of the fields that the log holds in another form."""


class LogRedactor:
    """Replace senders' text by tokens, under a key of this installation."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def hash_text(self, word: str, limit: int = HASH_CHARS) -> str:
        """Return the hash of a text, at most `limit` characters."""
        octets = word.encode("utf-8", "surrogatepass")
        digest = blake2b(octets, key=self._key, digest_size=(HASH_CHARS - len(HASH_PREFIX)) // 2)
        return f"{HASH_PREFIX}{digest.hexdigest()}"[:limit]

    def name(self, realm: str, word: str) -> str:
        """Return the log's form of a sender's own name.

        A simulated realm keeps tokens: its script names reports, and its expectations refer to
        them.
        """
        if not is_live(realm) and is_token(word):
            return word
        return self.hash_text(word)

    def reference(self, realm: str, reference: str) -> str:
        """Return the log's form of a reference: a report id, or else a sender's own name."""
        return reference if _is_report_id(reference) else self.name(realm, reference)

    def machine_alias(self, realm: str, alias: str) -> str:
        """Return the log's form of an alias that an integration made.

        Only the sender's part is replaced: deciders and the index read the rest.
        """
        end = END_SUFFIX if alias.endswith(END_SUFFIX) else ""
        bare = alias.removesuffix(END_SUFFIX)
        if (episode := _EPISODE_ALIAS.fullmatch(bare)) is not None:
            tail = episode["tail"]
            if site := episode["site"]:
                tail = tail.removesuffix(site) + self._token(site, 64)
            return f"{self.name(realm, episode['head'])}@{episode['began']}{tail}{end}"
        if (event := _CAP_ALIAS.fullmatch(bare)) is not None:
            return f"{self.name(realm, event['head'])}#{event['sent']}.{event['tail']}{end}"
        return self.name(realm, alias)

    def clean(self, realm: str, message: Mapping[str, Any], alias: str | None) -> RedactedReport:
        """Return a report's message without free text, and the original values.

        `alias` is the log's form of its alias.
        """
        clean = dict(message)
        for field, limit in _LIMITS.items():
            if (original := message.get(field)) is not None:
                clean[field] = self._codes(original, limit)
        if (hint := message.get("plan_hint")) and not _PLAN.fullmatch(hint):
            clean["plan_hint"] = self.hash_text(hint)
        if alias is not None:
            clean["alias"] = alias
        if references := message.get("references"):
            clean["references"] = [self.reference(realm, r) for r in references]
        if (measure := message.get("measure")) is not None:
            clean["measure"] = self._measure(measure)
        own = {field: original for field, original in message.items() if clean[field] != original}
        return RedactedReport(clean, own)

    def _codes(self, codes: str | Sequence[str], limit: int) -> str | tuple[str, ...]:
        if isinstance(codes, str):
            return self._token(codes, limit)
        return tuple(self._token(code, limit) for code in codes)

    def _token(self, word: str, limit: int) -> str:
        return word if not word or is_token(word) else self.hash_text(word, min(limit, HASH_CHARS))

    def _measure(self, measure: Mapping[str, Any]) -> dict[str, Any]:
        clean = dict(measure)
        if (name := clean.get("name")) is not None:
            clean["name"] = self._token(name, 64)
        if (unit := clean.get("unit")) and not _UNIT.fullmatch(unit):
            clean["unit"] = self.hash_text(unit)
        if (value := clean.get("value")) is not None and isinstance(value, str):
            clean["value"] = (
                value
                if _is_number(value) or _is_time(value) or _SERIES.fullmatch(value)
                else self._token(value.strip(), HASH_CHARS)
            )
        if (scope := clean.get("scope")) is not None:
            clean["scope"] = self._sorted_word(scope)
        if (about := clean.get("object")) is not None:
            parts = "|".join(self._sorted_word(part) for part in about.split("|"))
            clean["object"] = parts if len(parts) <= _OBJECT_CHARS else self.hash_text(about)
        return clean

    def _sorted_word(self, word: str) -> str:
        """Replace a text such as `road:x`, but keep its prefix."""
        if not word or _OBJECT.fullmatch(word):
            return word
        sort = prefix_match[0] if (prefix_match := _OBJECT_PREFIX.match(word)) is not None else ""
        return sort + self.hash_text(word.removeprefix(sort))


def get_episode_prefix(alias: str) -> str | None:
    """Return the part of an alias that all reports of an episode share; None for other aliases."""
    alias_match = _EPISODE_ALIAS.fullmatch(alias.removesuffix(END_SUFFIX))
    return None if alias_match is None else f"{alias_match['head']}@{alias_match['began']}"


def _is_report_id(reference: str) -> bool:
    try:
        return str(UUID(reference)) == reference
    except ValueError:
        return False


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return len(value) <= HASH_CHARS


def _is_time(value: str) -> bool:
    """Return whether a text is a time that rules can read, such as the end of an outage."""
    if not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
