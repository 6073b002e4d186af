"""Page `/appels/{id}/reponses`: the people with one answer of a headcount."""

from typing import Any, Final

from schemas.callouts import HeadcountAnswer
from services.console.messages import page as calls
from services.console.messages.headcounts_api import list_people_by_answer
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.identity.permissions import Permission


async def build_answers_page(x: ScreenData, id: str) -> dict[str, Any]:
    """Build `answers.html`: the people with one answer of a headcount. The reading is recorded.

    A page that refreshes itself does not show the names again, so it does not read them again.
    Raises NotFound.
    """
    reader = x.shell.reader
    realm = x.shell.realm.name
    answer_code = x.request.query_params.get("dit", "")
    headcount_answer = (
        HeadcountAnswer(answer_code)
        if answer_code in tuple(HeadcountAnswer)
        else HeadcountAnswer.HELP
    )
    (call,) = calls.build_callout_views([await x.queries.callout(id)], x.names, x._)
    fresh = "X-Vigie-Live" not in x.request.headers
    safety_answers = (
        await list_people_by_answer(
            x.request, x.queries, reader.principal, realm, id, headcount_answer
        )
        if fresh
        else []
    )
    return {"call": call, "said": headcount_answer.value, "answers": safety_answers}


PAGE: Final = ScreenPage(
    "answers",
    "/appels/{id}/reponses",
    "answers.html",
    build_answers_page,
    is_cached=False,
    past=False,  # it names people, and every reading is recorded
    needs=Permission.DIRECTORY_READ,
    under="calls",
)
