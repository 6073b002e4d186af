"""`/api/v1/sites/{id}/instructions`: instructions of the cell to a site. Rule D99.

The words go to the encrypted texts. The site confirms with `POST /api/v1/tasks/{id}/done` and the
outcome `understood`; the cell takes one back with `withdrawn`.
"""

from typing import Annotated, Final

from fastapi import Depends
from fastapi.responses import Response
from pydantic import Field

from schemas.commands import InstructSite
from services.console.http.answers import DecisionRouter, require_text, send_text
from services.console.http.context import (
    DecisionBody,
    DecisionContext,
    PageRequest,
    RealmReader,
    require_decision,
)
from services.console.http.scopes import check_sites, is_near_site
from services.console.resources import Instruction, Page, Site
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal

router = DecisionRouter(prefix="/api/v1/sites", tags=["actions"])
LONGEST: Final = 200
"""Characters of an instruction: together with the name of the site it fits an SMS."""


class NewInstruction(DecisionBody):
    """A sentence for the manager of the site, without anything confidential."""

    text: str = Field(min_length=1, max_length=LONGEST)
    incident: str | None = Field(default=None, max_length=64)
    report: str | None = Field(
        default=None, max_length=64, description="id of the report that it answers"
    )


def complete_sentence(text: str) -> str:
    """Return the text of the cell as a whole sentence, because more words follow in a message."""
    text = text.strip()
    return text if text[-1] in ".!?…" else f"{text}."


def may_read_instructions(principal: Principal, site: Site) -> bool:
    """Tell whether the reader may see the words: the cell, and people of the site."""
    return is_near_site(principal, site) or principal.may(Permission.REPORT_RAW)


@router.get(
    "/{id}/instructions",
    operation_id="list_instructions",
    summary="List the instructions of the cell to this site, newest first, with its answers",
)
async def instructions(reader: RealmReader, part: PageRequest, id: str) -> Page[Instruction]:
    site = await reader.model.site(id)
    texts = may_read_instructions(reader.principal, site)
    items = await reader.model.instructions({site.id}, texts=texts)
    return part.of(items)


@router.decision(
    "/{id}/instructions",
    "Send the site an instruction: a task of its manager, and a message",
    operation_id="give_instruction",
)
async def instruct(
    author: Annotated[DecisionContext, Depends(require_decision(Permission.INCIDENT_DECIDE))],
    id: str,
    body: NewInstruction,
) -> Response:
    require_text(body.text, "text")
    author = author.within(body)
    await check_sites(author, [id], "site")
    return await send_text(
        author, body, "alerts", InstructSite, complete_sentence(body.text), site=id
    )
