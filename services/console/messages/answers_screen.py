"""Page `/appels/{id}/reponses`: the people with one answer of a headcount."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request

from schemas.callouts import HeadcountAnswer
from services.console.messages import page as calls
from services.console.messages.headcounts_api import list_people_by_answer
from services.console.read_model.queries import Queries
from services.console.web.access import require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import build_page_context, load_screen_data
from services.runtime.identity.permissions import Permission


async def build_answers_page(queries: Queries, request: Request, id: str) -> dict[str, Any]:
    """Build `answers.html`: the people with one answer of a headcount. The reading is recorded.

    A page that refreshes itself does not show the names again, so it does not read them again.
    Raises NotFound, ProblemError `forbidden`.
    """
    reader = require_reader(request, Permission.DIRECTORY_READ)
    x = await load_screen_data(queries, request, "calls")
    realm = x.shell.realm.name
    answer_code = request.query_params.get("dit", "")
    headcount_answer = (
        HeadcountAnswer(answer_code)
        if answer_code in tuple(HeadcountAnswer)
        else HeadcountAnswer.HELP
    )
    (call,) = calls.build_callout_views([await x.queries.callout(id)], x.names, x._)
    fresh = "X-Vigie-Live" not in request.headers
    safety_answers = (
        await list_people_by_answer(request, queries, reader.principal, realm, id, headcount_answer)
        if fresh
        else []
    )
    return {
        **build_page_context(request, x),
        "call": call,
        "said": headcount_answer.value,
        "answers": safety_answers,
    }


PAGE: Final = WebPage(
    "answers",
    "/appels/{id}/reponses",
    "answers.html",
    build_answers_page,
    is_cached=False,
    past=False,  # it names people, and every reading is recorded
)
