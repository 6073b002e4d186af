"""Choose the next ranking to compute for each live realm, from the log of continuity.

From a quiet day, contingency is ranked once per reference version. In a crisis, it is ranked again
whenever the situation or the approved lines change. A ranking in the log is never computed again,
so a planner that was killed continues with the next one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from schemas.contingency import (
    ContingencyChanged,
    ContingencyComputed,
    ContingencyRow,
    GainRow,
    GapRow,
    LossRow,
    PresentRow,
)
from schemas.realms import is_live
from services.continuity.contingency.current_crisis import Present
from services.continuity.contingency.ranking import Contingency, Loss, Lost, totals, worst
from services.continuity.contingency.sensitivity import Gain, Start, best, gains
from services.continuity.reassignment.model.tables import Tables
from services.continuity.reassignment.proposals import Crisis, Proposals
from services.continuity.reassignment.published_reference import Published
from services.runtime.log.transaction import Transaction

MOST_LOSSES: Final = 10
MOST_GAPS: Final = 12
MOST_GAINS: Final = 10


@dataclass(frozen=True, slots=True)
class Job:
    """One ranking of a realm for one reference version, or (`gains`) its gains.

    `stamp` names the crisis that it starts from; empty: a quiet day.
    """

    realm: str
    reference: str
    n: Literal[1, 2]
    lost: Lost
    stamp: str = ""
    gains: bool = False

    @property
    def id(self) -> str:
        """Id of the row."""
        return f"{'now-' if self.stamp else ''}n{self.n}-{self.lost.value}"

    @property
    def input_id(self) -> str:
        """Input id, the same for every planner, so that a second answer is a duplicate."""
        return f"contingency:{self.realm}:{self.reference}:{self.id}{f':{self.stamp}' if self.stamp else ''}{':gains' if self.gains else ''}"


_RANKINGS: Final[tuple[tuple[Literal[1, 2], Lost, bool], ...]] = (
    (1, Lost.PEOPLE, False),
    (1, Lost.BUILDING, False),
    (1, Lost.PEOPLE, True),
    (1, Lost.BUILDING, True),
    (2, Lost.PEOPLE, False),
    (2, Lost.BUILDING, False),
)
"""Rankings in order: the quick and important ones first.

