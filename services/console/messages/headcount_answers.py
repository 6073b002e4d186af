"""Single answers of a headcount, with names from the directory.

Every reading is logged. Rules D37 and D59.
"""

from __future__ import annotations

from typing import Final

import structlog
from fastapi import Request

from schemas.callouts import HeadcountAnswer, headcount_text_id
from services.console.http.decisions import get_author
from services.console.http.scopes import check_sites_of
from services.console.read_model.queries import Queries
from services.console.resources import SafetyAnswer
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.principals import Principal
from services.runtime.secrets.vault import VaultDirectory, VaultTexts

_UNLIMITED: Final = 100_000
log = structlog.get_logger(__name__)


async def list_people_by_answer(
    request: Request,
    queries: Queries,
    reader: Principal,
    realm: str,
    id: str,
    answer: HeadcountAnswer,
) -> list[SafetyAnswer]:
    """List the people with this answer, newest question first; an erased person has no name.

    Raises NotFound, ProblemError `out_of_scope`.
    """
    callout = await queries.of(realm).callout(id)
    await check_sites_of(reader, queries, realm, callout.sites)
    notifications = (await queries.of(realm).notifications(campaign=id, limit=_UNLIMITED)).items
    texts: VaultTexts = request.app.state.texts
    directory: VaultDirectory = request.app.state.directory
    answer_texts = texts.get_many([headcount_text_id(n.id) for n in notifications])
    safety_answers = []
    for n in notifications:
        item = answer_texts.get(headcount_text_id(n.id))
        if item is not None and item.fields.get("headcount") == answer:
            contact = await directory.of(realm).get(n.person_token)
            safety_answers.append(
                SafetyAnswer(
                    person_token=n.person_token,
                    name=contact.name if contact else None,
                    answer=answer.value,
                )
            )
    access: AccessStore = request.app.state.access
    access.trace(reader, "directory.read", f"{realm} {callout.id}")
    log.info(
        "directory.read",
        by=get_author(reader),
        callout=callout.id,
        answer=answer.value,
        people=len(safety_answers),
    )
    return safety_answers
