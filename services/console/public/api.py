"""Routes for the public pages: `/publications`, and the files that the front serves. Rule D96."""

from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import sha256
from html import escape
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, Field

from schemas.crisis.publication import PublicPage, PublishPage, RetractPage
from services.console.http.answers import DecisionRouter, find_repeated_answer, send_decision
from services.console.http.context import (
    DecisionBody,
    DecisionContext,
    LogReader,
    PageRequest,
    RealmReader,
    require_decision,
    set_etag,
    to_instant,
)
from services.console.http.decisions import CommandDispatcher
from services.console.http.problems import NotFound
from services.console.i18n import LANGUAGES, SOURCE
from services.console.public.agents import (
    AgentsDocument,
    Choice,
    render_agents_page,
    render_answered_page,
    render_answers,
)
from services.console.public.document import ServicesDocument, hash_content
from services.console.public.queries import Publication
from services.console.public.render import (
    HTML,
    Detail,
    PublicFile,
    PublishedVersion,
    load_style,
    render_files,
    render_page,
    sign_files,
)
from services.console.read_model.queries import ReadModel
from services.console.resource_base import Resource
from services.console.resources import Page
from services.console.web.access import PageRoute, require_reader
from services.console.web.routes import redirect_to_own_start
from services.runtime.http.problems import build_conflict
from services.runtime.identity.permissions import Permission
from services.runtime.secrets.signing import SigningKey

router = DecisionRouter(prefix="/api/v1", tags=["communication"])
front_router = APIRouter()


def _require_reader(request: Request) -> None:
    """Redirect strangers to the login, kiosks to the wall. Raises LoginRequired, PageMoved."""
    redirect_to_own_start(request, request.url.path, require_reader(request))


page_router = APIRouter(route_class=PageRoute, dependencies=[Depends(_require_reader)])
Publisher = Annotated[
    DecisionContext, Depends(require_decision(Permission.STATEMENT_WRITE, whole_territory=True))
]


class PublicationRequest(DecisionBody):
    """A publication of a page as it is now."""

    next_at: AwareDatetime | None = Field(
        default=None, description="time promised for the next update"
    )
    draft: str | None = Field(
        default=None,
        max_length=64,
        description="`draft` of the page as the author read it; 409 if it changed since",
    )


class PublicationFile(Resource):
    """One file of a public page."""

    name: str
    content_type: str
    base64: str


@router.get("/publications", summary="List public pages, with the changes that wait")
async def list_publications(reader: LogReader, part: PageRequest) -> Page[Publication]:
    return part.of(await reader.model.publications())


@router.get(
    "/publications/{page}", summary="Show a public page; its ETag is the version for If-Match"
)
async def get_publication(reader: LogReader, page: PublicPage, response: Response) -> Publication:
    publication = await reader.model.publication(page)
    set_etag(response, publication.version)
    return publication


@router.get(
    "/publications/{page}/files", summary="Export a published page: signed files of a static site"
)
async def export_publication(
    reader: LogReader, page: PublicPage, request: Request, part: PageRequest
) -> Page[PublicationFile]:
    files = await _render_published(reader.model, request)
    if files is None or page is not PublicPage.SERVICES:
        raise NotFound
    return part.of(
        [
            PublicationFile(
                name=name, content_type=file.content_type, base64=b64encode(file.body).decode()
            )
            for name, file in files.items()
        ]
    )


@router.decision(
    "/publications/{page}:publish",
    "Publish a page as it is now, as communication; it replaces the one before",
    versioned=True,
)
async def publish_page(
    author: Publisher, page: PublicPage, body: PublicationRequest | None = None
) -> Response:
    body = body or PublicationRequest()
    author = author.within(body)
    if (before := await find_repeated_answer(author)) is not None:
        return before
    document = await author.model.present_document(page)
    if isinstance(document, ServicesDocument) and not document.services:
        raise build_conflict(
            "Le territoire ne nomme aucun service ouvert au public (communiques.yaml).",
            "The territory names no service for the public (communiques.yaml).",
        )
    if body.draft not in (None, hash_content(document)):
        raise build_conflict(
            "La situation a changé depuis votre lecture : relisez, puis publiez.",
            "The situation has changed since you read the page: read again, then publish.",
        )
    next_at = None if body.next_at is None else to_instant(body.next_at)
    raw = document.model_copy(update={"next_at": next_at}).model_dump_json().encode()
    digest = sha256(raw).hexdigest()
    decisions: CommandDispatcher = author.request.app.state.decisions
    id = decisions.command_id(author.principal, author.realm, author.key)
    text_id = decisions.text_id(id, digest)
    await decisions.put_document(text_id, raw)
    return await send_decision(
        author, body, "alerts", PublishPage, page=page, text_id=text_id, digest=digest
    )


