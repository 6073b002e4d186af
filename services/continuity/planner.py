"""What the planner knows of each live realm, and what is left to compute: a function of continuity's log.

Contingency ranking is computed once per reference version; what the log already holds of the version in force is never computed again, so a
planner that was killed goes on with the next ranking.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from schemas.contingency import ContingencyChanged, ContingencyComputed, ContingencyRow, GapRow, LossRow
from schemas.realms import is_live
from services.continuity.contingency import Contingency, Loss, Lost, totals, worst
from services.continuity.published import Published
from services.continuity.reassignment.tables import Tables
from services.runtime.transaction import Transaction

MOST_LOSSES: Final = 10
MOST_GAPS: Final = 12


@dataclass(frozen=True, slots=True)
class Job:
    """One ranking of one reference version of one realm."""

    realm: str
    reference: str
    n: Literal[1, 2]
    lost: Lost

    @property
    def id(self) -> str:
        """Of the row."""
        return f"n{self.n}-{self.lost.value}"

    @property
    def input_id(self) -> str:
        """The same for every planner: the second answer to a job is a duplicate."""
        return f"contingency:{self.realm}:{self.reference}:{self.id}"


_RANKINGS: Final[tuple[tuple[Literal[1, 2], Lost], ...]] = ((1, Lost.PEOPLE), (1, Lost.BUILDING), (2, Lost.PEOPLE), (2, Lost.BUILDING))
"""In this order: what is quick and telling first."""


@dataclass
class _Realm:
    published: Published = field(default_factory=Published)
    computed: dict[str, str] = field(default_factory=dict)
    """Row id → reference version."""


class Planner:
    """All live realms. No I/O, not thread-safe."""

    def __init__(self) -> None:
        self._realms: dict[str, _Realm] = {}

    def observe(self, transaction: Transaction) -> None:
        """One accepted record of continuity's log, in log order per realm."""
        if not is_live(transaction.realm):
            return
        realm = self._realms.setdefault(transaction.realm, _Realm())
        for fact in transaction.facts:
            if fact.name == "ReferencePublished":
                realm.published.take(fact.data)
            elif fact.name == "ContingencyChanged":
                row = ContingencyChanged.model_validate(fact.data).row
                realm.computed[row.id] = row.reference

    def next_job(self, without: Collection[Job] = ()) -> Job | None:
        """The quickest ranking that some realm lacks, by realm."""
        for n, lost in _RANKINGS:
            for name in sorted(self._realms):
                realm = self._realms[name]
                job = Job(name, realm.published.reference, n, lost)
                if realm.published.tables is not None and realm.computed.get(job.id) != job.reference and job not in without:
                    return job
        return None

    def wanted(self, job: Job) -> bool:
        """False once another version is in force, or the answer is in the log."""
        realm = self._realms[job.realm]
        return realm.published.reference == job.reference and realm.computed.get(job.id) != job.reference

    def ranking(self, job: Job) -> Contingency:
        """The ranking of a job. Raises TablesInvalid."""
        tables = self._realms[job.realm].published.tables
        assert tables is not None, "a job is of a realm whose tables are known"
        sites, staffing = tables
        return Contingency(Tables(sites.sites, staffing), job.lost)


def losses(ranking: Contingency, job: Job) -> Iterator[Loss]:
    """Loss after loss, so that whoever computes may stop in between."""
    return ranking.each() if job.n == 1 else ranking.pairs()


def answer(ranking: Contingency, job: Job, found: list[Loss]) -> ContingencyComputed:
    """The input for continuity."""
    counted = totals(found)
    gravest = tuple(_loss(ranking.explained(loss)) for loss in worst(found, MOST_LOSSES))
    row = ContingencyRow(
        id=job.id, n=job.n, lost=job.lost.value, reference=job.reference, losses=counted["losses"], unmet=counted["unmet"], worst=gravest
    )
    return ContingencyComputed(row=row)


def _loss(loss: Loss) -> LossRow:
    gaps = tuple(
        GapRow(site=g.site, activity=g.activity, metier=g.metier, count=g.count, missing=g.missing, why=tuple(r.code for r in g.why))
        for g in loss.gaps
    )
    return LossRow(
        sites=loss.sites, u1=loss.unmet[0], u2=loss.unmet[1], u3=loss.unmet[2], gaps=gaps[:MOST_GAPS],
        gaps_more=max(0, len(gaps) - MOST_GAPS),
    )  # fmt: skip
