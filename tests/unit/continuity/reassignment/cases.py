"""The situations of `tests/data/reassignment`, and small territories made by hand."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from schemas.reference import ReassignmentRule, Site, StaffCell, Staffing, Substitution
from services.continuity.contingency.ranking import ContingencyRanking, LossKind, SiteLoss
from services.continuity.reassignment.model.files import read_situation
from services.continuity.reassignment.model.plan import SolvedProposal, solve_situation_program
from services.continuity.reassignment.model.situation import ModelSituation
from services.continuity.reassignment.model.tables import ReferenceTables
from tests.shipped import territory

DATA = Path(__file__).parents[3] / "data" / "reassignment"
ROWS, META = DATA / "situations.csv", DATA / "situations.json"
EXPECTED: dict[str, dict[str, Any]] = {
    s["id"]: s for s in json.loads(META.read_text(encoding="utf-8"))
}


@cache
def tables() -> ReferenceTables:
    return ReferenceTables(territory().sites, territory().staffing)


@cache
def situation(name: str) -> ModelSituation:
    return read_situation(ROWS, META, name, tables())


@cache
def solved(name: str) -> SolvedProposal:
    """Solve a situation as by default, once for all tests of this folder."""
    return solve_situation_program(tables(), situation(name))


@cache
def people_losses() -> tuple[ContingencyRanking, tuple[SiteLoss, ...], int]:
    """Rank the loss of each site with its people; return ranking, losses and number of solves."""
    ranking = ContingencyRanking(tables(), LossKind.PEOPLE)
    losses = tuple(ranking.single())
    return ranking, losses, ranking.solves


def site(
    id: str,
    east_m: float = 0,
    *,
    kind: str = "site_central",
    desks: int = 50,
    kitchen: str | None = None,
) -> Site:
    """Place a site some metres east of Nanterre."""
    return Site(
        id=id,
        name=id,
        kind=kind,
        commune="92050",
        commune_name="Nanterre",
        lat=48.89,
        lon=2.2 + east_m / 73_150,
        position="approximate",
        pole="multi",
        staff=0,
        desks=desks,
        public_capacity=0,
        flood_exposure="non",
        generator=False,
        kitchen=kitchen,
        name_is="fictitious",
    )


def rule(activity: str, criticality: int = 1, **given: Any) -> ReassignmentRule:
    """Return the rule of desk work at central sites: no release, no telework, RTO 2 h."""
    kinds = ("site_central",)
    fields = {
        "rto_h": 2,
        "site_bound": False,
        "needs_desk": True,
        "tele_pct": 0,
        "release_pct": 0,
        "home_kinds": kinds,
        "host_kinds": kinds,
    }
    return ReassignmentRule(
        activity=activity,
        pole=given.pop("pole", activity[:3]),
        criticality=criticality,
        **(fields | given),
    )


def cell(site: str, activity: str, metier: str, staff: int, minimum: int = 0) -> StaffCell:
    return StaffCell(site=site, activity=activity, metier=metier, staff=staff, minimum=minimum)


def small(
    sites: list[Site],
    rules: list[ReassignmentRule],
    cells: list[StaffCell],
    substitutions: list[Substitution] | None = None,
) -> ReferenceTables:
    return ReferenceTables(
        sites,
        Staffing(cells=tuple(cells), rules=tuple(rules), substitutions=tuple(substitutions or ())),
    )
