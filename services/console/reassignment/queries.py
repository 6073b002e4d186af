"""Queries about proposals, their lines, and orders."""

from collections.abc import Sequence

from schemas import reassignment as g
from services.console import resources as r
from services.console.incidents.merging import match_incident
from services.console.read_model.query_base import UNLIMITED, QueryBase, get_known, page_by_id
from services.console.resources import Page

MAX_PARTS = 64
"""Most parts of a proposal; far more than a territory has cells."""


class ReassignmentQueries(QueryBase):
    async def proposals(
        self, *, state: Sequence[str] = (), incident: str | None = None
    ) -> list[r.Proposal]:
        """List proposals, newest first, without lines."""
        view = await self.read()
        rows = await view.picture.rows(g.ProposalRow)
        is_ours = await match_incident(view.picture, incident)
        matching_rows = [
            row
            for row in rows.values()
            if (not state or row.state in state) and is_ours(row.incident)
        ]
        return [
            view.shape.proposal(row)
            for row in sorted(matching_rows, key=lambda row: (-row.number, row.id))
        ]

    async def proposal(self, id: str) -> r.Proposal:
        """Return one proposal with all its lines in order. Raises NotFound."""
        view = await self.read()
        row = get_known(await view.picture.some(g.ProposalRow, [id]), id)
        parts = await view.picture.some(g.LinesRow, [f"{id}/{n}" for n in range(MAX_PARTS)])
        lines = [
            line
            for part in sorted(parts.values(), key=lambda part: part.part)
            for line in part.lines
        ]
        rows_by_line = (
            await view.picture.some(g.ReassignmentRow, [line.id for line in lines]) if lines else {}
        )
        shape = view.shape
        proposal_lines = [
            shape.reassignment(rows_by_line[line.id])
            if line.id in rows_by_line
            else shape.line_of_proposal(line, row)
            for line in lines
        ]
        return shape.proposal(row).model_copy(update={"lines": proposal_lines})

    async def reassignments(
        self,
        *,
        state: Sequence[str] = (),
        site: str | None = None,
        incident: str | None = None,
        with_text: bool = False,
        limit: int = UNLIMITED,
        cursor: str | None = None,
    ) -> Page[r.ReassignmentLine]:
        """List approved lines by id; `site` keeps those from, to or for a site.

        `with_text` adds the reasons of refusals.
        """
        view = await self.read()
        rows = await view.picture.rows(g.ReassignmentRow)
        is_ours = await match_incident(view.picture, incident)
        matching_lines = [
            view.shape.reassignment(row)
            for row in rows.values()
            if (not state or row.state in state)
            and (site is None or site in (row.site, row.place, row.need_site))
            and is_ours(row.incident)
        ]
        page = page_by_id(sorted(matching_lines, key=lambda line: line.id), limit, cursor)
        if not with_text:
            return page
        return page.model_copy(
            update={"items": [self._add_reason(line, rows[line.id]) for line in page.items]}
        )

    def _add_reason(self, line: r.ReassignmentLine, row: g.ReassignmentRow) -> r.ReassignmentLine:
        if row.reason is None:
            return line
        return line.model_copy(update={"reason": self.reason_of(row.reason)})

    async def orders(self, proposal: str) -> list[g.OrderRow]:
        """Return the orders to sites that the approvals of a proposal gave."""
        view = await self.read()
        return [
            row
            for row in (await view.picture.rows(g.OrderRow)).values()
            if row.proposal == proposal
        ]

    async def lines_of(self, proposal: str) -> list[g.ReassignmentRow]:
        """Return the approved lines of a proposal."""
        rows = (await (await self.read()).picture.rows(g.ReassignmentRow)).values()
        return [row for row in rows if row.proposal == proposal]

    async def reassignment(self, id: str) -> r.ReassignmentLine:
        """Return one approved line. Raises NotFound."""
        view = await self.read()
        return view.shape.reassignment(
            get_known(await view.picture.some(g.ReassignmentRow, [id]), id)
        )
