"""Page `/publication`: the published version, waiting changes, and the retraction. D96, D97."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from schemas.crisis.publication import PublicPage
from schemas.ranks import may_validate_statement
from services.console.i18n import N_, Translator
from services.console.public.queries import Publication, PublicationChange
from services.console.texts import words as w
from services.console.web.screen_context import ScreenData, ScreenPage
from services.console.web.times import format_minute
from services.runtime.identity.permissions import Permission

CHANGES_SHOWN: Final = 40
NEXT_UPDATE: Final = timedelta(hours=1)
"""Next update that the form proposes."""
_PATHS: Final = {PublicPage.SERVICES.value: "/public", PublicPage.AGENTS.value: "/demain"}
_STATUS: Final = {
    "open": N_("ouvert"),
    "degraded": N_("ouvert en partie"),
    "closed": N_("fermé"),
    "concerned": N_("concerné"),
    "unconcerned": N_("non concerné"),
    None: N_("non cité"),
}


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One change that waits."""

    place: str
    before: str
    now: str
    instead: str | None


@dataclass(frozen=True, slots=True)
class PublicationView:
    """A public page on the screen."""

    publication: Publication
    changes: list[ChangeLine]
    more: int
    """Changes that are not listed."""
    can_publish: bool
    can_retract: bool
    is_public: bool
    title: str
    path: str
    """Address of the page without an account."""


def build_publication_view(
    publication: Publication, role: str, may_write: bool, _: Translator
) -> PublicationView:
    """Build a page with the decisions that this reader may take."""
    is_public = publication.state == "published"
    lines = [_build_line(change, _) for change in publication.changes[:CHANGES_SHOWN]]
    return PublicationView(
        publication,
        lines,
        len(publication.changes) - len(lines),
        can_publish=may_write and may_validate_statement(role),
        can_retract=may_write and is_public,
        is_public=is_public,
        title=w.translate_code(w.PUBLIC_PAGE, publication.id, _),
        path=_PATHS[publication.id],
    )


def _build_line(change: PublicationChange, _: Translator) -> ChangeLine:
    return ChangeLine(
        _("{place}, {commune}", place=change.name, commune=change.commune),
        _(_STATUS[change.published]),
        _(_STATUS[change.present]),
        change.instead,
    )


async def build_publication_page(x: ScreenData) -> dict[str, Any]:
    """Build `public/screen.html`. Rule D96."""
    reader = x.shell.reader
    may_write = reader.may(Permission.STATEMENT_WRITE) and reader.whole and x.shell.moment is None
    role = reader.principal.acting_role
    return {
        "views": [
            build_publication_view(one, role, may_write, x._)
            for one in await x.queries.publications()
        ],
        "next_at": format_minute((x.shell.now + NEXT_UPDATE).replace(second=0, microsecond=0)),
    }


PAGE: Final = ScreenPage(
    "publication",
    "/publication",
    "public/screen.html",
    build_publication_page,
    N_("Pages publiques"),
    after="communication",
    needs=Permission.LOG_READ,
)
