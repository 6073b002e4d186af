"""Compute the answer to a request for a proposal, from the log of continuity.

The same log gives the same answer, byte for byte: the solver's work is counted in its own steps,
never in seconds. The planner uses it for live realms and the conductor for simulated ones.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from schemas import reassignment as m
from schemas import reference as ref
from schemas.base import MINUTE_MS, Instant, Message
from services.continuity.evolve import evolve
from services.continuity.reassignment.model.explain import StaffGap
from services.continuity.reassignment.model.lexicographic import SolveChoice
from services.continuity.reassignment.model.moves import (
    DISPLACED,
    RELEASABLE,
    TELEWORK,
    LineKey,
    PreviousLine,
)
from services.continuity.reassignment.model.plan import ProposedLine, SolvedProposal, SolveOptions
from services.continuity.reassignment.model.plan import solve_situation_program as solve_situation
from services.continuity.reassignment.model.situation import (
    ModelSituation,
    SiteCapacityState,
    WorkHorizon,
)
from services.continuity.reassignment.model.solver import SolverFailed, SolverWork
from services.continuity.reassignment.model.tables import ReferenceTables, TablesInvalid
from services.continuity.reassignment.recalls import IdleAgents, count_idle_agents
from services.continuity.reassignment.site_conditions import PublishedTables, is_hit
from services.continuity.state import ContinuityState, find_decided_lines, list_proposal_lines
from services.runtime.log.transaction import Transaction

PROPOSAL_WORK: Final = SolverWork(nodes=200)
LINES_PER_PART: Final = 120
"""Lines and kept lines in one input, so that its Transaction stays under 256 KiB."""
SHOWN_GAPS: Final = 60
"""Entries in each list of gaps."""
SHOWN_SITES: Final = 3
FAILURE_CHARACTERS: Final = 500
"""Characters of the sentence that explains a failed computation."""
LARGE_SITE_FRACTION: Final = 5
"""A site with at least one in LARGE of all moved agents is shown by itself."""
_PROPOSAL_FACTS: Final = frozenset(
    ("ProposalRequested", "ProposalLinesRecorded", "ProposalChanged", "ReassignmentChanged")
)
_WITHOUT_EFFECT: Final = frozenset(("InputFailed", "InputRefused"))


@dataclass(frozen=True, slots=True, eq=False)
class ProposalJob:
    """One request with everything that its answer depends on."""

    realm: str
    request: m.ProposalRequested
    tables: tuple[ref.Sites, ref.Staffing]
    seen_lines: tuple[m.LineRow, ...]
    """Undecided lines of the proposal before."""
    reassignments: tuple[m.ReassignmentRow, ...]
    """Approved lines that are not over."""

    @property
    def id(self) -> str:
        return self.request.request


@dataclass(frozen=True, slots=True, eq=False)
class RealmCrisis:
    """Present of a realm: the situation of its last request, and its current approved lines."""

    request: m.ProposalRequested
    reassignments: tuple[m.ReassignmentRow, ...]
    over: bool

    @property
    def stamp(self) -> str:
        """Identity of the situation and the approved lines; steps of a line do not change it."""
        if self.over:
            return f"{self.request.request}:over"
        lines = "|".join(f"{row.id}:{row.count}" for row in self.reassignments)
        return f"{self.request.request}:{blake2b(lines.encode(), digest_size=6).hexdigest()}"

    def situation(self) -> ModelSituation:
        """Return the situation for the solver."""
        return _build_situation(self.request.situation)

    def list_approved_lines(self, tables: ReferenceTables) -> list[PreviousLine]:
        """Return the lines that hold agents and desks."""
        return _list_approved_lines(self.reassignments, tables)


@dataclass
class _ProposalRealm:
    state: ContinuityState
    publication: PublishedTables = field(default_factory=PublishedTables)
    parts: int = 0
    """Parts of the answer to the open request in the log."""
    failed_request: str = ""
    """Request with an answer that continuity could not apply.

    The answer is a dead letter, and the same answer would fail again.
    """


class Proposals:
    """Proposals of all realms in the log. No I/O, not thread-safe.

    `solve` is a function of the job and may run in a thread.
    """

    service: Final = "continuity"

    def __init__(self) -> None:
        self._realms: dict[str, _ProposalRealm] = {}

    def observe(self, transaction: Transaction) -> None:
        """Apply one accepted record of continuity's log, in log order per realm."""
        source = transaction.src
        if (
            source.type == m.ProposalComputed.wire_type()
            and (current_realm := self._realms.get(transaction.realm)) is not None
        ):
            request = current_realm.state.asked
            if request is not None and source.id == _build_part_id(
                request.request, current_realm.parts
            ):
                current_realm.parts += 1
                if any(fact.name in _WITHOUT_EFFECT for fact in transaction.facts):
                    current_realm.failed_request = request.request
        for fact in transaction.facts:
            if fact.name == "RealmClosed":
                self.forget(transaction.realm)
            elif fact.name in _PROPOSAL_FACTS:
                realm = self._realm(transaction)
                realm.state = evolve(realm.state, fact.message(), fact.at)
                realm.parts = 0 if fact.name == "ProposalRequested" else realm.parts
            elif fact.name == "ReferencePublished":
                self._realm(transaction).publication.apply_publication(fact.data)

    def forget(self, realm: str) -> None:
        """Forget a closed realm with its state and tables."""
        self._realms.pop(realm, None)

    def _realm(self, transaction: Transaction) -> _ProposalRealm:
        proposal_realm = self._realms.get(transaction.realm)
        if proposal_realm is None:
            proposal_realm = self._realms[transaction.realm] = _ProposalRealm(
                ContinuityState(transaction.realm, transaction.realm)
            )
        return proposal_realm

    @property
    def realms(self) -> list[str]:
        """Realms by name."""
        return sorted(self._realms)

    def jobs(self) -> Iterator[ProposalJob]:
        """Yield the open requests, by realm."""
        return (job for realm in self.realms if (job := self.job(realm)) is not None)

    def job(self, realm: str) -> ProposalJob | None:
        """Return the open request of a realm."""
        proposal_realm = self._realms.get(realm)
        if (
            proposal_realm is None
            or proposal_realm.state.answered
            or proposal_realm.state.asked is None
            or proposal_realm.failed_request == proposal_realm.state.asked.request
        ):
            return None
        tables = proposal_realm.publication.tables
        if tables is None:
            return None
        state, request = proposal_realm.state, proposal_realm.state.asked
        current = next(
            (row for row in state.proposals.values() if row.state is m.ProposalState.OPEN), None
        )
        earlier_lines: list[m.LineRow] = []
        if current is not None and not request.fresh:
            decided_ids = find_decided_lines(current)
            earlier_lines = [
                line
                for line in list_proposal_lines(state, current.id)
                if line.id not in decided_ids
            ]
        reassignments = sorted(state.moved.values(), key=lambda row: (row.approved_at, row.id))
        return ProposalJob(realm, request, tables, tuple(earlier_lines), tuple(reassignments))

    def crisis(self, realm: str) -> RealmCrisis | None:
        """Return the present of a realm; None if no proposal was ever requested."""
        proposal_realm = self._realms.get(realm)
        if proposal_realm is None or proposal_realm.state.asked is None:
            return None
        state, request = proposal_realm.state, proposal_realm.state.asked
        reassignments = tuple(
            sorted(state.moved.values(), key=lambda row: (row.approved_at, row.id))
        )
        has_lapsed = (
            row := state.proposals.get(request.request)
        ) is not None and row.state is m.ProposalState.LAPSED
        return RealmCrisis(
            request,
            reassignments,
            over=not reassignments and (has_lapsed or not is_hit(request.situation)),
        )

    def next_part(self, realm: str) -> int:
        """Return the first part of the answer that the log lacks."""
        return self._realms[realm].parts

    def solve(self, job: ProposalJob) -> Sequence[tuple[str, Message]]:
        """Compute the parts of the answer in order, each with its id."""
        return [(_build_part_id(job.id, n), part) for n, part in enumerate(_compute_parts(job))]


