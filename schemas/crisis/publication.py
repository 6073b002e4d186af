"""Public pages of the territory, with their publication and retraction.

The published document is in `texts`, frozen by its hash; logs hold codes and states. Rules D96, D97.
"""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from schemas.base import Command, Instant, Model, RowFact, register_message
from schemas.crisis.communication import Signature


class PublicPage(StrEnum):
    """Page that needs no account."""

    SERVICES = "services"
    """Services open, degraded and closed, for the public. Rule D96."""
    AGENTS = "agents"
    """Work place of tomorrow, by site and job family. Rule D97."""


class PublicationState(StrEnum):
    PUBLISHED = "published"
    RETRACTED = "retracted"


class PublicationRow(Model):
    """Newest publication of one page; `id` is that of the page."""

    id: PublicPage
    state: PublicationState
    number: int = Field(description="counts the publications of this page")
    text_id: str = Field(description="id of the frozen document in `texts`")
    digest: str = Field(description="SHA-256 of the frozen document")
    next_at: Instant | None = Field(default=None, description="time promised for the next update")
    published: Signature
    retracted: Signature | None = None
    reason: str | None = Field(
        default=None, description="reference `text:<id>`: why it was retracted"
    )
    changed_at: Instant
    version: int = 0


@register_message
class PublicationChanged(RowFact):
    """A public page was published or retracted.

    `change`: published, retracted.
    """

    collection: ClassVar[str] = "publications"
    row: PublicationRow
    change: str


@register_message
class PublishPage(Command):
    """Publish a page as the communication function; its document is in `texts`."""

    page: PublicPage
    text_id: str
    digest: str
    next_at: Instant | None = None
    expected: int | None = None


@register_message
class RetractPage(Command):
    """Retract a published page. Nothing of it is public afterwards."""

    page: PublicPage
    expected: int | None = None