There are too many pairs to solve again, so they have no gains.
"""
Ranking = Contingency | Present


@dataclass
class _Realm:
    published: Published = field(default_factory=Published)
    computed: dict[str, ContingencyRow] = field(default_factory=dict)
    """Rows by id."""

    def ranked(self, job: Job) -> bool:
        """Check whether the log holds the ranking of a job, with or without gains."""
        row = self.computed.get(job.id)
        return row is not None and (row.reference, _stamp(row)) == (job.reference, job.stamp)

    def lacks(self, job: Job) -> bool:
        """Check whether the log lacks the result of a job but holds its starting point."""
        if job.gains:
            return self.ranked(job) and self.computed[job.id].gains is None
        return not self.ranked(job)


def _stamp(row: ContingencyRow) -> str:
    return row.present.stamp if row.present is not None else ""


class Planner:
    """Rankings of all live realms. No I/O, not thread-safe.

    `Proposals` must see each record first, because it knows the crises.
    """

    def __init__(self, proposals: Proposals) -> None:
        self._proposals = proposals
        self._realms: dict[str, _Realm] = {}

    def observe(self, transaction: Transaction) -> None:
        """Apply one accepted record of continuity's log, in log order per realm."""
        if not is_live(transaction.realm):
            return
        realm = self._realms.setdefault(transaction.realm, _Realm())
        for fact in transaction.facts:
            if fact.name == "ReferencePublished":
                realm.published.take(fact.data)
            elif fact.name == "ContingencyChanged":
                row = ContingencyChanged.model_validate(fact.data).row
                realm.computed[row.id] = row

    def next_job(self, without: Collection[Job] = (), *, crises: bool = True) -> Job | None:
        """Return the quickest missing ranking, those of a crisis first; realms by name.

        `crises=False` leaves the crises out.
        """
        for n, lost, more in _RANKINGS if crises else ():
            for name in sorted(self._realms):
                if (stamp := self._stamp(name)) and (
                    job := self._lacking(
                        Job(name, self._reference(name), n, lost, stamp, more), without
                    )
                ):
                    return job
        for n, lost, more in _RANKINGS:
            for name in sorted(self._realms):
                if job := self._lacking(
                    Job(name, self._reference(name), n, lost, gains=more), without
                ):
                    return job
        return None

    def _lacking(self, job: Job, without: Collection[Job]) -> Job | None:
        realm = self._realms[job.realm]
        return (
            job
            if realm.published.tables is not None and realm.lacks(job) and job not in without
            else None
        )

    def _reference(self, realm: str) -> str:
        return self._realms[realm].published.reference

    def _crisis(self, realm: str) -> Crisis | None:
        """Return the crisis of a realm; None if it was over before it was ever ranked."""
        crisis = self._proposals.crisis(realm)
        if crisis is None or (
            crisis.over and not any(map(_stamp, self._realms[realm].computed.values()))
        ):
            return None
        return crisis

    def _stamp(self, realm: str) -> str:
        crisis = self._crisis(realm)
        return crisis.stamp if crisis is not None else ""

    def wanted(self, job: Job) -> bool:
        """Check whether the result of a job is still wanted.

        It is not once another version is in force, the crisis is over, or the answer is in the log.
        A ranking of a crisis that moved on is finished all the same: otherwise a crisis that never
        rests would never be ranked.
        """
        realm = self._realms[job.realm]
        if realm.published.reference != job.reference or not realm.lacks(job):
            return False
        crisis = self._crisis(job.realm) if job.stamp else None
        return crisis is None or not crisis.over or crisis.stamp == job.stamp

    def ranking(self, job: Job) -> Ranking:
        """Build the ranking of a job. Raise TablesInvalid."""
        data = self._realms[job.realm].published.tables
        assert data is not None, "a job is of a realm whose tables are known"
        tables = Tables(data[0].sites, data[1])
        crisis = self._crisis(job.realm)
        if not job.stamp or crisis is None:
            return Contingency(tables, job.lost)
        return Present(tables, job.lost, crisis.situation(), crisis.approved(tables))

    def row(self, job: Job) -> ContingencyRow:
        """Return the ranking in the log to which a job adds gains."""
        return self._realms[job.realm].computed[job.id]

    def start(self, job: Job) -> Start:
        """Return the starting point for the gains of a job. Raise TablesInvalid."""
        data = self._realms[job.realm].published.tables
        assert data is not None, "a job is of a realm whose tables are known"
        sites, staffing = data
        crisis = self._crisis(job.realm)
        if not job.stamp or crisis is None:
            return Start(sites.sites, staffing, job.lost)
        return Start(
            sites.sites,
            staffing,
            job.lost,
            crisis.situation(),
            crisis.approved(Tables(sites.sites, staffing)),
        )

    def present(self, job: Job, ranking: Ranking) -> PresentRow | None:
        """Describe the crisis of a job for its row; call it before the log moves on."""
        crisis = self._crisis(job.realm) if job.stamp else None
        if crisis is None or not isinstance(ranking, Present):
            return None
        hit = sum(c.seat_pct < 100 or c.staff_pct < 100 for c in crisis.request.situation.sites)
        return PresentRow(
            stamp=job.stamp,
            number=crisis.request.number,
            sites_hit=0 if crisis.over else hit,
            held=sum(row.count for row in crisis.moved),
            elapsed_h=crisis.request.situation.elapsed_h,
            u1=0,
            u2=0,
            u3=0,
        )


def losses(ranking: Ranking, job: Job, present: PresentRow | None = None) -> Iterator[Loss]:
    """Yield one loss after another, so that the caller can stop; a crisis that is over has none."""
    if present is not None and not present.sites_hit and not present.held:
        return iter(())
    return ranking.each() if job.n == 1 else ranking.pairs()


def relaxed(start: Start, row: ContingencyRow) -> Iterator[Gain]:
    """Yield the gains over the gravest losses of a ranking; none once its crisis is over."""
    over = row.present is not None and not row.present.sites_hit and not row.present.held
    return (
        iter(())
        if over
        else gains(start, [Loss(loss.sites, (loss.u1, loss.u2, loss.u3)) for loss in row.worst])
    )


def with_gains(row: ContingencyRow, bought: Iterable[Gain]) -> ContingencyComputed:
    """Build the input for continuity: a ranking that it has, with its gains."""
    return ContingencyComputed(
        row=row.model_copy(
            update={"gains": tuple(_gain(gain) for gain in best(bought)[:MOST_GAINS])}
        )
    )


def answer(
    ranking: Ranking, job: Job, found: list[Loss], present: PresentRow | None = None
) -> ContingencyComputed:
    """Build the input for continuity with a ranking."""
    if present is not None and found and isinstance(ranking, Present):
        present = present.model_copy(
            update=dict(zip(("u1", "u2", "u3"), ranking.unmet, strict=True))
        )
    counted = totals(found)
    gravest = tuple(
        _loss(ranking.explained(loss)) for loss in worst(found, MOST_LOSSES, ranking.tables)
    )
    row = ContingencyRow(
        id=job.id,
        n=job.n,
        lost=job.lost.value,
        reference=job.reference,
        losses=counted["losses"],
        unmet=counted["unmet"],
        worst=gravest,
        present=present,
        paired=ranking.paired if job.n == 2 and found and isinstance(ranking, Present) else (),
    )
    return ContingencyComputed(row=row)


def _gain(gain: Gain) -> GainRow:
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


def _loss(loss: Loss) -> LossRow:
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
        gaps=gaps[:MOST_GAPS],
        gaps_more=max(0, len(gaps) - MOST_GAPS),
    )
