"""Queries about the published version of a page, and the changes that wait. Rule D96."""

from typing import Any, Final

from pydantic import Field, ValidationError

from schemas import alerts as a
from schemas.crisis.publication import PublicationRow, PublicationState, PublicPage
from schemas.topics import is_live
from services.console.communication.queries import Signed
from services.console.public.document import (
    PublicPlace,
    PublicStatus,
    ServicesDocument,
    build_services_document,
    find_public_information,
    hash_content,
    list_changes,
)
from services.console.public.render import PublishedVersion
from services.console.read_model.query_base import QueryBase, get_snapshot_time
from services.console.resource_base import Resource, Time
from services.messages.names import find_territory_name

NEVER: Final = "never"
"""State of a page that was never published."""


class PublicationSummary(Resource):
    """State of a public page. Rule D96."""

    id: str
    realm: str
    state: str = Field(description="never, published or retracted")
    number: int = Field(default=0, description="counts the publications of this page")
    digest: str | None = Field(default=None, description="SHA-256 of the frozen document")
    next_at: Time | None = Field(default=None, description="time promised for the next update")
    published: Signed | None = None
    retracted: Signed | None = None
    changed_at: Time | None = None
    version: int = Field(default=0, description="counts decisions; also the ETag")


class PublicationChange(Resource):
    """A place that differs from the published page."""

    name: str
    commune: str
    published: PublicStatus | None = Field(description="null = not on the published page")
    present: PublicStatus | None = Field(description="null = no confirmed report tells its state")
    instead: str | None = Field(description="open place that receives its public at present")


class Publication(PublicationSummary):
    """A public page with its state and the changes that wait."""

    reason: str | None = Field(description="why it was retracted")
    waiting: bool = Field(description="the present state differs from the published page")
    changes: list[PublicationChange]
    draft: str = Field(description="hash of the present content; send it with the publication")
    counts: dict[PublicStatus, int] = Field(description="places by present state")


class PublicationQueries(QueryBase):
    """Queries about the public pages. Rule D96."""

    async def publications(self) -> list[Publication]:
        """List all public pages, also those that were never published."""
        return [await self.publication(page) for page in PublicPage]

    async def publication(self, page: PublicPage) -> Publication:
        """Return a public page with the changes that wait for its next publication."""
        view = await self.read()
        row = await view.picture.row(PublicationRow, page)
        version = self._read_version(row)
        document = await self.present_services()
        published = version.document if version is not None else None
        changes = [_build_change(*pair) for pair in list_changes(published, document)]
        draft = hash_content(document)
        summary = build_publication_state(row, self._realm, page)
        return Publication(
            **summary.model_dump(),
            reason=self.reason_of(row.reason) if row is not None else None,
            waiting=published is not None and hash_content(published) != draft,
            changes=changes,
            draft=draft,
            counts={
                status: sum(len(one.list_places(status)) for one in document.services)
                for status in PublicStatus
            },
        )

    async def present_services(self) -> ServicesDocument:
        """Build the document that a publication would freeze now."""
        view = await self.read()
        reference = view.picture.reference
        return build_services_document(
            find_public_information(reference.sections),
            reference.sites.values(),
            await view.picture.rows(a.SiteRow),
            territory=find_territory_name(self._realm),
            exercise=not is_live(self._realm),
            as_of=get_snapshot_time(view.picture),
        )

    async def published_services(self) -> PublishedVersion | None:
        """Return the version that is public; None if there is none, or its text was erased."""
        view = await self.read()
        return self._read_version(await view.picture.row(PublicationRow, PublicPage.SERVICES))

    def _read_version(self, row: PublicationRow | None) -> PublishedVersion | None:
        if row is None or row.state is not PublicationState.PUBLISHED or self._texts is None:
            return None
        item = self._texts.get_many([row.text_id]).get(row.text_id)
        if item is None or item.raw is None:
            return None
        try:
            document = ServicesDocument.model_validate_json(item.raw)
        except ValidationError:
            return None
        return PublishedVersion(document, row.number, row.published.at)


def build_publication_state(
    row: PublicationRow | None, realm: str, page: PublicPage = PublicPage.SERVICES
) -> PublicationSummary:
    """Build the state of a page from its row; without one it was never published."""
    if row is None:
        return PublicationSummary(id=page.value, realm=realm, state=NEVER)
    return PublicationSummary.from_row(row, id=row.id.value, realm=realm, state=row.state.value)


def _build_change(before: PublicPlace | None, now: PublicPlace | None) -> PublicationChange:
    place: Any = now or before
    return PublicationChange(
        name=place.name,
        commune=place.commune,
        published=before.status if before is not None else None,
        present=now.status if now is not None else None,
        instead=now.instead if now is not None else None,
    )
