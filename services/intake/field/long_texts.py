"""Join the parts of long texts, as delivery and the gateways' integration store them. Pure.

A handset uses its references again: parts are joined in the order of their arrival, and a part
whose place is filled begins another text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, groupby
from typing import Any, Final

from schemas.base import Instant
from schemas.people.replies import ARRIVED_TEXT_KEPT_MS
from services.runtime.http.sms_text import decode_text

GAP: Final = "[…]"
"""Stands for missing parts between and behind those that came."""
MISSING_BEGINNING: Final = "[suite d’un SMS]"
"""Stands for a missing first part: the next word is no keyword and no answer."""
INCOMPLETE: Final = "[SMS incomplet]"


@dataclass(frozen=True)
class ArrivedPart:
    """A stored part."""

    id: str
    fields: dict[str, Any]

    @property
    def number(self) -> int:
        """Place in the text, from 1."""
        return int(self.fields["number"])

    @property
    def at(self) -> Instant:
        """Time of arrival."""
        return int(self.fields["at"])

    @cached_property
    def text_key(self) -> tuple[object, ...]:
        """Key that the parts of a text share: sender, reference, number of parts, way."""
        gateway = self.fields.get("gateway", {}).get("id")
        realms = tuple(self.fields.get("realms", ()))
        names = ("from", "reference", "total")
        return (*(self.fields[name] for name in names), gateway, realms)


@dataclass(frozen=True)
class LongText:
    """The parts of one text that came."""

    total: int
    parts: dict[int, ArrivedPart] = field(default_factory=dict)

    @property
    def first(self) -> ArrivedPart:
        """The part that came first."""
        return min(self.parts.values(), key=_order_of_arrival)

    @property
    def is_whole(self) -> bool:
        """Return whether no part is missing."""
        return len(self.parts) == self.total

    @property
    def words(self) -> str:
        """Return the words, with marks in place of missing parts."""
        numbers = sorted(self.parts)
        if self.is_whole:
            return _decode([self.parts[number] for number in numbers])
        texts = [] if 1 in self.parts else [MISSING_BEGINNING]
        for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
            texts += [_decode([self.parts[number] for _, number in run]), GAP]
        if self.total in self.parts:
            texts.pop()
        return " ".join((*texts, INCOMPLETE))

    def has_room(self, part: ArrivedPart) -> bool:
        """Return whether a part may belong to this text."""
        is_recent = part.at - self.first.at < ARRIVED_TEXT_KEPT_MS
        return part.number not in self.parts and is_recent


def join_parts(parts: Iterable[ArrivedPart]) -> list[LongText]:
    """Join parts to texts, in order of arrival."""
    texts: dict[tuple[object, ...], list[LongText]] = {}
    for part in sorted(parts, key=_order_of_arrival):
        candidates = texts.setdefault(part.text_key, [])
        text = next((one for one in candidates if one.has_room(part)), None)
        if text is None:
            text = LongText(int(part.fields["total"]))
            candidates.append(text)
        text.parts[part.number] = part
    return sorted(chain(*texts.values()), key=lambda text: text.first.at)


def _order_of_arrival(part: ArrivedPart) -> tuple[Instant, int, str]:
    return part.at, part.number, part.id


def _decode(parts: Sequence[ArrivedPart]) -> str:
    """Decode neighbours: those in one alphabet together, for a character may span two of them."""
    texts = list[str]()
    for data_coding, run in groupby(parts, key=lambda part: part.fields.get("data_coding")):
        if data_coding is None:
            texts += [str(part.fields["words"]) for part in run]
        else:
            octets = b"".join(bytes.fromhex(part.fields["octets"]) for part in run)
            texts.append(decode_text(octets, int(data_coding)))
    return "".join(texts)
