"""Erase a text by two persons: one proposes it, another approves.

The proposal lies in `texts`, encrypted like them, under an id derived from that of the text. Both
acts are logbook lines, without the erased text. Rule D58.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from schemas.base import Instant
from services.runtime.http.problems import ProblemError
from services.runtime.secrets.erasure import erase_text, erased_of
from services.runtime.secrets.vault import TextItem, Texts

PREFIX: Final = "erasure-"
READ_S: Final = 1.0
"""Wait for a proposal that another process has just stored."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The text to erase, and the report or line it belongs to."""

    kind: Literal["report", "line"]
    id: str
    realm: str
    text_id: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal to erase a text: its author, time and reason."""

    kind: str
    id: str
    realm: str
    by: str
    at: Instant
    reason: str


class Erasures:
    """Proposals to erase texts, and their approval."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    async def propose(self, subject: Subject, by: str, reason: str, at: Instant) -> Proposal:
        """Store a proposal; repeating it changes nothing.

        Raises ProblemError `erased`, `erasure_proposed` (by another person: approve it),
        BrokerAway.
        """
        await self._check_there(subject)
        if (known := await self._read(subject.text_id)) is not None:
            if known.by != by:
                raise ProblemError("erasure_proposed", by=known.by)
            return known
        made = Proposal(subject.kind, subject.id, subject.realm, by, at, reason)
        await self._texts.put(
            _proposal_id(subject.text_id),
            TextItem({name: getattr(made, name) for name in made.__slots__}),
        )
        return made

    async def approvable(self, subject: Subject, by: str) -> Proposal:
        """Return the proposal of another person.

        Raises ProblemError `erased`, `no_erasure`, `second_person`.
        """
        await self._check_there(subject)
        proposal = await self._read(subject.text_id)
        if proposal is None:
            raise ProblemError("no_erasure")
        if proposal.by == by:
            raise ProblemError("second_person")
        return proposal

    async def erase(self, subject: Subject, proposal: Proposal, at: Instant) -> None:
        """Erase the text and the proposal for good. Raises BrokerAway: then repeat."""
        await erase_text(self._texts, subject.text_id, at, proposal.reason)
        await self._texts.erase(_proposal_id(subject.text_id))

    def open(self) -> Sequence[Proposal]:
        """Return the proposals that wait for a second person, oldest first."""
        found = self._texts.get_many(self._texts.ids(PREFIX)).values()
        return sorted(
            (_proposal(item.fields) for item in found),
            key=lambda proposal: (proposal.at, proposal.id),
        )

    async def _check_there(self, subject: Subject) -> None:
        item = await self._texts.get(subject.text_id, wait_s=READ_S)
        if item is None or erased_of(item) is not None:
            raise ProblemError("erased")

    async def _read(self, text_id: str) -> Proposal | None:
        item = await self._texts.get(_proposal_id(text_id))
        return None if item is None else _proposal(item.fields)


def _proposal(fields: dict[str, Any]) -> Proposal:
    return Proposal(**{name: fields[name] for name in Proposal.__slots__})


def _proposal_id(text_id: str) -> str:
    return f"{PREFIX}{text_id}"
