"""The reassignment model a second time, written from docs/reference/reassignment-model.md alone, for small cases: OR-Tools instead of HiGHS,
one constraint after the other instead of arrays. It shares no code with `services.continuity.reassignment`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ortools.sat.python import cp_model

from schemas.reference import Site, Staffing

LEVELS = ("U1", "U2", "U3", "K", "I", "Q", "D", "C")
Key = tuple[str, str, str]
Move = tuple[Key, str, Key | None, str]
"""Whose agents, d or r, for which need (None: their own work), where (a site or `tele`)."""


@dataclass(frozen=True)
class Case:
    sites: tuple[Site, ...]
    staffing: Staffing
    touched: dict[str, tuple[int, int, bool]]
    """Site → staff_pct, seat_pct, host_ok."""
    elapsed_h: float = 0
    transit: bool = True
    tele: bool = True
    seen: dict[Move, int] = field(default_factory=dict)
    """Lines of an earlier proposal, not approved."""


def split(total: int, parts: dict[Key, int]) -> dict[Key, int]:
    whole = sum(parts.values())
    if whole == 0:
        return dict.fromkeys(parts, 0)
    given = {k: total * n // whole for k, n in parts.items()}
    rest = total - sum(given.values())
    for key in sorted(parts, key=lambda k: (-(total * parts[k] - given[k] * whole), k))[:rest]:
        given[key] += 1
    return given


class Small:
    """Quantities of a case (§2)."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.site = {s.id: s for s in case.sites}
        self.rule = {r.activity: r for r in case.staffing.rules}
        self.staff = {(c.site, c.activity, c.metier): c.staff for c in case.staffing.cells}
        self.minimum = {(c.site, c.activity, c.metier): c.minimum for c in case.staffing.cells}
        self.keys = sorted(self.staff)
        self.p: dict[Key, int] = {}
        self.c: dict[Key, int] = {}
        for s in self.site:
            here = {k: self.staff[k] for k in self.keys if k[0] == s}
            n = sum(here.values())
            staff_pct, seat_pct, _ = self.state(s)
            self.p |= split((n * staff_pct + 50) // 100, here)
            self.c |= split((n * seat_pct + 50) // 100, here)
        self.w = {k: min(self.p[k], self.c[k]) for k in self.keys}
        self.disp = {k: self.p[k] - self.w[k] for k in self.keys}
        self.rel = {
            k: max(0, min(self.w[k] - self.minimum[k], (self.staff[k] * self.rule[k[1]].release_pct + 50) // 100)) for k in self.keys
        }
        self.demand = {k: d for k in self.keys if self.rule[k[1]].criticality <= 3 and (d := self._demand(k)) > 0}

    def state(self, site: str) -> tuple[int, int, bool]:
        return self.case.touched.get(site, (100, 100, True))

    def _demand(self, k: Key) -> int:
        least = min(self.minimum[k], self.c[k]) if self.rule[k[1]].site_bound else self.minimum[k]
        return least - self.w[k]

    def open_host(self, site: str) -> bool:
        _, seats, ok = self.state(site)
        return ok and seats == 100

    def desks(self, site: str) -> int:
        if not self.open_host(site):
            return 0
        there = sum(self.p[k] for k in self.keys if k[0] == site and self.rule[k[1]].needs_desk)
        return max(0, (20 if self.site[site].kind == "gymnase" else self.site[site].desks) - there)

    def metres(self, a: str, b: str) -> int:
        one, two = self.site[a], self.site[b]
        f1, f2 = math.radians(one.lat), math.radians(two.lat)
        df, dl = f2 - f1, math.radians(two.lon) - math.radians(one.lon)
        x = math.sin(df / 2) ** 2 + math.cos(f1) * math.cos(f2) * math.sin(dl / 2) ** 2
        return round(2 * 6371008.8 * math.asin(math.sqrt(x)))

    def travel(self, a: str, b: str) -> tuple[int, int]:
        if a == b or b == "tele":
            return 0, 0
        road = (13 * self.metres(a, b) + 5) // 10
        bus = 10 + math.ceil(60 * road / 18000)
        minutes, per_km = (bus, 10) if self.case.transit and bus <= 45 else (5 + math.ceil(60 * road / 25000), 218)
        return minutes, (2 * road * per_km + 500) // 1000

    def hosts(self, site: str, activity: str) -> list[str]:
        rule = self.rule[activity]
        able = [
            h for h in self.site
            if h != site and self.open_host(h) and self.site[h].kind in rule.host_kinds and (not rule.needs_desk or self.desks(h) > 0)
        ]  # fmt: skip
        return sorted(able, key=lambda h: (self.metres(site, h), h))[:12]

    def tele_cap(self, k: Key) -> int:
        rule = self.rule[k[1]]
        return self.demand[k] * rule.tele_pct // 100 if self.case.tele and rule.needs_desk else 0

    def places(self, k: Key) -> list[str]:
        rule = self.rule[k[1]]
        found = [k[0]] if rule.site_bound or self.w[k] < self.c[k] else []
        found += [] if rule.site_bound else self.hosts(k[0], k[1])
        return [*found, "tele"] if self.tele_cap(k) > 0 else found

    def skill(self, cell: Key, wanted: str) -> int | None:
        """Penalty in tenths, or None where a hard rule forbids it."""
        if cell[2] == wanted:
            return 0
        for line in self.case.staffing.substitutions:
            if (line.metier, line.by) != (wanted, cell[2]):
                continue
            kitchen = self.site[cell[0]].kitchen
            if line.condition == "R2" and cell[1] not in ("SOL-01", "SOL-02", "SOL-03", "SOL-04", "SOL-06"):
                return None
            if line.condition == "R3" and (kitchen is None or (wanted == "cuisinier" and kitchen != "sur-place")):
                return None
            return line.tenths
        return None

    def moves(self) -> Iterator[tuple[Move, int, int, int]]:
        """Every admissible line with tenths, minutes and grams."""
        for need in self.demand:
            rule = self.rule[need[1]]
            for cell in self.keys:
                skill = self.skill(cell, need[2])
                if skill is None:
                    continue
                for kind in "dr":
                    if (kind == "d" and not self.disp[cell]) or (kind == "r" and (not self.rel[cell] or cell == need)):
                        continue
                    donor = 0 if kind == "d" else {4: 1, 3: 2, 2: 4, 1: 6}[self.rule[cell[1]].criticality]
                    for place in self.places(need):
                        if place == "tele" and not self.rule[cell[1]].needs_desk:
                            continue
                        minutes, grams = self.travel(cell[0], place)
                        if minutes > 75:
                            continue
                        odd = (
                            (rule.tele_pct < 100) if place == "tele" else place != need[0] and self.site[place].kind not in rule.home_kinds
                        )
                        yield (cell, kind, need, place), skill + donor + odd, minutes, grams
        for cell in self.keys:
            rule = self.rule[cell[1]]
            if not self.disp[cell] or rule.site_bound or rule.criticality > 3:
                continue
            places = [h for h in self.hosts(cell[0], cell[1]) if self.site[h].kind in rule.home_kinds]
            if self.case.tele and rule.needs_desk and self.disp[cell] * rule.tele_pct // 100:
                places.append("tele")
            for place in places:
                minutes, grams = self.travel(cell[0], place)
                if minutes <= 75:
                    yield (cell, "d", None, place), 0, minutes, grams


def optimum(case: Case) -> dict[str, int]:
    """Values of the levels, by CP-SAT."""
    q = Small(case)
    model = cp_model.CpModel()
    cost: dict[str, list[tuple[int, Any]]] = {level: [] for level in LEVELS}
    by_supply, by_need, by_desk, given = (defaultdict(list) for _ in range(4))
    tele_need, tele_cell, away = (defaultdict(list) for _ in range(3))
    variables: dict[Move, Any] = {}
    for move, tenths, minutes, grams in q.moves():
        cell, kind, need, place = move
        x = variables[move] = model.new_int_var(0, q.disp[cell] if kind == "d" else q.rel[cell], "")
        cost["Q"].append((tenths, x))
        cost["D"].append((minutes, x))
        cost["C"].append((grams, x))
        by_supply[cell, kind].append(x)
        if need is not None:
            by_need[need].append(x)
            if place == "tele":
                tele_need[need].append(x)
            if kind == "d" and need != cell:
                away[cell].append(x)
        if kind == "d" and place == "tele":
            tele_cell[cell].append(x)
        if kind == "r":
            given[q.rule[cell[1]].pole].append(x)
        worked = cell if need is None else need
        if place not in ("tele", worked[0]) and q.rule[worked[1]].needs_desk:
            by_desk[place].append(x)
    for cell in q.keys:
        if q.disp[cell]:
            idle = model.new_int_var(0, q.disp[cell], "")
            model.add(sum(by_supply[cell, "d"]) + idle == q.disp[cell])
            if q.rule[cell[1]].criticality <= 3:
                cost["I"].append((1, idle))
        model.add(sum(by_supply[cell, "r"]) <= q.rel[cell])
        model.add(sum(tele_cell[cell]) <= q.disp[cell] * (q.rule[cell[1]].tele_pct or 100) // 100)
        model.add(sum(away[cell]) <= q.disp[cell] - q.disp[cell] // 10)
    for need, count in q.demand.items():
        unmet = model.new_int_var(0, count, "")
        model.add(sum(by_need[need]) + unmet == count)
        model.add(sum(tele_need[need]) <= q.tele_cap(need))
        left = q.rule[need[1]].rto_h - case.elapsed_h
        cost[f"U{q.rule[need[1]].criticality}"].append((8 if left <= 4 else 4 if left <= 12 else 2 if left <= 24 else 1, unmet))
    for host, used in by_desk.items():
        model.add(sum(used) <= q.desks(host))
    cost["D"] += [(60, _excess(model, q, pole, gifts)) for pole, gifts in given.items()]
    for move, count in case.seen.items():
        if move in variables:
            cost["K"].append((1, _shortfall(model, variables[move], count)))
    return _lexicographic(model, cost)


def _excess(model: Any, q: Small, pole: str, gifts: list[Any]) -> Any:
    share = sum(n for k, n in q.staff.items() if q.rule[k[1]].pole == pole) // 20
    excess = model.new_int_var(0, 10_000, "")
    model.add(sum(gifts) <= share + excess)
    return excess


def _shortfall(model: Any, variable: Any, count: int) -> Any:
    short = model.new_int_var(0, count, "")
    model.add(variable + short >= count)
    return short


def _lexicographic(model: Any, cost: dict[str, list[tuple[int, Any]]]) -> dict[str, int]:
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    found: dict[str, int] = {}
    for level, terms in cost.items():
        total = sum(w * x for w, x in terms if w)
        if isinstance(total, int):
            found[level] = 0
            continue
        model.minimize(total)
        assert solver.solve(model) == cp_model.OPTIMAL
        found[level] = round(solver.objective_value)
        model.add(total <= found[level])
    return found
