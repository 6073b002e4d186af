"""Routes for the stimuli of an exercise and its evaluation: `/stimuli`, `/evaluation`. D94."""

from typing import Annotated, Any, Final

import orjson
from fastapi import Depends
from fastapi.responses import Response
from pydantic import AwareDatetime, Field

from schemas.crisis.stimuli import (
    BEST_MARK,
    STIMULUS_PATTERN,
    NoteStimulus,
    PlanStimulus,
    RestoreStimulus,
    SkipStimulus,
)
from services.console.facilitation.evaluation import hide_script
from services.console.facilitation.queries import BODY_FIELD, EXPECTED_FIELD, SOURCE_FIELD
from services.console.facilitation.resources import EvaluationSheet, Stimulus
from services.console.http.answers import (
    DecisionRouter,
    Subject,
    require_text,
    send_decision,
    send_text,
)
from services.console.http.context import (
    DecisionBody,
    DecisionContext,
    LogReader,
    PageRequest,
    require_decision,
)
from services.console.resources import Page
from services.runtime.http.problems import build_field_problem
from services.runtime.identity.permissions import Permission

router = DecisionRouter(prefix="/api/v1", tags=["realms"])
Organiser = Annotated[
    DecisionContext, Depends(require_decision(Permission.REALM_RUN, whole_territory=True))
]
STIMULUS = Subject(router, "/stimuli/{id}", "stimulus", Organiser)
Observer = Annotated[
    DecisionContext, Depends(require_decision(Permission.EXERCISE_OBSERVE, whole_territory=True))
]
MOST_BODY_BYTES: Final = 8_000
_NOT_SENT: Final = ("realm", "alias", "occurred_at", "recorded_at", "references")
"""Fields of a report that its play sets anew."""


class StimulusRequest(DecisionBody):
    """A stimulus to plan."""

    id: str = Field(pattern=STIMULUS_PATTERN, description="id of its report, such as E1")
    at: AwareDatetime
    title: str = Field(min_length=1, max_length=300)
    source: str | None = Field(default=None, max_length=64)
    expected: str | None = Field(default=None, max_length=600)
    body: dict[str, Any] | None = Field(
        default=None, description="report that tells it, as for `POST /api/v1/reports`"
    )


class ObserverNoteRequest(DecisionBody):
    """A note of an observer: a mark, words, or both."""

    mark: int | None = Field(default=None, ge=0, le=BEST_MARK)
    text: str | None = Field(default=None, max_length=2000)


@router.get(
    "/stimuli",
    summary="Stimuli of an exercise by time; organisers see all, others those played (D94)",
)
async def list_stimuli(reader: LogReader, part: PageRequest) -> Page[Stimulus]:
    stimuli = await reader.model.stimuli()
    return part.of(hide_script(stimuli, reader.principal))


@router.get(
    "/evaluation", summary="Evaluation sheet of an exercise: marks, reactions, participation (D94)"
)
async def get_evaluation(reader: LogReader) -> EvaluationSheet:
    return await reader.model.evaluation_sheet()


@router.decision("/stimuli", "Add a stimulus to an exercise, for organisers (D94)")
async def plan_stimulus(author: Organiser, body: StimulusRequest) -> Response:
    author = author.within(body)
    text_fields = {SOURCE_FIELD: body.source or "", EXPECTED_FIELD: body.expected or ""}
    if body.body is not None:
        text_fields[BODY_FIELD] = _dump_body(body.body)

    return await send_text(
        author,
        body,
        "alerts",
        PlanStimulus,
        require_text(body.title, "title").strip(),
        more_texts={k: v for k, v in text_fields.items() if v},
        stimulus=body.id,
    )


def _dump_body(body: dict[str, Any]) -> str:
    """Return a report as JSON. Raises ProblemError `invalid` if it is too long."""
    text = orjson.dumps({k: v for k, v in body.items() if k not in _NOT_SENT})
    if len(text) > MOST_BODY_BYTES:
        raise build_field_problem("body", "too_long", "trop long", "too long")
    return text.decode()


STIMULUS.forward(":skip", "Leave a stimulus out (D94)", SkipStimulus, versioned=True)
STIMULUS.forward(
    ":restore", "Plan a stimulus again that was left out (D94)", RestoreStimulus, versioned=True
)


@router.decision(
    "/stimuli/{id}:note", "Note how players reacted to a stimulus: a mark, words, or both (D94)"
)
async def note_stimulus(author: Observer, id: str, body: ObserverNoteRequest) -> Response:
    if body.text is None or not body.text.strip():
        return await send_decision(author, body, "alerts", NoteStimulus, stimulus=id)

    text = body.text.strip()
    return await send_text(author.within(body), body, "alerts", NoteStimulus, text, stimulus=id)
