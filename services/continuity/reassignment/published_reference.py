"""Reference data for the planner, as continuity's log publishes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from schemas import reference as ref
from schemas.wire.shared import share_object

_REQUIRED_SECTIONS: Final = frozenset((ref.Section.SITES, ref.Section.STAFFING))


@dataclass
class PublishedTables:
    """Sites and staffing in force in a realm. A version counts once its last section is there."""

    reference: str = ""
    _sections: dict[ref.Section, ref.SectionData] = field(default_factory=dict)
    _incoming: dict[ref.Section, ref.SectionData] = field(default_factory=dict)

    def take(self, data: dict[str, Any]) -> None:
        """Apply the content of a ReferencePublished."""
        published = ref.ReferencePublished.model_validate(data)
        if published.data.section in _REQUIRED_SECTIONS:
            self._incoming[published.data.section] = share_object(published.data)
        if published.last:
            self._sections |= self._incoming
            self._incoming, self.reference = {}, published.reference

    @property
    def tables(self) -> tuple[ref.Sites, ref.Staffing] | None:
        """Both tables, or None while one of them is missing."""
        sites, staffing = (
            self._sections.get(ref.Section.SITES),
            self._sections.get(ref.Section.STAFFING),
        )
        return (
            (sites, staffing)
            if isinstance(sites, ref.Sites) and isinstance(staffing, ref.Staffing)
            else None
        )
