"""Erase a text by two persons: one proposes it, another approves.

The proposal lies in `texts`, encrypted like them, under an id derived from that of the text. Both
acts are logbook lines, without the erased text. Rule D58.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from schemas.base import Instant
from services.console.i18n import get_translator
from services.console.resource_base import Resource, Time, to_datetime
from services.runtime.http.problems import ProblemError
from services.runtime.secrets.erasure import TextErasure, erase_text, read_erasure
from services.runtime.secrets.vault import TextItem, VaultTexts

PREFIX: Final = "erasure-"
PROPOSAL_WAIT_S: Final = 1.0
"""Wait for a proposal that another process has just stored."""


def format_erasure(erasure: TextErasure, lang: str) -> str:
    """Return when and why a text was erased."""
    at = to_datetime(erasure.at).astimezone(ZoneInfo("Europe/Paris"))
    _ = get_translator(lang)
    return _(
        "Texte effacé le {day} à {time}. Raison : {reason}",
        day=at.strftime("%d/%m/%Y"),
        time=at.strftime("%H:%M"),
        reason=erasure.reason,
    )


class Erasure(Resource):
    """A proposed or completed erasure; `id` is that of the report or logbook line."""

    id: str
    realm: str
    kind: str = Field(description="id of the report or line")
    state: Literal["proposed", "erased", "declined"]
    reason: str
    proposed_by: str = Field(description="token of the person")
    proposed_at: Time
    approved_by: str | None = Field(default=None, description="token of the second person")
    erased_at: Time | None = None


@dataclass(frozen=True, slots=True)
class ErasureSubject:
    """The text to erase, and the report or line it belongs to."""

    kind: Literal["report", "line"]
    id: str
    realm: str
    text_id: str


@dataclass(frozen=True, slots=True)
class ErasureProposal:
    """A proposal to erase a text: its author, time and reason."""

    kind: str
    id: str
    realm: str
    by: str
    at: Instant
    reason: str


class Erasures:
    """Proposals to erase texts, and their approval."""

    def __init__(self, texts: VaultTexts) -> None:
        self._texts = texts

    async def propose(
        self, subject: ErasureSubject, by: str, reason: str, at: Instant
    ) -> ErasureProposal:
        """Store a proposal; repeating it changes nothing.

        Raises ProblemError `erased`, `erasure_proposed` (by another person: approve it),
        BrokerAway.
        """
        await self._check_there(subject)
        if (proposal := await self._read(subject.text_id)) is not None:
            if proposal.by != by:
                raise ProblemError("erasure_proposed", by=proposal.by)
            return proposal
        new_proposal = ErasureProposal(subject.kind, subject.id, subject.realm, by, at, reason)
        await self._texts.put(
            _build_proposal_id(subject.text_id),
            TextItem({name: getattr(new_proposal, name) for name in new_proposal.__slots__}),
        )
        return new_proposal

    async def proposed(self, subject: ErasureSubject) -> ErasureProposal:
        """Return the proposal. Raises ProblemError `erased`, `no_erasure`."""
        await self._check_there(subject)
        proposal = await self._read(subject.text_id)
        if proposal is None:
            raise ProblemError("no_erasure")
        return proposal

    async def approvable(self, subject: ErasureSubject, by: str) -> ErasureProposal:
        """Return the proposal of another person.

        Raises ProblemError `erased`, `no_erasure`, `second_person`.
        """
        proposal = await self.proposed(subject)
        if proposal.by == by:
            raise ProblemError("second_person")
        return proposal

    async def decline(self, subject: ErasureSubject) -> None:
        """Delete the proposal; the text stays. Raises BrokerAway: then repeat."""
        await self._texts.erase(_build_proposal_id(subject.text_id))

    async def erase(self, subject: ErasureSubject, proposal: ErasureProposal, at: Instant) -> None:
        """Erase the text and the proposal for good. Raises BrokerAway: then repeat."""
        await erase_text(self._texts, subject.text_id, at, proposal.reason)
        await self._texts.erase(_build_proposal_id(subject.text_id))

    def open(self) -> Sequence[ErasureProposal]:
        """Return the proposals that wait for a second person, oldest first."""
        items = self._texts.get_many(self._texts.ids(PREFIX)).values()
        return sorted(
            (_parse_proposal(item.fields) for item in items),
            key=lambda proposal: (proposal.at, proposal.id),
        )

    async def _check_there(self, subject: ErasureSubject) -> None:
        item = await self._texts.get(subject.text_id, wait_s=PROPOSAL_WAIT_S)
        if item is None or read_erasure(item) is not None:
            raise ProblemError("erased")

    async def _read(self, text_id: str) -> ErasureProposal | None:
        item = await self._texts.get(_build_proposal_id(text_id))
        return None if item is None else _parse_proposal(item.fields)


def _parse_proposal(fields: dict[str, Any]) -> ErasureProposal:
    return ErasureProposal(**{name: fields[name] for name in ErasureProposal.__slots__})


def _build_proposal_id(text_id: str) -> str:
    return f"{PREFIX}{text_id}"