@router.decision(
    "/publications/{page}:retract", "Retract a page: nothing of it stays public", versioned=True
)
async def retract_page(
    author: Publisher, page: PublicPage, body: DecisionBody | None = None
) -> Response:
    return await send_decision(author.within(body), body, "alerts", RetractPage, page=page)


@page_router.get("/public", include_in_schema=False)
async def show_page(reader: RealmReader) -> Response:
    """Show the page of a realm that is not this machine's live one, such as an exercise.

    The front serves the live one by itself.
    """
    version = await reader.model.published_services()
    page = "index.html" if reader.lang == SOURCE else f"index.{reader.lang}.html"
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": load_style()[1]}
    if version is None:
        return Response(render_page(None, reader.lang, Detail.ALL), 404, headers, HTML)
    return Response(render_files(version)[page].body, 200, headers, HTML)


@page_router.get("/demain", include_in_schema=False)
async def show_agents_page(reader: RealmReader, site: str = "", metier: str = "") -> Response:
    """Show the page for agents of a realm that is not this machine's live one, with an answer."""
    document = await reader.model.published_agents()
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": load_style()[1]}
    if document is None:
        return Response(render_page(None, reader.lang, Detail.ALL), 404, headers, HTML)
    text = render_answered_page(document, reader.lang, site, metier)
    return Response(text, 200, headers, HTML)


@front_router.get("/publications.json", include_in_schema=False)
async def public_files(request: Request, have: str = "") -> dict[str, Any]:
    """Return the pages of the live realm for the front; only their version if it has them."""
    model = request.app.state.model.of(request.app.state.live_realm)
    services, agents = await model.published_services(), await model.published_agents()
    version, described = _describe_files(services, agents, request.app.state.signing_key)
    return {"version": version} | ({} if version == have else described)


@lru_cache(maxsize=2)
def _describe_files(
    services: PublishedVersion | None,
    agents: AgentsDocument | None,
    get_key: Callable[[], SigningKey],
) -> tuple[str, dict[str, Any]]:
    """Return the hash and the pages of these published versions."""
    files = {} if services is None else sign_files(render_files(services), services, get_key())
    empty = {
        f"none.{lang}": PublicFile(HTML, render_page(None, lang, Detail.ALL)) for lang in LANGUAGES
    }
    described: dict[str, Any] = {
        "policy": load_style()[1],
        "agents": None if agents is None else describe_agents(agents),
        "files": {
            name: {"type": file.content_type, "base64": b64encode(file.body).decode()}
            for name, file in (files | empty).items()
        },
    }
    raw = orjson.dumps(described, option=orjson.OPT_SORT_KEYS)
    return sha256(raw).hexdigest(), described


def describe_agents(document: AgentsDocument) -> dict[str, Any]:
    """Return the page for agents in parts, from which the front composes each answer."""
    return {
        lang: {
            "page": render_agents_page(document, lang),
            "answers": render_answers(document, lang),
            "sites": _list_names(document.sites, lang),
            "metiers": _list_names(document.metiers, lang),
        }
        for lang in LANGUAGES
    }


def _list_names(choices: Iterable[Choice], lang: str) -> dict[str, str]:
    return {one.id: escape(one.name if lang == SOURCE else one.name_en) for one in choices}


async def _render_published(model: ReadModel, request: Request) -> dict[str, PublicFile] | None:
    """Render and sign the files of the published version; None if nothing is public."""
    version = await model.published_services()
    if version is None:
        return None
    key: SigningKey = request.app.state.signing_key()
    return sign_files(render_files(version), version, key)
