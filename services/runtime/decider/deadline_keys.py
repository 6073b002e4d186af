"""Typed keys of deadlines.

A domain has one frozen dataclass per kind of deadline, and one `DeadlineKeys` with all of them. Its
code arms and matches these values; only this module knows their text, which is in logs and
snapshots and so never changes.
"""

from __future__ import annotations

from dataclasses import fields
from typing import ClassVar, Generic, TypeVar, get_type_hints


class DeadlineKey:
    """Base of the keys. Fields are strings, numbers or a `StrEnum`.

    Only the first field may contain the separator.
    """

    __slots__ = ()
    head: ClassVar[str]
    """Name of the kind, first part of the text."""
    separator: ClassVar[str] = ":"

    def __str__(self) -> str:
        """Return the text in logs and snapshots."""
        parts = [str(getattr(self, name)) for name, _ in _list_fields(type(self))]
        return self.separator.join((self.head, *parts))


K = TypeVar("K", bound=DeadlineKey)


class DeadlineKeys(Generic[K]):
    """All kinds of deadlines of a domain, which share their separator."""

    def __init__(self, *kinds: type[K]) -> None:
        self._kinds = {kind.head: kind for kind in kinds}
        if len(self._kinds) < len(kinds):
            raise ValueError("two kinds of deadlines have the same head")
        (self._separator,) = {kind.separator for kind in kinds}

    def parse(self, text: str) -> K:
        """Return the key with this text. Raises ValueError for the text of no kind."""
        head, _, rest = text.partition(self._separator)
        if (kind := self._kinds.get(head)) is None:
            raise ValueError(f"there is no deadline {text!r}")
        types = [type_ for _, type_ in _list_fields(kind)]
        parts = rest.rsplit(self._separator, len(types) - 1) if types else []
        return kind(*(type_(part) for type_, part in zip(types, parts, strict=True)))


_FIELDS: dict[type, list[tuple[str, type]]] = {}


def _list_fields(kind: type[DeadlineKey]) -> list[tuple[str, type]]:
    """Return name and type of each field."""
    if (found := _FIELDS.get(kind)) is None:
        hints = get_type_hints(kind)
        found = [(field.name, hints[field.name]) for field in fields(kind)]  # type: ignore[arg-type]
        _FIELDS[kind] = found
    return found