def _build_part_id(request: str, part: int) -> str:
    return f"proposal:{request}:{part}"


class _TablesCache:
    """Cache of tables by version, shared by all realms."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[tuple[ref.Sites, ref.Staffing], ReferenceTables]] = {}

    def of(self, reference: str, data: tuple[ref.Sites, ref.Staffing]) -> ReferenceTables:
        entry = self._made.get(reference)
        if entry is None or entry[0] != data:
            entry = data, ReferenceTables(data[0].sites, data[1])
            self._made = {**dict(list(self._made.items())[-3:]), reference: entry}
        return entry[1]


_TABLES: Final = _TablesCache()


def _compute_parts(job: ProposalJob) -> list[m.ProposalComputed]:
    """Compute the answer; an exception becomes a failed proposal.

    Otherwise the tables of one realm would stop the planner for all.
    """
    try:
        tables = _TABLES.of(job.request.reference, job.tables)
        situation = _build_situation(job.request.situation)
        prefer = (
            None if job.request.preference is m.Preference.BEST else job.request.preference.value
        )
        previous = [
            *_list_approved_lines(job.reassignments, tables),
            *(
                PreviousLine(build_line_key(line), line.count, is_approved=False)
                for line in job.seen_lines
            ),
        ]
        proposal = solve_situation(
            tables,
            situation,
            previous,
            SolveOptions(
                SolveChoice(prefer=prefer, uses_rounding=True, solidarity=True, work=PROPOSAL_WORK)
            ),
        )
        kept_rows = list(_iterate_kept_rows(job, proposal, situation))
        new = _select_new_lines(proposal, tables)
        agents = count_idle_agents(
            tables,
            situation,
            job.reassignments,
            kept_rows,
            [(line.key, line.count - line.approved_count) for line in new],
        )
        lines = [
            _build_line(f"{job.id}-{n}", line, of)
            for n, (line, of) in enumerate(zip(new, agents, strict=True))
        ]
        row = _fill_row(_build_row(job, m.ProposalState.OPEN), job, proposal, lines, tables)
    except (TablesInvalid, SolverFailed) as error:
        return _build_failure(job, str(error))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  it is recorded with the proposal, and people read it
        return _build_failure(job, f"{type(error).__name__}: {error}")
    return _cut_parts(job, lines, kept_rows, row)


def _build_failure(job: ProposalJob, why: str) -> list[m.ProposalComputed]:
    row = _build_row(job, m.ProposalState.FAILED).model_copy(
        update={"failure": why[:FAILURE_CHARACTERS]}
    )
    return [m.ProposalComputed(request=job.id, part=0, parts=1, row=row)]


def _build_situation(situation: m.Situation) -> ModelSituation:
    def left_min(end: Instant | None) -> int | None:
        return None if end is None or situation.at is None else (end - situation.at) // MINUTE_MS

    sites = {
        c.site: SiteCapacityState(
            c.staff_pct,
            c.seat_pct,
            c.host_ok,
            is_confined=c.confinement is not None,
            admits=not c.ordered,
            left_min=left_min(c.ends_at),
        )
        for c in situation.sites
    }
    opens = {
        activity: minutes
        for activity, at in situation.opens.items()
        if (minutes := left_min(at)) is not None
    }
    return ModelSituation(
        sites,
        situation.elapsed_h,
        situation.transit,
        situation.telework,
        WorkHorizon(opens, situation.setup_min, situation.home_min),
        frozenset((one.site, one.activity, one.metier, one.place) for one in situation.refused),
    )


def build_line_key(line: m.LineRow) -> LineKey:
    """Return the key that identifies a line."""
    supply = DISPLACED if line.supply == "displaced" else RELEASABLE
    return LineKey(
        line.site,
        line.activity,
        line.metier,
        supply,
        line.need_site,
        line.need_activity,
        line.need_metier,
        line.place,
    )


def _list_approved_lines(
    reassignments: Iterable[m.ReassignmentRow], tables: ReferenceTables
) -> list[PreviousLine]:
    """Merge approved rows into one line per key; rows of a dropped site are void anyway."""
    counts: dict[LineKey, int] = {}
    for row in reassignments:
        if row.site in tables.site_index:
            counts[build_line_key(row)] = counts.get(build_line_key(row), 0) + row.count
    return [PreviousLine(key, count, is_approved=True) for key, count in counts.items()]


def _select_new_lines(proposal: SolvedProposal, tables: ReferenceTables) -> list[ProposedLine]:
    """Select lines with newly reassigned agents, the most critical work first.

    Among equals, work for more vulnerable people comes first (D82).
    """
    new = [line for line in proposal.lines if line.count > line.approved_count]

    def order(line: ProposedLine) -> tuple[object, ...]:
        key = line.key
        dependent = tables.vulnerable_public(_find_worked_cell(key, tables))
        return (
            key.own_work,
            line.criticality,
            -dependent,
            key.need_activity or key.activity,
            key.fields(),
        )

    return sorted(new, key=order)


def _find_worked_cell(key: LineKey, tables: ReferenceTables) -> int:
    """Return the cell with the work that a line does."""
    own = (key.site, key.activity, key.metier)
    return tables.cell_index[
        own if key.own_work else (key.need_site, key.need_activity, key.need_metier)
    ]


def _build_line(id: str, line: ProposedLine, idle_agents: IdleAgents) -> m.LineRow:
    key = line.key
    return m.LineRow(
        id=id,
        site=key.site,
        activity=key.activity,
        metier=key.metier,
        supply="displaced" if key.supply == DISPLACED else "releasable",
        need_site=key.need_site,
        need_activity=key.need_activity,
        need_metier=key.need_metier,
        place=key.place,
        count=line.count - line.approved_count,
        criticality=line.criticality,
        tenths=line.tenths,
        minutes=line.minutes,
        grams=line.grams,
        why=tuple(m.Reason(code=r.code, values=dict(r.values)) for r in line.why),
        recalled=idle_agents.recalled_count,
        held=idle_agents.held_count,
    )


def _iterate_kept_rows(
    job: ProposalJob, proposal: SolvedProposal, situation: ModelSituation
) -> Iterator[m.KeptRow]:
    """Yield approved lines that now need another number; of equal keys, earlier lines stay."""
    remaining = {kept_line.key: kept_line.count for kept_line in proposal.kept_lines}
    for row in job.reassignments:
        key = build_line_key(row)
        needed_count = min(row.count, remaining.get(key, 0))
        remaining[key] = remaining.get(key, 0) - needed_count
        if any(situation.of(site).is_confined for site in (row.site, row.need_site)):
            # No agents return to a site that shelters or counts its people.
            needed_count = row.needed
        void = not needed_count and _is_place_lost(row, situation)
        if void or needed_count != row.needed:
            yield m.KeptRow(line=row.id, needed=needed_count, void=void)


def _is_place_lost(row: m.ReassignmentRow, situation: ModelSituation) -> bool:
    """Check whether the agents can no longer work at the place of their line."""
    if row.place == TELEWORK:
        return not situation.telework
    return situation.of(row.place).seat_pct < 100 and row.place != row.site


def _cut_parts(
    job: ProposalJob, lines: list[m.LineRow], approved_lines: list[m.KeptRow], row: m.ProposalRow
) -> list[m.ProposalComputed]:
    """Cut the answer into parts of at most AT_ONCE lines, then of kept lines.

    Each part but the last of its kind is full; only an empty answer has an empty part.
    """
    cuts: list[tuple[tuple[m.LineRow, ...], tuple[m.KeptRow, ...]]] = []
    cuts += [
        (tuple(lines[n : n + LINES_PER_PART]), ()) for n in range(0, len(lines), LINES_PER_PART)
    ]
    cuts += [
        ((), tuple(approved_lines[n : n + LINES_PER_PART]))
        for n in range(0, len(approved_lines), LINES_PER_PART)
    ]
    cuts = cuts or [((), ())]
    return [
        m.ProposalComputed(
            request=job.id,
            part=n,
            parts=len(cuts),
            lines=some,
            kept=kept_rows,
            row=row if n == len(cuts) - 1 else None,
        )
        for n, (some, kept_rows) in enumerate(cuts)
    ]


def _build_row(job: ProposalJob, state: m.ProposalState) -> m.ProposalRow:
    request = job.request
    hit = sum(c.seat_pct < 100 or c.staff_pct < 100 for c in request.situation.sites)
    return m.ProposalRow(
        id=request.request,
        number=request.number,
        state=state,
        reference=request.reference,
        preference=request.preference,
        incident=request.incident,
        requested_at=0,
        computed_at=0,
        sites_hit=hit,
        elapsed_h=request.situation.elapsed_h,
        transit=request.situation.transit,
        telework=request.situation.telework,
    )


def _fill_row(
    row: m.ProposalRow,
    job: ProposalJob,
    proposal: SolvedProposal,
    lines: list[m.LineRow],
    tables: ReferenceTables,
) -> m.ProposalRow:
    unmet, idle, suspended_gaps = (
        _merge_gaps(gaps) for gaps in (proposal.unmet, proposal.idle, proposal.staff_gaps)
    )
    before = sum(r.count for r in job.reassignments)
    stay = sum(k.count for k in proposal.kept_lines)
    return row.model_copy(
        update={
            "objective": {
                **proposal.objective,
                m.TRAVEL_MINUTES_KEY: sum(line.count * line.minutes for line in proposal.lines),
            },
            "open_level": proposal.open_level,
            "bound": proposal.best_bound,
            "demand": proposal.demand,
            "unmet_agents": sum(g.count for g in proposal.unmet),
            "displaced": proposal.displaced_count,
            "own_work": sum(line.count for line in proposal.lines if line.key.own_work),
            "idle_agents": sum(g.count for g in proposal.idle),
            "suspended_agents": sum(g.count for g in proposal.staff_gaps),
            "travelling": sum(
                line.count for line in lines if line.place not in (TELEWORK, line.site)
            ),
            "lines": len(lines),
            "agents": sum(line.count for line in lines),
            "kept": stay,
            "changed": max(before - stay, 0),
            "unmet": unmet[:SHOWN_GAPS],
            "idle": idle[:SHOWN_GAPS],
            "suspended": suspended_gaps[:SHOWN_GAPS],
            "flow": _sum_flow(proposal, tables),
            "not_shown": sum(
                max(len(gaps_of_kind) - SHOWN_GAPS, 0)
                for gaps_of_kind in (unmet, idle, suspended_gaps)
            ),
        }
    )


def _sum_flow(proposal: SolvedProposal, tables: ReferenceTables) -> tuple[m.FlowRow, ...]:
    """Sum the movements by kind of site; a site with a large share counts for itself."""
    moves = [
        (line.key.site, line.key.place, "own" if line.key.own_work else "help", line.count)
        for line in proposal.lines
    ]
    moves += [(gap.site, "idle", "idle", gap.count) for gap in proposal.idle]
    leaving: dict[str, int] = {}
    for site, _, _, count in moves:
        leaving[site] = leaving.get(site, 0) + count
    large = {
        site
        for site, count in leaving.items()
        if count * LARGE_SITE_FRACTION >= sum(leaving.values())
    }

    def kind(site: str) -> str:
        return tables.sites[tables.site_index[site]].kind if site in tables.site_index else site

    flows: dict[tuple[str, str, str], int] = {}
    for site, place, work, count in moves:
        key = (site if site in large else kind(site), kind(place), work)
        flows[key] = flows.get(key, 0) + count
    return tuple(
        m.FlowRow.model_validate({"source": source, "target": target, "work": work, "count": count})
        for (source, target, work), count in sorted(flows.items())
    )


def _merge_gaps(gaps: Iterable[StaffGap]) -> tuple[m.NotPossible, ...]:
    """Merge gaps with the same activity, métier and reasons, the largest first."""
    groups: dict[tuple[str, str, str, tuple[str, ...]], list[StaffGap]] = {}
    for gap in gaps:
        groups.setdefault(
            (gap.activity, gap.metier, gap.missing, tuple(r.code for r in gap.why)), []
        ).append(gap)
    rows = [
        m.NotPossible(
            activity=activity,
            metier=metier,
            sites=tuple(g.site for g in same[:SHOWN_SITES]),
            sites_more=max(len(same) - SHOWN_SITES, 0),
            count=sum(g.count for g in same),
            missing="people" if missing == "people" else "seats",
            why=tuple(m.Reason(code=r.code, values=dict(r.values)) for r in same[0].why),
        )
        for (activity, metier, missing, _), same in groups.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.count, row.activity, row.metier)))
