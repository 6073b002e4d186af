"""Queries about tasks, notifications, escalations, call-outs, and the hold on sending.

A notification is shown with its texts as delivery sends them, or would send them. Rule D70, message
content. The link is masked, so that readers cannot answer for the person. The mask has the length of a real
link, so that texts are shortened in the same way.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from schemas import alerts as a
from schemas import calling
from schemas import callouts as o
from schemas import delivery as d
from schemas.base import Instant
from schemas.delivery import NotificationRow
from schemas.words import TaskState
from services.console import resources as r
from services.console.incidents.merging import match_incident
from services.console.read_model.query_base import (
    UNLIMITED,
    OpenedRealm,
    QueryBase,
    get_snapshot_time,
)
from services.console.resources import Page, Texts
from services.messages import MessageNames, compose_message, load_phrases
from services.messages.names import find_territory_name
from services.runtime.http.pagination import paginate
from services.runtime.identity.signed_links import compute_token_length

_MASK_CHARACTER = "x"
INSTRUCTION: Final = "instruction"
"""Kind of the task with which a site confirms an instruction (D99)."""


@dataclass(frozen=True, slots=True)
class Wording:
    """Settings for texts in a list: the public address, and the right to read free text."""

    public_url: str
    free_texts: bool


def compose_texts(
    row: NotificationRow,
    realm: str,
    names: MessageNames,
    lang: str,
    public_url: str,
    cell_text: str | None,
) -> Texts:
    """Compose the texts of one notification; `cell_text` is the free text of the cell."""
    here = replace(names, territory=find_territory_name(realm))
    link = (
        f"{public_url}/a/{_MASK_CHARACTER * compute_token_length(realm, row.person)}"
        if row.answer_expected
        else None
    )
    text = compose_message(row, here, load_phrases(lang), link, cell_text, public_url=public_url)
    return Texts(
        sms=text.sms,
        voice=text.voice,
        push=f"{text.push_title}\n{text.push}",
        email_subject=text.subject,
        email_body=text.plain(),
    )


def is_overdue(task: a.TaskRow, at: Instant) -> bool:
    """Return True if the task is open past its due time."""
    return (
        task.state in (TaskState.OPEN, TaskState.TAKEN)
        and task.due_at is not None
        and task.due_at < at
    )


class MessageQueries(QueryBase):
    """Queries about calls to people and their tasks."""

    async def tasks(
        self,
        *,
        state: Sequence[str] = (),
        kind: str | None = None,
        incident: str | None = None,
        site: str | None = None,
        overdue: bool | None = None,
        limit: int = UNLIMITED,
        cursor: str | None = None,
    ) -> Page[r.Task]:
        """List tasks, newest first."""
        view = await self.read()
        rows = await view.picture.rows(a.TaskRow)
        at = get_snapshot_time(view.picture)
        is_ours = await match_incident(view.picture, incident)
        matching_tasks = [
            t
            for t in rows.values()
            if (not state or t.state in state)
            and (kind is None or t.kind == kind)
            and is_ours(t.incident)
            and (site is None or t.site == site)
            and (overdue is None or is_overdue(t, at) == overdue)
        ]
        page_tasks, following = paginate(
            matching_tasks, lambda t: (-t.opened_at, t.id), limit, cursor
        )
        return Page(items=[view.shape.task(t) for t in page_tasks], next=following)

    async def task(self, id: str) -> r.Task:
        """Return one task. Raises NotFound."""
        view = await self.read()
        row = await view.picture.require(a.TaskRow, id)
        return view.shape.task(row)

    async def instructions(
        self, sites: Collection[str], *, texts: bool, limit: int = UNLIMITED
    ) -> list[r.Instruction]:
        """Return the instructions to these sites, the newest first. `texts`: with their words."""
        view = await self.read()
        rows = await view.picture.rows(a.TaskRow)
        mine = [t for t in rows.values() if t.kind == INSTRUCTION and t.site in sites]
        newest = sorted(mine, key=lambda t: (-t.opened_at, t.id))[:limit]
        return [
            view.shape.instruction(t, self.words_of(t.text_id or "") if texts else None)
            for t in newest
        ]

    async def notifications(
        self,
        *,
        state: Sequence[str] = (),
        incident: str | None = None,
        escalation: str | None = None,
        role: str | None = None,
        person: str | None = None,
        campaign: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        wording: Wording | None = None,
    ) -> Page[r.Notification]:
        """List notifications, newest first; `wording` adds their texts."""
        view = await self.read()
        rows = await view.picture.rows(d.NotificationRow)
        is_ours = await match_incident(view.picture, incident)
        matching_rows = [
            n
            for n in rows.values()
            if (not state or n.state in state)
            and is_ours(n.incident)
            and (escalation is None or n.escalation == escalation)
            and (role is None or n.role == role)
            and (person is None or n.person == person)
            and (campaign is None or n.campaign == campaign)
        ]
        page_rows, following = paginate(
            matching_rows, lambda n: (-n.planned_at, n.id), limit, cursor
        )
        items = [
            view.shape.notification(n, self._texts_of(n, view, self._lang, wording))
            for n in page_rows
        ]
        return Page(items=items, next=following)

    def _texts_of(
        self, row: d.NotificationRow, view: OpenedRealm, lang: str, wording: Wording | None
    ) -> r.Texts | None:
        """Return the texts of a notification, or None.

        The texts are None if nobody asked for them, or that they contain words that the reader may
        not read.
        """
        if wording is None:
            return None
        text_id = row.values.get("text")
        if text_id is not None and not wording.free_texts:
            return None
        text = None if text_id is None else self.words_of(str(text_id))
        return compose_texts(
            row,
            view.shape.realm,
            view.shape.reference.message_names,
            lang,
            wording.public_url,
            text,
        )

    async def notification(self, id: str, *, wording: Wording | None = None) -> r.Notification:
        """Return one notification with its attempts; `wording` adds its texts."""
        view = await self.read()
        row = await view.picture.require(d.NotificationRow, id)
        return view.shape.notification(row, self._texts_of(row, view, self._lang, wording))

    async def escalations(
        self,
        *,
        state: Sequence[str] = (),
        incident: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[r.Escalation]:
        """List escalations, newest first."""
        view = await self.read()
        rows = await view.picture.rows(calling.EscalationRow)
        matching_escalations = [
            e
            for e in rows.values()
            if (not state or e.state in state)
            and (incident is None or e.scope == incident or incident in e.incidents)
        ]
        page_escalations, following = paginate(
            matching_escalations, lambda e: (-e.started_at, e.id), limit, cursor
        )
        return Page(items=[view.shape.escalation(e) for e in page_escalations], next=following)

    async def escalation(self, id: str) -> r.Escalation:
        """Return one escalation with its steps."""
        view = await self.read()
        row = await view.picture.require(calling.EscalationRow, id)
        return view.shape.escalation(row)

    async def callouts(
        self,
        *,
        kind: str | None = "callout",
        texts: bool = False,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[r.CallOut]:
        """List call-outs or headcounts (both if `kind` is None), newest first.

        `texts` says that the reader may read free text.
        """
        view = await self.read()
        rows = await view.picture.rows(o.CallOutRow)
        page_callouts, following = paginate(
            [c for c in rows.values() if kind in (None, c.kind)],
            lambda c: (-c.drafted_at, c.id),
            limit,
            cursor,
        )
        return Page(
            items=[
                view.shape.callout(c, self.words_of(c.text_id) if texts else None)
                for c in page_callouts
            ],
            next=following,
        )

    async def callout(self, id: str, *, texts: bool = False) -> r.CallOut:
        """Return one call-out with its cost and progress; `texts` adds its free text."""
        view = await self.read()
        row = await view.picture.require(o.CallOutRow, id)
        return view.shape.callout(row, self.words_of(row.text_id) if texts else None)

    async def hold(self, *, texts: bool = False) -> r.Hold:
        """Return the hold on sending; `texts` adds its reason."""
        view = await self.read()
        row = await view.picture.row(d.HoldRow, "sending")
        return view.shape.hold(
            row, self.reason_of(row.reason) if texts and row is not None else None
        )
