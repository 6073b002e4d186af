"""Choose the next ranking to compute for each live realm, from the log of continuity.

From a quiet day, contingency is ranked once per reference version. In a crisis, it is ranked again
whenever the situation or the approved lines change. A ranking in the log is never computed again,
so a planner that was killed continues with the next one.
"""

from collections.abc import Collection, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import BaseModel

from schemas.crisis.contingency import (
    ContingencyChanged,
    ContingencyComputed,
    ContingencyRow,
    GainRow,
    GapRow,
    LossRow,
    PresentRow,
)
from schemas.reference import Sites, Staffing
from schemas.topics import is_live
from services.continuity.contingency.current_crisis import CrisisContingency
from services.continuity.contingency.ranking import (
    ContingencyRanking,
    LossKind,
    SiteLoss,
    count_losses,
    select_worst,
)
from services.continuity.contingency.sensitivity import (
    GainBaseline,
    ResourceGain,
    iterate_gains,
    select_gains,
)
from services.continuity.reassignment.model.tables import ReferenceTables
from services.continuity.reassignment.proposals import Proposals, RealmCrisis
from services.continuity.reassignment.site_conditions import PublishedTables
from services.runtime.log.transaction import Transaction

SHOWN_LOSSES: Final = 10
SHOWN_GAPS: Final = 12
SHOWN_GAINS: Final = 10


@dataclass(frozen=True, slots=True)
class RankingJob:
    """One ranking of a realm for one reference version, or (`gains`) its gains.

    `stamp` names the crisis that it starts from; empty: a quiet day.
    """

    realm: str
    reference: str
    n: Literal[1, 2]
    loss_kind: LossKind
    stamp: str = ""
    gains: bool = False

    @property
    def id(self) -> str:
        """Id of the row."""
        return f"{'now-' if self.stamp else ''}n{self.n}-{self.loss_kind.value}"

    @property
    def input_id(self) -> str:
        """Input id, the same for every planner, so that a second answer is a duplicate."""
        return f"contingency:{self.realm}:{self.reference}:{self.id}{f':{self.stamp}' if self.stamp else ''}{':gains' if self.gains else ''}"


_RANKINGS: Final[tuple[tuple[Literal[1, 2], LossKind, bool], ...]] = (
    (1, LossKind.PEOPLE, False),
    (1, LossKind.BUILDING, False),
    (1, LossKind.PEOPLE, True),
    (1, LossKind.BUILDING, True),
    (2, LossKind.PEOPLE, False),
    (2, LossKind.BUILDING, False),
)
"""Rankings in order: the quick and important ones first.

There are too many pairs to solve again, so they have no gains.
"""
Ranking = ContingencyRanking | CrisisContingency


@dataclass
class _RankedRealm:
    publication: PublishedTables = field(default_factory=PublishedTables)
    rows: dict[str, ContingencyRow] = field(default_factory=dict)
    """Rows by id."""

    def has_ranking(self, job: RankingJob) -> bool:
        """Check whether the log holds the ranking of a job, with or without gains."""
        row = self.rows.get(job.id)
        return row is not None and (row.reference, _get_stamp(row)) == (job.reference, job.stamp)

    def lacks(self, job: RankingJob) -> bool:
        """Check whether the log lacks the result of a job but holds its starting point."""
        if job.gains:
            return self.has_ranking(job) and self.rows[job.id].gains is None
        return not self.has_ranking(job)


def _get_stamp(row: ContingencyRow) -> str:
    return row.present.stamp if row.present is not None else ""


