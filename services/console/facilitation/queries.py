"""Read the stimuli of an exercise and its evaluation sheet. Rule D94."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from schemas import alerts as a
from schemas import continuity as c
from schemas.base import Instant
from schemas.crisis.stimuli import StimulusRow
from schemas.delivery import NotificationRow
from services.console.communication.queries import get_text
from services.console.facilitation import evaluation as e
from services.console.facilitation import resources as r
from services.console.i18n import get_translator
from services.console.read_model.query_base import QueryBase, get_snapshot_time
from services.console.resource_base import to_datetime
from services.console.texts import words as w
from services.runtime.secrets.vault import TextItem, get_field

SOURCE_FIELD: Final = "source"
EXPECTED_FIELD: Final = "expected"
BODY_FIELD: Final = "body"
NO_PLAY: Final = e.NOT_PLAYED


class FacilitationQueries(QueryBase):
    """Queries about the stimuli of an exercise."""

    async def stimuli(self) -> list[r.Stimulus]:
        """Return the stimuli with their words, by planned time."""
        view = await self.read()
        rows = await view.picture.rows(StimulusRow)
        if not rows:
            return []
        reports = (await view.picture.rows(a.ReportRow)).values()
        messages = (await view.picture.rows(NotificationRow)).values()
        plays = e.find_played(reports, messages, rows)
        now = get_snapshot_time(view.picture)
        ordered_rows = sorted(rows.values(), key=lambda row: (row.at, row.id))
        ids = {row.text_id for row in ordered_rows}
        ids |= {note.text_id for row in ordered_rows for note in row.notes if note.text_id}
        texts = self._texts.get_many(sorted(ids)) if self._texts is not None else {}
        return [
            build_stimulus(row, self._realm, texts, plays.get(row.id, NO_PLAY), now, self._lang)
            for row in ordered_rows
        ]

    async def evaluation_sheet(self) -> r.EvaluationSheet:
        """Return the evaluation of an exercise, from its log."""
        view = await self.read()
        stimuli = await self.stimuli()
        plans = list((await view.picture.rows(c.PlanRow)).values())
        site_cards = list((await view.picture.rows(c.SiteCardRow)).values())
        messages = list((await view.picture.rows(NotificationRow)).values())
        names, _ = view.picture.reference.names, get_translator(self._lang)
        marks = [one.mark for one in stimuli if one.mark is not None]
        return r.EvaluationSheet(
            realm=self._realm,
            at=to_datetime(get_snapshot_time(view.picture)),
            stimuli=len(stimuli),
            played=sum(one.state is r.StimulusState.PLAYED for one in stimuli),
            skipped=sum(one.state is r.StimulusState.SKIPPED for one in stimuli),
            noted=sum(bool(one.notes) for one in stimuli),
            mark=round(sum(marks) / len(marks), 1) if marks else None,
            roles=[
                r.RoleParticipation(
                    role=one.role,
                    name=w.name_role(one.role, None, names, _),
                    called=one.called,
                    answered=one.answered,
                    decided=one.decided,
                    cards=one.cards,
                    first_action_min=one.first_action_min,
                    credit=one.credit,
                )
                for one in e.list_participation(plans, site_cards, messages)
            ],
        )


def build_stimulus(
    row: StimulusRow,
    realm: str,
    texts: Mapping[str, TextItem],
    play: e.PlayedStimulus,
    now: Instant,
    lang: str,
) -> r.Stimulus:
    """Build a stimulus; without its texts it is that of the live stream."""
    item = texts.get(row.text_id)
    return r.Stimulus(
        id=row.id,
        realm=realm,
        state=e.judge_state(row, play, now),
        at=to_datetime(row.at),
        title=get_text(item, lang),
        source=get_field(item, SOURCE_FIELD),
        expected=get_field(item, EXPECTED_FIELD),
        played_at=[to_datetime(at) for at in play.at],
        reacted_min=play.reacted_min,
        mark=e.average_marks(row),
        notes=[
            r.ObserverNote(
                by=note.by,
                role=note.role,
                at=to_datetime(note.at),
                mark=note.mark,
                text=get_text(texts.get(note.text_id or ""), lang),
            )
            for note in row.notes
        ],
        body=_read_body(item, row.id, len(play.at), now),
        version=row.version,
    )


def build_live_stimulus(row: StimulusRow, realm: str, now: Instant | None, lang: str) -> r.Stimulus:
    """Build a stimulus for the live stream: without words and plays."""
    return build_stimulus(row, realm, {}, NO_PLAY, row.changed_at if now is None else now, lang)


def _read_body(item: TextItem | None, id: str, plays: int, now: Instant) -> dict[str, Any] | None:
    """Return the report of a stimulus as it is sent now, under the alias of its next play."""
    text = get_field(item, BODY_FIELD)
    if text is None:
        return None
    body: dict[str, Any] = orjson.loads(text)
    alias = id if not plays else f"{id}{e.REPEAT_SIGN}{plays + 1}"
    return body | {"alias": alias, "occurred_at": to_datetime(now).isoformat()}
