"""Queries about the published version of a page, and the changes that wait. Rule D96."""

from typing import Any, Final

from pydantic import Field, ValidationError

from schemas import alerts as a
from schemas import continuity as c
from schemas import reassignment as g
from schemas.crisis.publication import PublicationRow, PublicationState, PublicPage
from schemas.topics import is_live
from services.console.communication.queries import Signed
from services.console.public.agents import (
    AgentsDocument,
    build_agents_document,
    lets_agents_leave_shelter,
    list_changed_sites,
    sends_to_barred_site,
)
from services.console.public.document import (
    PublicPlace,
    PublicStatus,
    ServicesDocument,
    StalePage,
    build_services_document,
    find_public_information,
    hash_content,
    list_changes,
    names_barred_place,
)
from services.console.public.render import PublishedVersion
from services.console.read_model.query_base import (
    QueryBase,
    find_barred_sites,
    find_sheltering_sites,
    get_snapshot_time,
)
from services.console.resource_base import Resource, Time
from services.console.texts.names import TerritoryNames
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
    published: str | None = Field(
        description="open, degraded, closed, concerned, unconcerned; null = not named"
    )
    present: str | None = Field(description="the same at present")
    instead: str | None = Field(
        default=None, description="open place that receives its public at present"
    )


class Publication(PublicationSummary):
    """A public page with its state and the changes that wait."""

    reason: str | None = Field(description="why it was retracted")
    waiting: bool = Field(description="the present state differs from the published page")
    changes: list[PublicationChange]
    draft: str = Field(description="hash of the present content; send it with the publication")
    counts: dict[str, int] = Field(description="places by present state")


class PublicationQueries(QueryBase):
    """Queries about the public pages. Rules D96, D97."""

    async def publications(self) -> list[Publication]:
        """List all public pages, also those that were never published."""
        return [await self.publication(page) for page in PublicPage]

    async def publication(self, page: PublicPage) -> Publication:
        """Return a public page with the changes that wait for its next publication."""
        view = await self.read()
        row = await view.picture.row(PublicationRow, page)
        present = await self.present_document(page)
        published = self._read_document(row)
        draft = hash_content(present)
        changes, counts = _compare(published, present, view.picture.reference.names)
        summary = build_publication_state(row, self._realm, page)
        return Publication(
            **summary.model_dump(),
            reason=self.reason_of(row.reason) if row is not None else None,
            waiting=published is not None and hash_content(published) != draft,
            changes=changes,
            draft=draft,
            counts=counts,
        )

    async def stale_pages(self) -> dict[PublicPage, StalePage]:
        """Return the published pages that no longer tell the present state."""
        view = await self.read()
        rows = (await view.picture.rows(PublicationRow)).values()
        barred_sites = await find_barred_sites(view.picture)
        sheltering_sites = await find_sheltering_sites(view.picture)
        stale_pages = {}
        for row in rows:
            published = self._read_document(row)
            if published is None:
                continue
            if hash_content(published) != hash_content(await self.present_document(row.id)):
                names = view.picture.reference.names
                stale_pages[row.id] = StalePage(
                    row.published.at,
                    names_barred_place(published, barred_sites, names)
                    if isinstance(published, ServicesDocument)
                    else sends_to_barred_site(published, barred_sites, names)
                    or lets_agents_leave_shelter(published, sheltering_sites),
                )
        return stale_pages

    async def present_document(self, page: PublicPage) -> ServicesDocument | AgentsDocument:
        """Build the document that a publication would freeze now."""
        view = await self.read()
        reference, picture = view.picture.reference, view.picture
        site_rows = await picture.rows(a.SiteRow)
        barred_sites = await find_barred_sites(picture)
        about = {
            "territory": find_territory_name(self._realm),
            "exercise": not is_live(self._realm),
            "as_of": get_snapshot_time(picture),
        }
        if page is PublicPage.SERVICES:
            information = find_public_information(reference.sections)
            sites = reference.sites.values()
            return build_services_document(information, sites, site_rows, barred_sites, **about)
        return build_agents_document(
            reference.names,
            reference.sections,
            site_rows,
            (await picture.rows(g.ReassignmentRow)).values(),
            (await picture.rows(c.PlanRow)).values(),
            barred_sites,
            await find_sheltering_sites(picture),
            **about,
        )

    async def published_services(self) -> PublishedVersion | None:
        """Return the version that is public; None if there is none, or its text was erased."""
        row, document = await self._read_published(PublicPage.SERVICES)
        if row is None or not isinstance(document, ServicesDocument):
            return None
        return PublishedVersion(document, row.number, row.published.at)

    async def published_agents(self) -> AgentsDocument | None:
        """Return the page for agents that is public; None if there is none."""
        document = (await self._read_published(PublicPage.AGENTS))[1]
        return document if isinstance(document, AgentsDocument) else None

    async def _read_published(
        self, page: PublicPage
    ) -> tuple[PublicationRow | None, ServicesDocument | AgentsDocument | None]:
        view = await self.read()
        row = await view.picture.row(PublicationRow, page)
        return row, self._read_document(row)

    def _read_document(
        self, row: PublicationRow | None
    ) -> ServicesDocument | AgentsDocument | None:
        if row is None or row.state is not PublicationState.PUBLISHED or self._texts is None:
            return None
        item = self._texts.get_many([row.text_id]).get(row.text_id)
        if item is None or item.raw is None:
            return None
        kind = ServicesDocument if row.id is PublicPage.SERVICES else AgentsDocument
        try:
            return kind.model_validate_json(item.raw)
        except ValidationError:
            return None


def build_publication_state(
    row: PublicationRow | None, realm: str, page: PublicPage = PublicPage.SERVICES
) -> PublicationSummary:
    """Build the state of a page from its row; without one it was never published."""
    if row is None:
        return PublicationSummary(id=page.value, realm=realm, state=NEVER)
    return PublicationSummary.from_row(row, id=row.id.value, realm=realm, state=row.state.value)


def _compare(
    published: ServicesDocument | AgentsDocument | None,
    present: ServicesDocument | AgentsDocument,
    names: TerritoryNames,
) -> tuple[list[PublicationChange], dict[str, int]]:
    """Return the changes that wait, and the places by present state."""
    if isinstance(present, ServicesDocument):
        services = published if isinstance(published, ServicesDocument) else None
        counts = {
            status.value: sum(len(one.list_places(status)) for one in present.services)
            for status in PublicStatus
        }
        return [_build_change(*pair) for pair in list_changes(services, present)], counts
    agents = published if isinstance(published, AgentsDocument) else None
    before = {one.id for one in agents.concerned} if agents is not None else None
    now = {one.id for one in present.concerned}
    changes = [
        PublicationChange(
            name=names.site(id),
            commune=names.sites[id].commune_name,
            published=None if before is None else _name_concern(id in before),
            present=_name_concern(id in now),
        )
        for id in list_changed_sites(agents, present)
    ]
    return changes, {"concerned": len(now)}


def _name_concern(is_concerned: bool) -> str:
    return "concerned" if is_concerned else "unconcerned"


def _build_change(before: PublicPlace | None, now: PublicPlace | None) -> PublicationChange:
    place: Any = now or before
    return PublicationChange(
        name=place.name,
        commune=place.commune,
        published=before.status if before is not None else None,
        present=now.status if now is not None else None,
        instead=now.instead if now is not None else None,
    )