class ContingencyPlanner:
    """Rankings of all live realms. No I/O, not thread-safe.

    `Proposals` must see each record first, because it knows the crises.
    """

    def __init__(self, proposals: Proposals) -> None:
        self._proposals = proposals
        self._realms: dict[str, _RankedRealm] = {}

    def observe(self, transaction: Transaction) -> None:
        """Apply one accepted record of continuity's log, in log order per realm."""
        if not is_live(transaction.realm):
            return
        realm = self._realms.setdefault(transaction.realm, _RankedRealm())
        for fact in transaction.facts:
            if fact.name == "ReferencePublished":
                realm.publication.apply_publication(fact.data)
            elif fact.name == "ContingencyChanged":
                row = ContingencyChanged.model_validate(fact.data).row
                realm.rows[row.id] = row

    def next_job(
        self, without: Collection[RankingJob] = (), *, crises: bool = True
    ) -> RankingJob | None:
        """Return the quickest missing ranking, those of a crisis first; realms by name.

        `crises=False` leaves the crises out.
        """
        for n, loss_kind, more in _RANKINGS if crises else ():
            for name in sorted(self._realms):
                if (stamp := self._stamp(name)) and (
                    job := self._lacking(
                        RankingJob(name, self._reference(name), n, loss_kind, stamp, more), without
                    )
                ):
                    return job
        for n, loss_kind, more in _RANKINGS:
            for name in sorted(self._realms):
                if job := self._lacking(
                    RankingJob(name, self._reference(name), n, loss_kind, gains=more), without
                ):
                    return job
        return None

    def _lacking(self, job: RankingJob, without: Collection[RankingJob]) -> RankingJob | None:
        realm = self._realms[job.realm]
        return (
            job
            if realm.publication.tables is not None and realm.lacks(job) and job not in without
            else None
        )

    def _reference(self, realm: str) -> str:
        return self._realms[realm].publication.reference

    def _crisis(self, realm: str) -> RealmCrisis | None:
        """Return the crisis of a realm; None if it was over before it was ever ranked."""
        crisis = self._proposals.crisis(realm)
        if crisis is None or (
            crisis.over and not any(map(_get_stamp, self._realms[realm].rows.values()))
        ):
            return None
        return crisis

    def _stamp(self, realm: str) -> str:
        crisis = self._crisis(realm)
        return crisis.stamp if crisis is not None else ""

    def is_wanted(self, job: RankingJob) -> bool:
        """Check whether the result of a job is still wanted.

        It is not once another version is in force, the crisis is over, or the answer is in the log.
        A ranking of a crisis that moved on is finished all the same: otherwise a crisis that never
        rests would never be ranked.
        """
        realm = self._realms[job.realm]
        if realm.publication.reference != job.reference or not realm.lacks(job):
            return False
        crisis = self._crisis(job.realm) if job.stamp else None
        return crisis is None or not crisis.over or crisis.stamp == job.stamp

    def task(self, job: RankingJob) -> "RankingTask":
        """Return all that the computation of a job needs, as the log has it now."""
        realm = self._realms[job.realm]
        data = realm.publication.tables
        assert data is not None, "a job is of a realm whose tables are known"
        crisis = self._crisis(job.realm) if job.stamp else None
        return RankingTask(
            job=job,
            sites=data[0],
            staffing=data[1],
            crisis=crisis,
            row=realm.rows[job.id] if job.gains else None,
        )


class RankingTask(BaseModel):
    """All that the computation of a job needs: tables, the crisis, and the row for its gains."""

    job: RankingJob
    sites: Sites
    staffing: Staffing
    crisis: RealmCrisis | None
    row: ContingencyRow | None

    def ranking(self) -> Ranking:
        """Build the ranking. Raise TablesInvalid."""
        tables, crisis = self._build_tables(), self.crisis
        if crisis is None:
            return ContingencyRanking(tables, self.job.loss_kind)
        return CrisisContingency(
            tables, self.job.loss_kind, crisis.situation(), crisis.list_approved_lines(tables)
        )

    def start(self) -> GainBaseline:
        """Return the starting point for gains. Raise TablesInvalid."""
        sites, crisis = self.sites.sites, self.crisis
        if crisis is None:
            return GainBaseline(sites, self.staffing, self.job.loss_kind)
        return GainBaseline(
            sites,
            self.staffing,
            self.job.loss_kind,
            crisis.situation(),
            crisis.list_approved_lines(self._build_tables()),
        )

    def present(self) -> PresentRow | None:
        """Describe the crisis for its row; None on a quiet day."""
        crisis = self.crisis
        if crisis is None:
            return None
        hit = sum(c.seat_pct < 100 or c.staff_pct < 100 for c in crisis.request.situation.sites)
        return PresentRow(
            stamp=self.job.stamp,
            number=crisis.request.number,
            sites_hit=0 if crisis.over else hit,
            held=sum(row.count for row in crisis.reassignments),
            elapsed_h=crisis.request.situation.elapsed_h,
            u1=0,
            u2=0,
            u3=0,
        )

    def _build_tables(self) -> ReferenceTables:
        return ReferenceTables(self.sites.sites, self.staffing)


def compute_in_steps(task: RankingTask) -> Generator[None, None, ContingencyComputed]:
    """Compute the answer to a job, and pause after each loss or gain. Raise TablesInvalid."""
    if task.row is not None:
        gains = []
        for gain in iterate_row_gains(task.start(), task.row):
            gains.append(gain)
            yield
        return build_gains_answer(task.row, gains)
    ranking, present, losses = task.ranking(), task.present(), []
    for loss in iterate_losses(ranking, task.job, present):
        losses.append(loss)
        yield
    return build_ranking_answer(ranking, task.job, losses, present)


def iterate_losses(
    ranking: Ranking, job: RankingJob, present: PresentRow | None = None
) -> Iterator[SiteLoss]:
    """Yield one loss after another, so that the caller can stop; a crisis that is over has none."""
    if present is not None and not present.sites_hit and not present.held:
        return iter(())
    return ranking.each() if job.n == 1 else ranking.pairs()


def iterate_row_gains(start: GainBaseline, row: ContingencyRow) -> Iterator[ResourceGain]:
    """Yield the gains over the gravest losses of a ranking; none once its crisis is over."""
    over = row.present is not None and not row.present.sites_hit and not row.present.held
    return (
        iter(())
        if over
        else iterate_gains(
            start, [SiteLoss(loss.sites, (loss.u1, loss.u2, loss.u3)) for loss in row.worst]
        )
    )


def build_gains_answer(row: ContingencyRow, gains: Iterable[ResourceGain]) -> ContingencyComputed:
    """Build the input for continuity: a ranking that it has, with its gains."""
    return ContingencyComputed(
        row=row.model_copy(
            update={
                "gains": tuple(_build_gain_row(gain) for gain in select_gains(gains)[:SHOWN_GAINS])
            }
        )
    )


def build_ranking_answer(
    ranking: Ranking, job: RankingJob, losses: list[SiteLoss], present: PresentRow | None = None
) -> ContingencyComputed:
    """Build the input for continuity with a ranking."""
    if present is not None and losses and isinstance(ranking, CrisisContingency):
        present = present.model_copy(
            update=dict(zip(("u1", "u2", "u3"), ranking.unmet, strict=True))
        )
    counts = count_losses(losses)
    gravest = tuple(
        _build_loss_row(ranking.explain_loss(loss))
        for loss in select_worst(losses, SHOWN_LOSSES, ranking.tables)
    )
    row = ContingencyRow(
        id=job.id,
        n=job.n,
        lost=job.loss_kind.value,
        reference=job.reference,
        losses=counts["losses"],
        unmet=counts["unmet"],
        worst=gravest,
        present=present,
        paired=ranking.paired_sites
        if job.n == 2 and losses and isinstance(ranking, CrisisContingency)
        else (),
    )
    return ContingencyComputed(row=row)


def _build_gain_row(gain: ResourceGain) -> GainRow:
    u1, u2, u3 = gain.unmet
    return GainRow(
        kind=gain.kind,
        what=gain.what,
        u1=u1,
        u2=u2,
        u3=u3,
        agents=gain.agents,
        kept=gain.kept,
        losses=gain.losses,
    )


def _build_loss_row(loss: SiteLoss) -> LossRow:
    gaps = tuple(
        GapRow(
            site=g.site,
            activity=g.activity,
            metier=g.metier,
            count=g.count,
            missing=g.missing,
            why=tuple(r.code for r in g.why),
        )
        for g in loss.gaps
    )
    return LossRow(
        sites=loss.sites,
        u1=loss.unmet[0],
        u2=loss.unmet[1],
        u3=loss.unmet[2],
        gaps=gaps[:SHOWN_GAPS],
        gaps_more=max(0, len(gaps) - SHOWN_GAPS),
    )
